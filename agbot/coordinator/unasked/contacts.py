"""Which nodes ask here before they upgrade their agent, and which have bypassed the coordinator.

The `HZN_AGBOT_URL` of the latter names another agbot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from agbot.coordinator.situation import Situation
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.lease import HOST, Claim
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
        self._silent_in: tuple[OrgId, ...] = ()
        self.hosts: set[NodeId] = set()
        """The nodes that have asked to reboot their host since the start. That says nothing of
        their agents, so it is no contact."""
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
            # a node that has asked during the write stays for the next cycle
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
        now, orgs = self._situation.clock.monotonic_seconds(), self._situation.picture.orgs()
        # a list from before an organisation was read would state that all of its members ask
        if self._silent is None or orgs != self._silent_in or now - self._silent_at > _SHOWN_AGAIN_SECONDS:
            self._silent, self._silent_at, self._silent_in = self._count(), now, orgs
        return self._silent

    def _count(self) -> Silent:
        # what is not written yet is lost from the ledger when the store fails and is read again
        known, picture = {**self._situation.ledger.contacts, **self._unwritten}, self._situation.picture
        bypassed = (node for node, contact in known.items() if contact.bypassed_at is not None)
        asked = {node for node, contact in known.items() if contact.asked_at is not None}
        asked.update(self.hosts, self._hosts_in_the_store())
        return Silent(
            never_asked=tuple(sorted(picture.devices(asked))),
            bypassing=tuple(sorted(node for node in bypassed if picture.is_device(node))),
        )

    def _hosts_in_the_store(self) -> Iterator[NodeId]:
        """Yield the nodes of hosts that wait, hold a lease, or were the last to hold it."""
        ledger = self._situation.ledger
        asks = (waiter.ask.claim for waiters in ledger.waiters.values() for waiter in waiters.values())
        tenures = (lease.tenure.claim for lease in ledger.leases.values() if lease.tenure is not None)
        ends = (lease.last_end.claim for lease in ledger.leases.values() if lease.last_end is not None)
        yield from (claim.holder for claim in chain(asks, tenures, ends) if claim.kind is HOST)
