"""What some seeds draw besides: what the real hub does, and what befalls it, that no plan of rollouts has.

An Exchange that is away for longer than a lease, clocks that step, ids that become visible late,
deletions that no row reports of, agents that ask somebody else, policies that only some nodes
match, an agbot whose lists cannot be read, an absence that is none, a cache, several Exchanges.
Drawn apart from the rest, which stays as it is. A kind is drawn by itself once the product stands it (`DRAWN`); `--wild` plays
the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum

from agbot.sim.faults import Fault, FaultKind
from agbot.sim.habits import Habits, Outcome
from agbot.sim.machine import Asks
from tests.simulation.plan import COORDINATOR, Deed, Event, GroupPlan, Plan, times

SHARE = 0.5
_OURS = f"^{COORDINATOR}$"
_EVERYBODY = "^(?!root/)(?!.*/admin$)"


class Kind(StrEnum):
    """What is drawn."""

    OUTAGE = "outage"
    OUR_CLOCK = "our clock"
    EXCHANGE_CLOCK = "exchange clock"
    LATE_IDS = "late ids"
    CASCADE = "cascade"
    ABSENCE = "absence"
    POISON = "poison"
    RESTORE = "restore"
    CONSTRAINTS = "constraints"
    ROWS = "rows"
    AGBOT_FAULTS = "agbot faults"
    BYPASS = "bypass"
    OLD_DOWNLOADS = "old downloads"
    STORE = "store"
    SLOW_REPORTS = "slow reports"
    OLD_COPY = "old copy"
    SKEW = "skew"


DRAWN = frozenset(Kind) - {Kind.SKEW}
"""What the product stands.

