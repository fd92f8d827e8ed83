"""What some seeds draw besides: controls of a rollout, and a person who uses them.

Drawn apart from the rest, which stays as it is. Each seed's policies reach one group only, so a
release for every node there is comes too: only such a one has a canary, and fails in more than one
group.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from agbot.rules.limits import Limits, Order
from agbot.rules.window import Window
from tests.simulation.plan import FATES, Deed, Event, Plan, times
from tests.support.clocks import NOON

SHARE = 0.3
_LATEST_RELEASE_SECONDS = 200.0
FOR_EVER_SECONDS = 1e9


def added(plan: Plan) -> Plan:
    """Return the plan with controls, if its seed draws any."""
    chance = plan.chance("controls")
    if chance.random() >= SHARE:
        return plan
    limits = _limits(chance, plan)
    events = sorted((*plan.events, *_events(chance, plan, limits)), key=lambda event: event.at)
    return replace(plan, limits=limits, events=tuple(events), is_controlled=True)


def lifted(limits: Limits) -> Limits:
    """Return what a person leaves in force at the end: nothing that only time ends."""
    return replace(limits, windows=())


def _limits(chance: random.Random, plan: Plan) -> Limits:
    has_windows, has_canary, has_share = (chance.random() < share for share in (0.5, 0.4, 0.4))
    in_org, in_fleet = chance.choice(((0, 0), (1, 0), (0, 1), (2, 2)))
    return replace(
        plan.limits,
        windows=_windows(chance, plan.ahead_seconds) if has_windows else (),
        max_groups_in_org=in_org,
        max_groups_in_fleet=in_fleet,
        canary_percent=chance.choice((34.0, 50.0)) if has_canary else 0.0,
        min_available_percent=chance.choice((30.0, 50.0)) if has_share else 0.0,
        approval=chance.random() < 0.35,
        order=chance.choice(tuple(Order)),
        org_brake_groups=chance.choice((1, 2, 3)),
    )


def _windows(chance: random.Random, ahead_seconds: float) -> tuple[Window, ...]:
    """Two windows of some minutes in the first half hour of the coordinator's clock."""
    begin = NOON + timedelta(seconds=ahead_seconds)
    first = begin + timedelta(minutes=chance.randint(0, 5))
    closes = first + timedelta(minutes=chance.randint(3, 8))
    second = closes + timedelta(minutes=chance.randint(2, 8))
    return _window(first, closes), _window(second, second + timedelta(minutes=chance.randint(3, 8)))


def _window(opens: datetime, closes: datetime) -> Window:
    return Window(
        weekdays=frozenset({opens.weekday()}),
        opens=opens.time().replace(second=0),
        closes=closes.time().replace(second=0),
    )


def _events(chance: random.Random, plan: Plan, limits: Limits) -> Iterator[Event]:
    nodes = sum(group.members + group.clusters for group in plan.groups)
    for _ in range(chance.randint(1, 2)):
        at = chance.uniform(20, plan.chaos_seconds - _LATEST_RELEASE_SECONDS)
        yield Event(at=at, deed=Deed.PUBLISH_TO_ALL, fates=tuple(chance.choices(FATES, k=nodes)))
    for at in times(chance, 60, plan.chaos_seconds, 400.0):
        seconds = chance.choice((60.0, 180.0, 400.0, FOR_EVER_SECONDS))
        yield _by_a_person(chance, at, plan, Deed.HOLD, seconds)
    for at in times(chance, 60, plan.chaos_seconds, 600.0):
        yield _by_a_person(chance, at, plan, Deed.END_HOLDS)
    for at in times(chance, 60, plan.chaos_seconds, 400.0):
        yield _by_a_person(chance, at, plan, Deed.ALLOW, chance.choice((120.0, 600.0)))
    if limits.approval:
        for at in times(chance, 60, plan.chaos_seconds, 200.0):
            yield _by_a_person(chance, at, plan, Deed.APPROVE)


def _by_a_person(chance: random.Random, at: float, plan: Plan, deed: Deed, seconds: float = 0.0) -> Event:
    group = chance.randrange(len(plan.groups))
    return Event(at=at, deed=deed, group=group, pick=chance.random(), seconds=seconds)
