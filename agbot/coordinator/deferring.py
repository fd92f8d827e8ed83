"""Deferred memberships: found when a group is looked at, written down, ended on evidence (`agbot.rules.deferral`)."""

from __future__ import annotations

from agbot.coordinator import entries
from agbot.coordinator.situation import Situation
from agbot.rules import deferral as rule
from agbot.rules.facts import Deferral, Member, Sight
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Kind
from agbot.store.contract import Entry, Writes
from agbot.store.records import Key, Record, key_of


class Deferring:
    """Keeps the deferrals of groups true to the picture."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    async def refresh(self, group: GroupId) -> None:
        """Begin and end deferrals of this group as the picture says; a group that cannot be trusted stays as it is.

        Raises:
            StoreUnavailableError: nothing is known about what was written.
        """
        if self._situation.doubts() or not self._due(group).entries:
            return
        await self._situation.write_due(lambda: self._due(group))

    def _due(self, group: GroupId) -> Writes:
        situation = self._situation
        now, limits = situation.now(), situation.limits_of(group)
        present = situation.ledger.deferrals.get(group, {})
        put: list[Record] = []
        drop: list[Key] = []
        told: list[Entry] = []
        for deferral in present.values():
            is_listed = situation.rows.is_waited_for(group, rule.claim_of(deferral))
            why = rule.why_ended(deferral, self._member(deferral), limits, now, is_listed=is_listed)
            if why is not None:
                drop.append(key_of(deferral))
                told.append(entries.deferral_ended(deferral, why, now))
        for node in situation.picture.members(group):
            begun = None if node in present else self._begin(group, node)
            if begun is not None:
                put.append(begun)
                told.append(entries.deferral_begun(begun, now))
        return Writes(put=put, drop=drop, entries=told)

    def _member(self, deferral: Deferral) -> Member | Sight:
        """Return the deferred node; without its statuses nothing is known about it, nor while an absence is not believed."""
        picture = self._situation.picture
        known = picture.certain(deferral.node)
        is_agent = deferral.kind is Kind.AGENT and isinstance(known, Member)
        if is_agent and picture.certain_status(deferral.node, deferral.subject) is Sight.UNREAD:
            return Sight.UNREAD
        return known

    def _begin(self, group: GroupId, node: NodeId) -> Deferral | None:
        situation = self._situation
        member = situation.picture.member(node)
        if isinstance(member, Sight):
            return None
        limits = situation.limits_of(group)
        served = situation.ledger.served.get(group, {}).get(node)
        return rule.begin(group, member, situation.ledger.lease(group), limits, situation.now(), served=served)
