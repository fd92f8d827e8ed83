"""What the console reads of groups, as a part of the coordinator (`coordinator.operations`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from agbot.coordinator.contract import GroupView
from agbot.coordinator.intake.organisations import Organisations
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.listings import GroupPage, GroupProgress, GroupQuery, Noun, Orders, Subject
from agbot.coordinator.operators import listing, naming
from agbot.coordinator.operators.orders import orders
from agbot.coordinator.operators.views import view_group
from agbot.coordinator.situation import Situation
from agbot.events.event import Event
from agbot.fleet import plan
from agbot.fleet.reads import Why
from agbot.rules.facts import Sight
from agbot.rules.ids import GroupId, OrgId, PolicyId
from agbot.rules.lease import Kind
from agbot.single_flight import SingleFlight
from agbot.store.contract import Entry, JournalQuery, Store
from agbot.transitions.change import Change

_LOOK_SECONDS: Final = 1.0
"""How long a view of one group waits for the Exchange."""


class Showing:
    """Answers from memory. Only `look_at` reads; only `note` and the journal use the store."""

    _situation: Situation
    _organisations: Organisations
    _reader: Reader
    _looks: SingleFlight[object]
    _store: Store

    def count_groups(self) -> int:
        """Count the groups that exist or whose lease is occupied."""
        situation, picture = self._situation, self._situation.picture
        unknown = sum(not picture.exists(group) for group in situation.ledger.tally.mattering)
        return unknown + picture.membership.count_all_groups()

    def groups(self) -> Sequence[GroupView]:
        """List every group that exists or whose lease is occupied."""
        known = {*self._situation.picture.groups(), *self._situation.ledger.tally.mattering}
        return [self._view(group) for group in sorted(known)]

    def group(self, group: GroupId) -> GroupView | None:
        """Show one group; None if it is not known."""
        known = self._situation.picture.exists(group) or group in self._situation.ledger.leases
        return self._view(group) if known else None

    async def look_at(self, group: GroupId) -> None:
        """Read the heartbeats of a group that were not read lately, and wait a moment for them.

        What cannot be read in that time is shown as it is known.
        """
        situation = self._situation
        wanted = list(plan.heartbeats(group, situation.picture, situation.ages.heartbeat, Why.SHOWN))
        if self._reader.due(wanted):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._looks.run(group, lambda: self._reader.refresh(wanted))

    def busy_groups(self) -> Sequence[GroupId] | None:
        """List the groups with a lease, a waiter, a deferral or a brake.

        None before everything has been read once.
        """
        ledger = self._situation.ledger
        if self._situation.view_at is None or not ledger.was_read:
            return None
        return list(dict.fromkeys((*ledger.tally.mattering, *ledger.tally.braked_groups())))

    def lacks(self, group: GroupId) -> Sight | None:
        """Return why a group cannot be shown; None if it can.

        It is absent and no node holds its lease, or it is unread.
        """
        if not self._situation.ledger.was_read:
            return Sight.UNREAD
        is_held = self._situation.ledger.lease(group).tenure is not None
        lacks = self._situation.picture.why_missing(group)
        return None if lacks is Sight.ABSENT and is_held else lacks

    def why_excluded(self, org: OrgId) -> str:
        """Return why this organisation is not coordinated; empty for one that is."""
        return self._organisations.why_excluded(org)

    def find_groups(self, query: GroupQuery) -> GroupPage:
        """Return one page of groups."""
        return listing.find_groups(query, self._situation)

    def subjects(self) -> Sequence[Subject]:
        """Return every upgrade that is under way, waited for or stopped."""
        return listing.subjects(self._situation)

    def progress(self, kind: Kind, policy: PolicyId) -> Iterator[GroupProgress]:
        """Yield how far each group is with an upgrade."""
        return listing.progress(kind, policy, self._situation)

    def revised_at(self, kind: Kind, policy: PolicyId) -> datetime | None:
        """Return when the policy's present revision was written."""
        known = self._situation.picture.policies.get(kind, policy)
        return None if isinstance(known, Sight) else known.revised_at

    def oldest_grant(self) -> GroupId | None:
        """Return the group whose lease has been held longest."""
        occupied = self._situation.ledger.occupied()
        held = [(lease.tenure.granted_at, lease.group) for lease in occupied if lease.tenure is not None]
        return min(held)[1] if held else None

    def orders(self, *, with_windows: bool = True) -> Orders:
        """Return what operators have ordered."""
        return orders(self._situation, with_windows=with_windows)

    async def note(self, event: Event) -> None:
        """Write an event that changes nothing to the journal."""
        await self._situation.commit(Change(events=[event]))

    def unknown(self, noun: Noun, name: str) -> str:
        """Return that the name is not known, with the nearest one."""
        return naming.unknown(noun, name, self._situation)

    def nearest(self, noun: Noun, name: str) -> str:
        """Return the known name that is nearest to this one."""
        return naming.nearest(noun, name, self._situation)

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        """Read the journal."""
        return await self._store.journal(query)

    def _view(self, group: GroupId) -> GroupView:
        return view_group(group, self._situation)
