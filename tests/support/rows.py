"""Rows of the journal as they are committed: an event at a moment."""

from __future__ import annotations

from typing import Final

from agbot.events import leases, operators, outcomes, waits
from agbot.events.event import DecisionRecord
from agbot.events.leases import Ending
from agbot.rules.facts import Ask
from agbot.rules.lease import Lease
from agbot.rules.reasons import Reason
from agbot.rules.records import Brake, Hold, Waiter
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry

GRANTS: Final = frozenset({"guard.granted", "lease.granted", "lease.taken_over", "lease.observed"})
"""The events of a new token, from which on a member holds the lease."""


def granted(lease: Lease, now: Now, decision_record: DecisionRecord | None = None) -> Entry:
    return Entry.of(leases.granted(lease, now, decision_record), now.wall)


def exempted(ask: Ask, reason: Reason, now: Now, decision_record: DecisionRecord | None = None) -> Entry:
    return Entry.of(leases.exempted(ask, reason, decision_record), now.wall)


def renewed(lease: Lease, why: str, now: Now) -> Entry:
    return Entry.of(leases.renewed(lease, why), now.wall)


def suspected(lease: Lease, why: str, now: Now, decision_record: DecisionRecord | None = None) -> Entry:
    return Entry.of(leases.suspected(lease, why, decision_record), now.wall)


def released(lease: Lease, ending: Ending, now: Now) -> Entry:
    return Entry.of(leases.released(lease, ending, now), now.wall)


def wait_changed(waiter: Waiter, now: Now) -> Entry:
    return Entry.of(waits.changed(waiter, now), now.wall)


def brake_set(brake: Brake, now: Now, why: str) -> Entry:
    return Entry.of(outcomes.brake_set(brake, why), now.wall)


def hold_set(hold: Hold, now: Now) -> Entry:
    return Entry.of(operators.hold_set(hold), now.wall)


def hold_ended(hold: Hold, why: str, now: Now, who: str = "coordinator") -> Entry:
    return Entry.of(operators.hold_ended(hold, why, who), now.wall)
