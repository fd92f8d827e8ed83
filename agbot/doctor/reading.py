"""Reads from the Exchange what shows whether the upgrade of an agbot's row is over."""

from __future__ import annotations

from collections.abc import Sequence

from agbot.clock import Clock
from agbot.doctor.judging import RowReading
from agbot.exchange import resources
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError
from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.rules import rows
from agbot.rules.facts import Member, Node, Policy, Row, Sight
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import LimitsOf
from agbot.rules.rows import RowFacts
from agbot.rules.seen_time import Now, SeenTime


class RowReader:
    """Reads rows. Nothing is kept between two readings."""

    def __init__(self, exchange: ExchangeClient, limits_of: LimitsOf, clock: Clock) -> None:
        self._exchange = exchange
        self._limits_of = limits_of
        self._clock = clock

    async def read(self, row: Row) -> RowReading:
        """Read everything about one row. What cannot be read is unread, and never absent."""
        member = await self._member(row)
        claim = rows.claim_of(row, member.node if isinstance(member, Member) else member)
        facts = RowFacts(
            member=member,
            policy=await self._policy(row, claim, member),
            lease=Lease(group=row.group),
            overlaps=False,
            limits=self._limits_of(row.group),
        )
        is_there = await self._group_exists(row)
        return RowReading(row=row, claim=claim, facts=facts, group_exists=is_there, now=self._now())

    async def _member(self, row: Row) -> Member | Sight:
        try:
            node = await self._exchange.node(row.node)
            if node is None:
                return Sight.ABSENT
            if row.kind is Kind.SERVICE:
                return Member(node=node, read_at=self._seen(), agreements=await self._exchange.agreements(row.node))
            statuses = await self._exchange.get(resources.STATUSES, row.node)
        except ExchangeError:
            return Sight.UNREAD
        return Member(node=node, read_at=self._seen(), statuses=statuses, statuses_read_at=self._seen())

    async def _policy(self, row: Row, claim: Claim, member: Member | Sight) -> Policy | Sight:
        node = member.node if isinstance(member, Member) else None
        pattern = node.pattern if isinstance(node, Node) and "/" not in row.subject else ""
        if "/" not in row.subject and not pattern:
            # a policy that a pattern made: without the node its pattern is not known
            return Sight.ABSENT if member is Sight.ABSENT else Sight.UNREAD
        try:
            found = await self._exchange.read(policy_read(claim.kind, claim.subject, pattern))
        except ExchangeError:
            return Sight.UNREAD
        known = found if isinstance(found, Sequence) else [found]
        mine = (each for each in known if isinstance(each, Policy) and each.id == claim.subject)
        return next(mine, Sight.ABSENT)

    async def _group_exists(self, row: Row) -> bool:
        """Whether the group exists, or may exist: it could not be read."""
        try:
            return await self._exchange.read(Read(what=What.GROUP, id=row.group)) is not None
        except ExchangeError:
            return True

    def _now(self) -> Now:
        return Now.unblinded(self._clock.now())

    def _seen(self) -> SeenTime:
        return self._now().seen
