"""The content of the store in memory.

The coordinator decides on it without a request to the store. `Ledger` writes to the store, and
changes what is kept here after the commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agbot.coordinator.memory.tally import Tally
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.records import Allowance, Approval, Brake, Busy, Contact, Deferral, Hold, Turn, Waiter
from agbot.rules.seen_time import ClockMark, SeenTime
from agbot.store.contract import Generation, Stored, Writes
from agbot.store.records import KEPT, Key, Record, key_of, waiter_name
from agbot.store.swaps import is_as_expected


class Contents:
    """Leases and records by group."""

    def __init__(self) -> None:
        self.leases: dict[GroupId, Lease] = {}
        self.granting: dict[GroupId, Lease] = {}
        """Grants on their way to the store. They count as groups with a lease: many agents ask at
        once."""
        self.leaving: set[Key] = set()
        """Records that a grant on its way to the store will drop: nothing else ends them or reports
        it."""
        self.brakes: defaultdict[GroupId, dict[tuple[Kind, PolicyId], Brake]] = defaultdict(dict)
        self.deferrals: defaultdict[GroupId, dict[NodeId, Deferral]] = defaultdict(dict)
        self.turns: defaultdict[GroupId, dict[NodeId, Turn]] = defaultdict(dict)
        self.waiters_read_at: SeenTime | None = None
        """Waiters count as having asked then, when the store was read: none could ask before."""
        self.waiters: defaultdict[GroupId, dict[tuple[str, ...], Waiter]] = defaultdict(dict)
        self.contacts: dict[NodeId, Contact] = {}
        self.holds: dict[str, Hold] = {}
        self.allowances: dict[NodeId, Allowance] = {}
        self.approvals: dict[tuple[str, ...], Approval] = {}
        self.busy: dict[NodeId, Busy] = {}
        self._records: Mapping[type, dict[Any, Any]] = {
            Allowance: self.allowances,
            Approval: self.approvals,
            Brake: self.brakes,
            Busy: self.busy,
            Contact: self.contacts,
            Deferral: self.deferrals,
            Hold: self.holds,
            Turn: self.turns,
            Waiter: self.waiters,
        }
        self.generation = Generation()
        self.clock_mark: ClockMark | None = None
        """The seen clock as it was last written."""
        self.tally = Tally(self.leases, self.granting, self.waiters, self.deferrals, self.brakes)

    def waiter(self, ask: Ask) -> Waiter | None:
        """Return the waiter with this question."""
        return self.waiters[ask.group].get(waiter_name(ask))

    def last_asked_at(self, waiter: Waiter) -> SeenTime | None:
        """Return when this waiter last asked; None if it has not asked since the store was read."""
        read_at = self.waiters_read_at
        return waiter.asked_at if read_at is None or waiter.asked_at > read_at else None

    def lease(self, group: GroupId) -> Lease:
        """Return the group's lease: a free one with token 0 if it has never had any."""
        return self.leases.get(group) or Lease(group=group)

    def occupied(self) -> Iterator[Lease]:
        """Yield every lease that is held or suspect."""
        return (self.leases[group] for group in list(self.tally.occupied))

    def ended(self) -> Iterator[Lease]:
        """Yield every lease with a known last end and no grant after it."""
        return (self.leases[group] for group in list(self.tally.ended))

    def known_members(self, turns_since: SeenTime) -> Iterator[tuple[NodeId, GroupId]]:
        """Yield each known member with its group.

        Known are holders, waiters, deferred nodes, and nodes that have upgraded since then.
        """
        yield from ((lease.tenure.claim.holder, lease.group) for lease in self.occupied() if lease.tenure is not None)
        for waiters in self.waiters.values():
            yield from ((waiter.ask.node, waiter.ask.group) for waiter in waiters.values())
        for deferrals in self.deferrals.values():
            yield from ((deferral.node, deferral.group) for deferral in deferrals.values())
        for turns in self.turns.values():
            yield from ((turn.node, turn.group) for turn in turns.values() if turn.until >= turns_since)

    def note(self, waiter: Waiter) -> None:
        """Keep a waiter in memory; the cycle writes it to the store."""
        waiters, name = self.waiters[waiter.ask.group], waiter_name(waiter.ask)
        is_new = name not in waiters
        waiters[name] = waiter
        if is_new:
            self.tally.update(waiter.ask.group)

    def _apply(self, writes: Writes) -> None:
        for lease in writes.moved:
            # one that was granted or has ended since has its own dates
            if is_as_expected(self.lease(lease.group), lease):
                self.leases[lease.group] = lease
                self.tally.update(lease.group)
        for record in writes.put:
            self._put(record)
        for key in writes.drop:
            self._drop(key)

    def _put(self, record: Record) -> None:
        if isinstance(record, ClockMark):
            self.clock_mark = record
            return
        records, name = self._place(key_of(record))
        # memory has the latest question of a waiter
        if not isinstance(record, Waiter) or name not in records:
            records[name] = record
            self._changed(key_of(record))

    def _drop(self, key: Key) -> None:
        records, name = self._place(key)
        if records.pop(name, None) is not None:
            self._changed(key)

    def _changed(self, key: Key) -> None:
        if KEPT[key.of].is_of_group:
            self.tally.update(GroupId(key.values[0]))

    def _place(self, key: Key) -> tuple[dict[Any, Any], str | tuple[str, ...]]:
        """Return the mapping that keeps the record with this key, and its name there.

        The name of a record of a group is its key without the group.
        """
        records, name = self._records[key.of], key.values
        if KEPT[key.of].is_of_group:
            records, name = records[name[0]], name[1:]
        return records, name if len(name) > 1 else name[0]

    def _take(self, stored: Stored) -> None:
        self.generation = stored.generation
        self.leases.clear()
        self.leases.update(stored.leases)
        self.clock_mark = None
        noted = [waiter for waiters in self.waiters.values() for waiter in waiters.values()]
        for records in self._records.values():
            records.clear()
        for record in stored.records:
            self._put(record)
        for waiter in noted:
            before = self.waiter(waiter.ask)
            # a node that asks a daemon that has just started may have waited long before
            since = min(waiter.since, before.since) if before else waiter.since
            self.waiters[waiter.ask.group][waiter_name(waiter.ask)] = replace(waiter, since=since)
        self.tally.update_all()
