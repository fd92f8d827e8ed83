"""Adds to a lease that a trigger has granted what is known of the beginning of its upgrade.

Nothing is judged about such a lease before that. The trigger's note names the grant, and so does
the lease: a note may have gone with the guard's tables, and where the guard was removed none is
read. Such a lease is taken in all the same, so that it does not stay as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from agbot.coordinator.guarded.port import Decided, Outcome
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.situation import Situation
from agbot.exchange.errors import Unreadable
from agbot.fleet import plan
from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.fleet.reads import Wanted, Why
from agbot.rules import ids
from agbot.rules.facts import Ask, Node
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import GUARD, Claim, Kind
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import StoreUnavailableError
from agbot.transitions import grants

_LOOKED_EVERY = timedelta(minutes=1)
"""How often all leases are looked through, of which there are many thousands."""


class Untaken:
    """Takes in leases that a trigger has granted."""

    def __init__(self, situation: Situation, reader: Reader) -> None:
        self._situation = situation
        self._reader = reader
        self._looked_at: SeenTime | None = None

    async def run(self) -> list[str]:
        """Take in every such lease where no guard is enabled; return what was done."""
        phrases: list[str] = []
        if not self._situation.ledger.is_trusted:
            return phrases
        try:
            for each, begun_at in self.without_note(()):
                with self._situation.troubles.guard("guard", each.group):
                    phrases += await self.take_in(each, begun_at) or []
        except StoreUnavailableError:
            pass  # the ledger is no longer trusted, which the next cycle reports
        return phrases

    def without_note(self, noted: Collection[tuple[GroupId, int]]) -> list[tuple[Decided, datetime]]:
        """Return the grants that are in the store and not among the notes (group, token).

        Each has its time by the database's clock.
        """
        situation, now = self._situation, self._situation.now()
        if self._looked_at is not None and now.seen - self._looked_at < _LOOKED_EVERY:
            return []
        self._looked_at = now.seen
        leases = [situation.ledger.lease(group) for group in situation.ledger.tally.occupied]
        return [
            (_from_lease(lease.group, lease.tenure.claim, lease.token), min(lease.tenure.granted_at, now.wall))
            for lease in leases
            if lease.tenure is not None and lease.tenure.progress.is_untaken and (lease.group, lease.token) not in noted
        ]

    async def take_in(self, decided: Decided, begun_at: datetime) -> list[str] | None:
        """Add to the lease what is known of the beginning of its upgrade.

        Return what was done; None if that is not known yet, because the Exchange could not be read
        or its stamps cannot be compared. Until it is, the lease is kept.
        """
        situation = self._situation
        lease = await situation.ledger.read_again(decided.group)
        if not grants.is_untaken(lease, decided.token):
            return []  # taken in before a restart, or ended
        failures = await self._reader.refresh(self._basis(decided))
        ask = self.ask_of(decided)
        claim = ask.claim
        failures |= await self._reader.make_current([self._policy(ask)])
        if situation.dates.why_unknown() or not all(isinstance(each, Unreadable) for each in failures.values()):
            return None
        group, member = situation.group(decided.group, ask), situation.picture.member(claim.holder)
        change = grants.take_in(ask, group, situation.now(), member=member, begun_at=begun_at, why=decided.reason)
        if not await situation.commit(change):
            return []
        return [f"took in a grant of the guard: {claim.holder} upgrades {claim.what} (token {decided.token})"]

    def ask_of(self, decided: Decided) -> Ask:
        """Return the question; a node with a pattern gets all its services from that (W18)."""
        claim, node = decided.claim, self._situation.picture.node(decided.claim.holder)
        if claim.kind is Kind.SERVICE and isinstance(node, Node) and node.pattern:
            subject = PolicyId(f"{ids.org_of(node.pattern)}/{ids.name_of(claim.subject)}")
            claim = replace(claim, subject=subject)
        return Ask(group=decided.group, claim=claim, by=GUARD)

    def _policy(self, ask: Ask) -> Wanted:
        node = self._situation.picture.node(ask.node)
        pattern = node.pattern if isinstance(node, Node) and not ask.is_agent else ""
        return Wanted(read=policy_read(ask.claim.kind, ask.claim.subject, pattern), why=Why.LISTED)

    def _basis(self, decided: Decided) -> list[Wanted]:
        services = What.AGREEMENTS if decided.claim.kind is Kind.SERVICE else What.STATUSES
        node = decided.claim.holder
        return plan.at_once([Read(what=What.NODE, id=node), Read(what=services, id=node)], Why.LISTED)


def _from_lease(group: GroupId, claim: Claim, token: int) -> Decided:
    return Decided(
        group=group,
        claim=claim,
        outcome=Outcome.GRANTED,
        token=token,
        code="",
        reason="the note of this grant is gone",
        age_seconds=0.0,
        waits_seconds=0.0,
        tries=0,
    )