Several clocks keep every promise about leases. But without the agbot's lists, a new agreement that
a server stamps as older than the end of the one before is no proof that the service runs again: the
member is waited for as long as a lease lasts, and seed 104105 calls the next one an overlap.
"""


def added(plan: Plan, kinds: frozenset[Kind] = DRAWN, *, share: float = SHARE) -> Plan:
    """Return the plan with wild things, if its seed draws any: about half of the kinds, or of those named."""
    chance = plan.chance("wild")
    if plan.is_controlled or chance.random() >= share:
        return plan
    some = frozenset(kind for kind in _FIRST if chance.random() < _HALF and kind in kinds)
    drawn = some | _later(plan, kinds) or kinds
    events = list(plan.events)
    for kind in sorted(drawn):
        events.extend(_EVENTS.get(kind, _nothing)(plan.chance(f"wild {kind}"), plan))
    events = _with_vanishing(events) if Kind.SLOW_REPORTS in drawn else events
    return replace(
        plan,
        events=tuple(sorted(events, key=lambda event: event.at)),
        wild=drawn,
        is_calm=False,
        shows_rows=bool(drawn & {Kind.ROWS, Kind.AGBOT_FAULTS}),
        agbot_asks=plan.agbot_asks and not (Kind.ROWS in drawn and chance.random() < _HALF),
        bypasses=_bypass(chance, plan) if Kind.BYPASS in drawn else plan.bypasses,
        groups=_groups(plan, drawn),
    )


_HALF = 0.5
_LATER = (Kind.OLD_DOWNLOADS, Kind.STORE, Kind.SLOW_REPORTS, Kind.OLD_COPY, Kind.SKEW)
"""Drawn apart from the others, which stay as they are."""
_FIRST = tuple(kind for kind in Kind if kind not in _LATER)


def _later(plan: Plan, kinds: frozenset[Kind]) -> frozenset[Kind]:
    chance = plan.chance("wild later")
    return frozenset(kind for kind in _LATER if chance.random() < _HALF and kind in kinds)


def _groups(plan: Plan, drawn: frozenset[Kind]) -> tuple[GroupPlan, ...]:
    """Change the habits of nodes.

    With old downloads, nodes that wait go on to ask under the download that they have, for a while
    after a new revision. With slow reports, a node's list calls an agreement final long after its
    containers run.
    """
    groups = plan.groups
    if Kind.OLD_DOWNLOADS in drawn:
        chance = plan.chance("wild old downloads")
        groups = _with_habits(
            groups, lambda each: replace(each, revision_seconds=(60.0, chance.choice((120.0, 300.0))))
        )
    if Kind.SLOW_REPORTS in drawn:
        groups = _with_habits(groups, lambda each: replace(each, final_seconds=(8.0, 12.0)))
    return groups


def _with_habits(groups: tuple[GroupPlan, ...], change: Callable[[Habits], Habits]) -> tuple[GroupPlan, ...]:
    return tuple(replace(group, habits=tuple(change(each) for each in group.habits)) for group in groups)


def _with_vanishing(events: list[Event]) -> list[Event]:
    """Return the events with releases that take their agreement along when they crash."""
    crashes = (Deed.DEPLOY, Outcome.CRASHES)
    return [
        replace(each, outcome=Outcome.VANISHES) if (each.deed, each.outcome) == crashes else each for each in events
    ]


def _stores(chance: random.Random, plan: Plan) -> Iterator[Event]:
    """An old copy takes the place of the store under a coordinator that is down."""
    for at in times(chance, 200, plan.chaos_seconds, 700.0):
        yield Event(at=at, deed=Deed.REPLACE_STORE, seconds=chance.choice((30.0, 120.0, 300.0)))


def _bypass(chance: random.Random, plan: Plan) -> tuple[Asks, ...]:
    """Draw for each group whom its first member asks."""
    return tuple(chance.choice((Asks.COORDINATOR, Asks.AGBOT, Asks.NO_ONE, Asks.NOWHERE)) for _ in plan.groups)


def _nothing(_chance: random.Random, _plan: Plan) -> Iterator[Event]:
    return iter(())


def _fault(at: float, seconds: float, fault: Fault) -> Event:
    return Event(at=at, deed=Deed.FAULT, seconds=seconds, fault=fault)


def _outages(chance: random.Random, plan: Plan) -> Iterator[Event]:
    """Of which some are longer than a lease, and some than a dead node may be silent."""
    for at in times(chance, 60, plan.chaos_seconds, 600.0):
        caller = chance.choice((_OURS, _OURS, _EVERYBODY))
        kind = chance.choice((FaultKind.DROP, FaultKind.STATUS))
        seconds = plan.limits.lease_seconds * chance.uniform(1.2, 5.0)
        yield _fault(at, seconds, Fault(kind=kind, caller=caller, status=503))


def _our_steps(chance: random.Random, plan: Plan) -> Iterator[Event]:
    """Steps that stay, and wrong dates that somebody puts right after moments."""
    for at in times(chance, 120, plan.chaos_seconds, 500.0):
        offset = chance.choice((5400.0, -5400.0, 86_400.0, -86_400.0, 30.0, -30.0))
        yield Event(at=at, deed=Deed.OUR_CLOCK, pick=offset, seconds=chance.choice((12.0, 120.0, 1e9)))


def _exchange_steps(chance: random.Random, plan: Plan) -> Iterator[Event]:
    for at in times(chance, 120, plan.chaos_seconds, 500.0):
        offset = chance.choice((3600.0, -3600.0, 86_400.0, -86_400.0))
        kind = chance.choice((FaultKind.CLOCK, FaultKind.CLOCK, FaultKind.DATE))
        yield _fault(at, chance.choice((12.0, 120.0, 1e9)), Fault(kind=kind, seconds=offset))


def _late_ids(chance: random.Random, plan: Plan) -> Iterator[Event]:
    for at in times(chance, 30, plan.chaos_seconds, 300.0):
        late = Fault(
            kind=FaultKind.LATE,
            path="/changes",
            rate=chance.choice((0.1, 0.3)),
            seconds=chance.choice((1.5, 5.0, 20.0)),
        )
        yield _fault(at, chance.choice((60.0, 300.0)), late)


def _cascades(chance: random.Random, plan: Plan) -> Iterator[Event]:
    for at in times(chance, 120, plan.chaos_seconds, 600.0):
        deed = chance.choice((Deed.DELETE_NODES_OWNER, Deed.DELETE_POLICYS_OWNER, Deed.DELETE_POLICYS_OWNER))
        yield Event(at=at, deed=deed, group=chance.randrange(len(plan.groups)), pick=chance.random())


def _absences(chance: random.Random, plan: Plan) -> Iterator[Event]:
    """Each is reported once, or twice within moments; and nothing of it is so."""
    for at in times(chance, 60, plan.chaos_seconds, 200.0):
        fault = chance.choice(
            (
                Fault(kind=FaultKind.ABSENT, path=r"/nodes/[^/]+$", caller=_OURS, times=1),
                Fault(kind=FaultKind.ABSENT, path=r"/managementpolicies", caller=_OURS, times=1),
                Fault(kind=FaultKind.EMPTY, path="/nodes", caller=_OURS, times=1),
                Fault(kind=FaultKind.SHORT, path="/nodes", caller=_OURS, node="-1$", times=1),
                Fault(kind=FaultKind.NO_GROUP, path="/nodes", caller=_OURS, node="-[12]$", times=1),
            )
        )
        yield _fault(at, 60.0, fault)


def _poison(chance: random.Random, plan: Plan) -> Iterator[Event]:
    for at in times(chance, 60, plan.chaos_seconds, 400.0):
        kind = chance.choice((FaultKind.FUTURE, FaultKind.NESTED))
        yield _fault(at, chance.choice((30.0, 200.0)), Fault(kind=kind, caller=_OURS, node="-1$", path="/nodes"))


def _restores(chance: random.Random, plan: Plan) -> Iterator[Event]:
    for at in times(chance, 200, plan.chaos_seconds, 900.0):
        yield Event(at=at, deed=Deed.RESTORE, seconds=chance.choice((30.0, 120.0, 400.0)))


def _cleared_rows(chance: random.Random, plan: Plan) -> Iterator[Event]:
    """A person deletes a group's rows through the agbot's local API, stuck or not."""
    for at in times(chance, 120, plan.chaos_seconds, 600.0):
        yield Event(at=at, deed=Deed.CLEAR_ROWS, group=chance.randrange(len(plan.groups)))


def _agbot_faults(chance: random.Random, plan: Plan) -> Iterator[Event]:
    for at in times(chance, 60, plan.chaos_seconds, 300.0):
        kind = chance.choice((FaultKind.REFUSE, FaultKind.HANG, FaultKind.STATUS, FaultKind.GARBAGE))
        text = chance.choice(("null", "{}", "<html>", '[{"groupName": 1}]'))
        fault = Fault(kind=kind, status=500, text=text, rate=chance.choice((0.3, 1.0)))
        yield Event(at=at, deed=Deed.AGBOT_FAULT, seconds=chance.choice((10.0, 60.0, 200.0)), fault=fault)


def _old_copies(chance: random.Random, plan: Plan) -> Iterator[Event]:
    """A cache, or one of several Exchanges behind one name, answers as of a moment: always, or now and then."""
    for at in times(chance, 60, plan.chaos_seconds, 300.0):
        path = chance.choice(("", "", "/managementStatus", "/nodes", "/agreements|/status$", "/hagroups", "/changes"))
        old = Fault(kind=FaultKind.STALE, caller=_OURS, path=path, rate=chance.choice((0.3, 0.6, 1.0)))
        yield _fault(at, chance.choice((30.0, 120.0, 300.0)), old)


def _skews(chance: random.Random, plan: Plan) -> Iterator[Event]:
    """A part of the requests is answered by another server, whose clock differs."""
    for at in times(chance, 60, plan.chaos_seconds, 600.0):
        other = Fault(
            kind=FaultKind.SKEW, seconds=chance.choice((-20.0, -5.0, 5.0, 20.0)), rate=chance.choice((0.2, 0.5))
        )
        yield _fault(at, chance.choice((120.0, 600.0, 1e9)), other)


_EVENTS: Mapping[Kind, Callable[[random.Random, Plan], Iterator[Event]]] = {
    Kind.OUTAGE: _outages,
    Kind.OUR_CLOCK: _our_steps,
    Kind.EXCHANGE_CLOCK: _exchange_steps,
    Kind.LATE_IDS: _late_ids,
    Kind.CASCADE: _cascades,
    Kind.ABSENCE: _absences,
    Kind.POISON: _poison,
    Kind.RESTORE: _restores,
    Kind.ROWS: _cleared_rows,
    Kind.AGBOT_FAULTS: _agbot_faults,
    Kind.STORE: _stores,
    Kind.OLD_COPY: _old_copies,
    Kind.SKEW: _skews,
}
"""The others change the hub itself."""
