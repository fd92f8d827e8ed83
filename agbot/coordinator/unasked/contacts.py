"""Which nodes ask here before they upgrade their agent, and which have bypassed the coordinator.

The `HZN_AGBOT_URL` of the latter names another agbot.
"""

from __future__ import annotations

from dataclasses import dataclass

from agbot.coordinator.situation import Situation
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Claim
from agbot.rules.records import Contact
from agbot.transitions import contacts
from agbot.transitions.change import Change

_SHOWN_AGAIN_SECONDS = 5.0
"""How old the list of members that do not ask may be. Each scrape of the metrics needs it, and it
goes through all members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """Members that do not ask here."""

    never_asked: tuple[NodeId, ...] = ()
    bypassing: tuple[NodeId, ...] = ()
    """They have upgraded their agent without asking, and have not asked since."""


class Contacts:
    """Keeps the contacts up to date."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._unwritten: dict[NodeId, Contact] = {}
        self._silent: Silent | None = None
        self._silent_at = 0.0
        self.expects_questions = True
        """Whether agents are to ask here; in shadow mode they ask the real agbot."""

    def asked(self, node: NodeId) -> None:
        """Note that this node has asked about its agent, with its own credentials.

        The cycle writes it.
        """
        now, known = self._situation.now().wall, self._situation.ledger.contacts.get(node)
        if (
            known is not None
            and known.bypassed_at is None
            and contacts.asked_within(known, contacts.WRITTEN_AGAIN, now)
        ):
            return
        contact = Contact(node=node, asked_at=now)
        self._situation.ledger.contacts[node] = self._unwritten[node] = contact

    async def write(self) -> None:
        """Write what was noted since the last cycle."""
        unwritten = dict(self._unwritten)
        if unwritten:
            await self._situation.commit(Change(put=list(unwritten.values())))
            self._unwritten = {node: each for node, each in self._unwritten.items() if unwritten.get(node) != each}

    async def bypassed(self, group: GroupId, claim: Claim) -> None:
        """Report, once, that this node upgrades its agent without asking here."""
        if self.expects_questions and self._bypassed(group, claim):
            await self._situation.commit_due(lambda: self._bypassed(group, claim))

    def _bypassed(self, group: GroupId, claim: Claim) -> Change:
        situation = self._situation
        known = situation.ledger.contacts.get(claim.holder)
        return contacts.bypass(known, group, claim, situation.limits_of(group), situation.now())

    def silent(self) -> Silent:
        """Return the members that do not ask, as of a few seconds ago."""
        if not self.expects_questions:
            return Silent()
        now = self._situation.clock.monotonic_seconds()
        if self._silent is None or now - self._silent_at > _SHOWN_AGAIN_SECONDS:
            self._silent, self._silent_at = self._count(), now
        return self._silent

    def _count(self) -> Silent:
        known, picture = self._situation.ledger.contacts, self._situation.picture
        bypassed = (node for node, contact in known.items() if contact.bypassed_at is not None)
        asked = {node for node, contact in known.items() if contact.asked_at is not None}
        return Silent(
            never_asked=tuple(sorted(node for node in picture.devices() if node not in asked)),
            bypassing=tuple(sorted(node for node in bypassed if picture.is_device(node))),
        )
