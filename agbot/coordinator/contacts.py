"""Which nodes ask here before they upgrade their agent, and which were seen not to (an agent whose `HZN_AGBOT_URL` names somebody else)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agbot.coordinator import entries
from agbot.coordinator.situation import Situation
from agbot.rules.facts import Contact, Node, NodeType
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Claim
from agbot.store.contract import Writes

_WRITTEN_AGAIN = timedelta(days=1)
"""An agent that waits asks every minute; one entry a day is enough to know that it asks here."""
_SHOWN_AGAIN_SECONDS = 5.0
"""How old the list of those who do not ask may be: every cycle wants it, and it looks at every member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """Members that do not ask here."""

    never_asked: tuple[NodeId, ...] = ()
    bypassing: tuple[NodeId, ...] = ()
    """Seen to upgrade their agent, and have not asked since."""


class Contacts:
    """Keeps the contacts true."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._unwritten: dict[NodeId, Contact] = {}
        self._silent: Silent | None = None
        self._silent_at = 0.0

    def asked(self, node: NodeId) -> None:
        """Note that this node has asked about its agent, with its own credentials; the cycle writes it."""
        now, known = self._situation.now().wall, self._situation.ledger.contacts.get(node)
        if known is not None and known.bypassed_at is None and _asked_within(known, _WRITTEN_AGAIN, now):
            return
        contact = Contact(node=node, asked_at=now)
        self._situation.ledger.contacts[node] = self._unwritten[node] = contact

    async def write(self) -> None:
        """Write what was noted since the last cycle.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        unwritten = dict(self._unwritten)
        if unwritten:
            await self._situation.write(Writes(put=list(unwritten.values())))
            self._unwritten = {node: each for node, each in self._unwritten.items() if unwritten.get(node) != each}

    async def bypassed(self, group: GroupId, claim: Claim) -> None:
        """Tell once that this node upgrades its agent without asking here.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        if self._bypassed(group, claim).put:
            await self._situation.write_due(lambda: self._bypassed(group, claim))

    def _bypassed(self, group: GroupId, claim: Claim) -> Writes:
        situation, now = self._situation, self._situation.now()
        known = situation.ledger.contacts.get(claim.holder) or Contact(node=claim.holder)
        longest = timedelta(seconds=situation.limits_of(group).max_upgrade_seconds)
        if known.bypassed_at is not None or _asked_within(known, max(longest, _WRITTEN_AGAIN), now.wall):
            return Writes()
        told = entries.bypassed(group, claim, now)
        return Writes(put=[replace(known, bypassed_at=now.wall)], entries=[told])

    def silent(self) -> Silent:
        """Tell who does not ask, as of a few seconds ago."""
        now = self._situation.clock.monotonic_seconds()
        if self._silent is None or now - self._silent_at > _SHOWN_AGAIN_SECONDS:
            self._silent, self._silent_at = self._count(), now
        return self._silent

    def _count(self) -> Silent:
        contacts = self._situation.ledger.contacts
        never: list[NodeId] = []
        bypassing: list[NodeId] = []
        for node in self._members():
            contact = contacts.get(node)
            if contact is None or contact.asked_at is None:
                never.append(node)
            if contact is not None and contact.bypassed_at is not None:
                bypassing.append(node)
        return Silent(never_asked=tuple(never), bypassing=tuple(bypassing))

    def _members(self) -> Iterator[NodeId]:
        picture = self._situation.picture
        for group in picture.groups():
            for name, node in picture.members(group).items():
                if isinstance(node, Node) and node.node_type is not NodeType.CLUSTER:
                    yield name


def _asked_within(known: Contact, time: timedelta, now: datetime) -> bool:
    """Tell whether the node has asked within this time. A date that is still to come was written by a wrong clock, and proves nothing."""
    return known.asked_at is not None and timedelta() <= now - known.asked_at < time
