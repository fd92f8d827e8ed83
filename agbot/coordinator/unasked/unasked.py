"""Unasked upgrades, from every source that shows them.

The agbot's own lists are read in each cycle and before every grant. An upgrade in them takes the
lease or is an overlap (`agbot.coordinator.unasked.taking`), so that the rules treat it like any
other upgrade. A failure to read them is reported when it begins and when it ends.
"""

from __future__ import annotations

from functools import partial

from agbot.agreementbot.client import Lists
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.memory.rows_seen import Source
from agbot.coordinator.review.brakes import Brakes
from agbot.coordinator.review.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked.contacts import Contacts
from agbot.coordinator.unasked.down import Down
from agbot.coordinator.unasked.listed import ListedUpgrades
from agbot.coordinator.unasked.taking import Taking
from agbot.events.leases import Ending
from agbot.fleet.policies import policy_read
from agbot.fleet.reads import Wanted, Why
from agbot.rules import unasked
from agbot.rules.deferral import claim_of
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Claim, Kind
from agbot.rules.reasons import Cause
from agbot.single_flight import SharedRead
from agbot.transitions import begun

_SAME_MOMENT_SECONDS = 0.2
"""Grants within this time share a read. It is short, because a row that is written in between is
missed."""


class Unasked:
    """Finds unasked upgrades."""

    def __init__(
        self,
        situation: Situation,
        reader: Reader,
        reviewing: Reviewing,
        brakes: Brakes,
        agbot: Lists | None,
    ) -> None:
        self.taking = taking = Taking(situation, reader, reviewing)
        self._situation = situation
        self._reader = reader
        self._reviewing = reviewing
        self._lists = None
        if agbot is not None:
            situation.rows.source = Source.UNREAD
            read = partial(self._read_lists, agbot)
            self._lists = SharedRead(read, situation.clock, max_age_seconds=_SAME_MOMENT_SECONDS)
        self._listed = ListedUpgrades(situation, reader, taking)
        self._down = Down(situation, reader, taking, brakes)
        self.contacts = Contacts(situation)

    async def read(self) -> None:
        """Read the agbot's lists, also while the Exchange fails, before the cycle decides."""
        if self._lists is not None:
            await self._lists.again()

    async def _read_lists(self, agbot: Lists) -> None:
        situation = self._situation
        asked_at, asked_seconds = situation.now(), situation.clock.monotonic_seconds()
        news = situation.rows.take_in(await agbot.list_rows(), asked_at, asked_seconds)
        if news is not None:
            situation.report_event(news)

    async def follow(self) -> list[str]:
        """Take leases for unasked upgrades; return what was done, one phrase each."""
        if self._situation.doubts():
            return []
        return [*await self._listed.follow(), *await self._down.follow(), *await self.taking.follow()]

    def concerns(self, group: GroupId) -> bool:
        """Whether a deferral or an unasked upgrade may begin or end in this group.

        In nearly all groups none can, at little cost.
        """
        ledger, lease = self._situation.ledger, self._situation.ledger.lease(group)
        if group in ledger.tally.deferred_in or (lease.tenure is not None and lease.tenure.progress.observed):
            return True
        picture = self._situation.picture
        others = [node for node in picture.membership.of_group(group) if node != lease.holder]
        return any(picture.may_upgrade(node) or picture.joined_without_service(node) for node in others)

    async def reported(self, group: GroupId) -> list[str]:
        """Take leases for unasked agent upgrades that members report; return what was done."""
        situation = self._situation
        if situation.doubts():
            return []
        done: list[str] = []
        for node in tuple(situation.picture.read_members(group)):
            claim = self._past_the_gate(group, node)
            if claim is None:
                continue
            policy = policy_read(claim.kind, claim.subject)
            # a brake stops one revision, so that has to be known
            await self._reader.make_current([Wanted(read=policy, why=Why.TAKEOVER)])
            member = situation.picture.read_members(group).get(node)
            if member is None or self._past_the_gate(group, node) != claim:
                continue  # it has ended, or left, while the policy was read
            known = situation.picture.policies.get(claim.kind, claim.subject)
            done += await self.taking.take(begun.reported(group, claim, member, known, situation.now()))
        for claim in self._agents_unasked(group):
            await self.contacts.bypassed(group, claim)
        return done

    def _past_the_gate(self, group: GroupId, node: NodeId) -> Claim | None:
        """Return the unasked agent upgrade that a member reports; None if it reports none."""
        situation = self._situation
        member = situation.picture.read_members(group).get(node)
        if member is None or node in situation.ledger.deferrals.get(group, {}):
            return None
        if situation.picture.may_have_left(node):
            # nothing is granted here until the second read shows whose upgrade this is
            return None
        lease, limits = situation.ledger.lease(group), situation.limits_of(group)
        subject = unasked.past_the_gate(member, lease, limits, situation.now())
        return None if subject is None else Claim(holder=node, kind=Kind.AGENT, subject=subject)

    def _agents_unasked(self, group: GroupId) -> list[Claim]:
        """Return the unasked agent upgrades in a group: of the holder, and of members beside it."""
        ledger = self._situation.ledger
        tenure = ledger.lease(group).tenure
        held = [tenure.claim] if tenure is not None and tenure.progress.observed else []
        deferrals = ledger.deferrals.get(group, {}).values()
        beside = [claim_of(each) for each in deferrals if each.overlaps and not each.cut_off]
        return [claim for claim in (*held, *beside) if claim.kind is Kind.AGENT]

    def is_own_gap(self, ask: Ask) -> bool:
        """Whether the asker holds the lease only because one of its services is down."""
        if not ask.is_service:
            return False
        tenure = self._situation.ledger.lease(ask.group).tenure
        return tenure is not None and tenure.claim.holder == ask.node and not tenure.claim.subject

    async def give_way(self, ask: Ask) -> None:
        """End the tenure of a service that is down when its agbot asks: now the policy is known."""
        if self.is_own_gap(ask):
            ending = Ending(cause=Cause.UNCONFIRMED, why=f"its agbot asks for {ask.claim.subject}")
            await self._reviewing.release(self._situation.ledger.lease(ask.group), ending)

    async def before_grant(self, ask: Ask) -> None:
        """Read again before a grant, unless that was done in the same moment.

        An agbot that hangs keeps agents waiting. A question about a service comes from the agbot
        itself, so it does not wait for it again.

        Raises:
            ExchangeError: members' services could not be read after the store was replaced.
        """
        rows = self._situation.rows
        if not ask.is_service or rows.doubt is None or rows.source is Source.NOT_RUNNING:
            if self._lists is not None:
                await self._lists.fresh()
            await self._listed.follow(ask.group)
        await self.reported(ask.group)
        await self._down.look(ask.group, ask.node)
