"""What one seed draws: the hub, its limits, and everything that will happen to it, before anything happens.

Times are short against a real hub's (a lease of minutes, an upgrade of seconds), so that an hour
shows what a week would. Everything is drawn from the seed alone; what happens to be true later
decides only whether a planned deed can still be done.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from agbot.rules.limits import Limits
from agbot.settings.model import AgbotSettings, ExchangeSettings
from agbot.sim.faults import Fault
from agbot.sim.habits import Fate, Habits, Outcome
from agbot.sim.machine import Asks
from tests.simulation import hub_faults

COORDINATOR = "IBM/coordinator"
STRANGE_WORDS = ("installing", "success", "Successful", "completed", "", "upgrade pending", "aborted")
"""Statuses that no agent reports today, some of them tempting."""


class Deed(StrEnum):
    """What happens."""

    PUBLISH = "publish"
    CHANGE_NMP = "change nmp"
    DISABLE_NMP = "disable nmp"
    DELETE_NMP = "delete nmp"
    DEPLOY = "deploy"
    DIE = "die"
    ALL_BUT_ONE_DIE = "all but one die"
    RESTART = "restart agent"
    UNREGISTER = "unregister"
    DELETE_NODE = "delete node"
    LEAVE = "leave"
    JOIN = "join"
    MOVE = "move"
    FAULT = "fault"
    STRANGE_WORDS = "strange words"
    STORE_FAULT = "store fault"
    STORE_STALL = "store stall"
    KILL = "kill"
    KILL_AT_WRITE = "kill at write"
    LOSE_ANSWERS = "lose answers"
    AGBOT_RESTART = "restart agbot"
    CLOCK = "clock"
    PAUSE = "pause"
    RESUME = "resume"
    FORCE = "force"
    PUBLISH_TO_ALL = "publish to all"
    HOLD = "hold"
    END_HOLDS = "end holds"
    ALLOW = "allow"
    APPROVE = "approve"
    OUR_CLOCK = "our clock steps"
    DELETE_NODES_OWNER = "delete a node's owner"
    DELETE_POLICYS_OWNER = "delete a policy's owner"
    RESTORE = "back up and restore"
    AGBOT_FAULT = "agbot fault"
    CLEAR_ROWS = "clear the agbot's rows"
    REPLACE_STORE = "replace the store by an older copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One deed.

    `pick` chooses among what is there when its time has come, `seconds` is how long it lasts.
    """

    at: float
    deed: Deed
    group: int = 0
    pick: float = 0.0
    seconds: float = 0.0
    fault: Fault | None = None
    word: str = ""
    fates: tuple[Fate, ...] = ()
    outcome: Outcome = Outcome.RUNS


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """One HA group."""

    members: int
    clusters: int
    has_service: bool
    habits: tuple[Habits, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole run."""

    seed: int
    groups: tuple[GroupPlan, ...]
    limits: Limits
    agbot: AgbotSettings
    settings: ExchangeSettings
    way_seconds: float
    store_seconds: float
    ahead_seconds: float
    """How far the coordinator's clock is ahead of the Exchange's."""
    duplicates: float
    """Share of questions and ends that arrive twice."""
    is_calm: bool
    """Nothing goes wrong but with nodes: here the bounds on waiting hold."""
    agbot_asks: bool
    """Whether the agbot asks before it takes a service down. Where it does not, no one can keep it
    from overlapping with others."""
    cleans_up: bool
    """In the end a person frees what is suspect."""
    chaos_seconds: float
    events: tuple[Event, ...]
    is_controlled: bool = False
    """Limits and a person control the rollouts (`controls`); in the end that person puts everything
    right."""

    wild: frozenset[str] = frozenset()
    """What of `wild` befalls this hub."""
    course: str = ""
    """Which of `courses` happens in place of events; empty: none."""
    shows_rows: bool = False
    """The coordinator is configured with the agbot's local API."""
    bypasses: tuple[Asks, ...] = ()
    """For each group, whom its first member asks; empty: everybody asks the coordinator."""

    def chance(self, name: str) -> random.Random:
        """Return a generator of its own for one part of the run."""
        return random.Random(f"{self.seed}/{name}")


_ASKING = 0.85
"""The share of runs in which the agbot asks."""


def draw(seed: int) -> Plan:
    """Draw a run."""
    chance = random.Random(f"{seed}/plan")
    is_calm = chance.random() < 0.25
    sizes = chance.choice(((2,), (3,), (3,), (4,), (2, 2), (2, 3), (1, 3), (2, 2, 2)))
    plan = Plan(
        seed=seed,
        groups=tuple(_group(chance, size) for size in sizes),
        limits=_limits(chance),
        agbot=AgbotSettings(identity=chance.choice(("", "IBM/agbot1"))),
        settings=_settings(chance),
        way_seconds=0.02 if is_calm else chance.choice((0.0, 0.02, 0.2, 0.6)),
        store_seconds=0.005 if is_calm else chance.choice((0.0, 0.01, 0.1, 0.5)),
        ahead_seconds=0.0 if is_calm else chance.choice((0.0, 0.0, 1.5, -1.5, 40.0, -40.0, 900.0, -900.0)),
        duplicates=0.0 if is_calm else chance.choice((0.0, 0.0, 0.05, 0.3)),
        is_calm=is_calm,
        agbot_asks=random.Random(f"{seed}/asks").random() < _ASKING,
        cleans_up=chance.random() < 0.5,
        chaos_seconds=chance.choice((900.0, 1200.0, 1200.0, 1800.0)),
        events=(),
    )
    plan = replace(plan, events=tuple(_events(chance, plan)))
    return replace(plan, events=tuple(sorted((*plan.events, *_dark_hours(plan)), key=lambda event: event.at)))


def _limits(chance: random.Random) -> Limits:
    return Limits(
        lease_seconds=chance.choice((130.0, 180.0)),
        confirm_seconds=chance.choice((90.0, 120.0)),
        failure_grace_seconds=60.0,
        reset_grace_seconds=chance.choice((90.0, 150.0)),
        max_upgrade_seconds=chance.choice((600.0, 800.0)),
        dead_after_seconds=chance.choice((400.0, 600.0)),
        heartbeat_stale_seconds=chance.choice((150.0, 200.0)),
        min_available=1,
        agent_soak_seconds=chance.choice((0.0, 0.0, 30.0)),
        service_soak_seconds=chance.choice((30.0, 60.0)),
        rest_proof_seconds=chance.choice((120.0, 300.0)),
        ask_period_seconds=60.0,
    )


def _settings(chance: random.Random) -> ExchangeSettings:
    return ExchangeSettings(
        url="http://exchange/v1",
        identity=COORDINATOR,
        poll_seconds=10.0,
        busy_poll_seconds=chance.choice((2.0, 5.0, 5.0)),
        heartbeat_seconds=30.0,
        resync_seconds=chance.choice((600.0, 1200.0)),
        view_max_age_seconds=chance.choice((30.0, 60.0)),
    )


def _group(chance: random.Random, size: int) -> GroupPlan:
    clusters = int(chance.random() < 0.1)
    return GroupPlan(
        members=size,
        clusters=clusters,
        has_service=chance.random() < 0.6,
        habits=tuple(_habits(chance) for _ in range(size + clusters)),
    )


def _habits(chance: random.Random) -> Habits:
    return Habits(
        heartbeat_seconds=chance.choice((30.0, 60.0, 60.0)),
        cron_seconds=chance.choice((30.0, 60.0, 60.0, 240.0)),
        install_seconds=chance.choice(((10.0, 30.0), (30.0, 90.0))),
        rollback_seconds=(10.0, 40.0),
        boot_seconds=(1.0, 5.0),
        failed_shows_seconds=(5.0, 30.0),
    )


_NODE_DEEDS = (
    (Deed.DIE, 6),
    (Deed.RESTART, 3),
    (Deed.UNREGISTER, 2),
    (Deed.DELETE_NODE, 1),
    (Deed.LEAVE, 1),
    (Deed.JOIN, 3),
    (Deed.MOVE, 2),
    (Deed.STRANGE_WORDS, 2),
    (Deed.DISABLE_NMP, 1),
    (Deed.DELETE_NMP, 1),
    (Deed.PAUSE, 1),
    (Deed.RESUME, 2),
    (Deed.FORCE, 2),
)
_HUB_DEEDS = (
    (Deed.FAULT, 8),
    (Deed.STORE_FAULT, 3),
    (Deed.STORE_STALL, 1),
    (Deed.KILL, 3),
    (Deed.KILL_AT_WRITE, 3),
    (Deed.LOSE_ANSWERS, 2),
    (Deed.AGBOT_RESTART, 1),
    (Deed.CLOCK, 1),
)
FATES = (
    *((Fate.SUCCEEDS,) * 14),
    Fate.ROLLS_BACK,
    Fate.ROLLS_BACK,
    Fate.ROLLBACK_FAILS,
    Fate.PRECHECK_FAILS,
    Fate.DOWNLOAD_FAILS,
    Fate.HANGS,
    Fate.LOSES_REPORT,
    Fate.LOSES_REPORT,
    Fate.DIES_ON_GRANT,
    Fate.DIES_DOWNLOADED,
    Fate.DIES_INSTALLING,
)


_BEGIN_UPGRADES = (Deed.PUBLISH, Deed.CHANGE_NMP, Deed.DEPLOY)
_DARK_SHARE = 0.3
"""Of the groups with a service."""
_DARK_LATE_SECONDS = 120.0


def _events(chance: random.Random, plan: Plan) -> Iterator[Event]:
    end = plan.chaos_seconds
    for number, group in enumerate(plan.groups):
        nodes = group.members + group.clusters
        first = chance.uniform(20, 200)
        yield _publication(chance, first, number, nodes, Deed.PUBLISH)
        for at in times(chance, first, end, chance.choice((300.0, 500.0, 900.0))):
            yield _publication(chance, at, number, nodes, Deed.CHANGE_NMP)
        if group.has_service:
            for at in times(chance, 0, end, 700.0):
                outcome = chance.choice(
                    (Outcome.RUNS, Outcome.RUNS, Outcome.RUNS, Outcome.NEVER_STARTS, Outcome.CRASHES)
                )
                yield Event(at=at, deed=Deed.DEPLOY, group=number, outcome=outcome)
    for at in times(chance, 60, end, chance.choice((150.0, 300.0, 600.0))):
        yield _node_event(chance, at, plan)
    if not plan.is_calm:
        for at in times(chance, 60, end, chance.choice((120.0, 240.0, 480.0))):
            yield _hub_event(chance, at)


def _dark_hours(plan: Plan) -> Iterator[Event]:
    """All but one member of a group die while somebody upgrades, and the last one's service gets a new version (P6).

    Chance alone brings this about in one seed of eight. Drawn apart from the rest, which stays as
    it is.
    """
    chance, stale = plan.chance("dark hours"), plan.limits.heartbeat_stale_seconds
    for number, group in enumerate(plan.groups):
        if not group.has_service or chance.random() > _DARK_SHARE:
            continue
        latest = plan.chaos_seconds - stale - _DARK_LATE_SECONDS
        begun = [
            each.at
            for each in plan.events
            if each.group == number and each.deed in _BEGIN_UPGRADES and each.at < latest
        ]
        at = chance.choice(begun) + chance.uniform(20, _DARK_LATE_SECONDS)
        seconds = stale + chance.uniform(200, 500)
        yield Event(at=at, deed=Deed.ALL_BUT_ONE_DIE, group=number, pick=chance.random(), seconds=seconds)
        yield Event(at=at + stale + chance.uniform(-60, 60), deed=Deed.DEPLOY, group=number)


def times(chance: random.Random, begin: float, end: float, mean: float) -> Iterator[float]:
    """Draw moments that come independently of each other, so many seconds apart on average."""
    at = begin + chance.expovariate(1 / mean)
    while at < end:
        yield at
        at += chance.expovariate(1 / mean)


def _publication(chance: random.Random, at: float, group: int, nodes: int, deed: Deed) -> Event:
    return Event(at=at, deed=deed, group=group, pick=chance.random(), fates=tuple(chance.choices(FATES, k=nodes)))


def _node_event(chance: random.Random, at: float, plan: Plan) -> Event:
    deeds, weights = zip(*_NODE_DEEDS, strict=True)
    return Event(
        at=at,
        deed=chance.choices(deeds, weights)[0],
        group=chance.randrange(len(plan.groups)),
        pick=chance.random(),
        seconds=chance.choice((30.0, 120.0, 400.0, 1200.0, 1e9)),
        word=chance.choice(STRANGE_WORDS),
    )


def _hub_event(chance: random.Random, at: float) -> Event:
    deeds, weights = zip(*_HUB_DEEDS, strict=True)
    deed = chance.choices(deeds, weights)[0]
    fault = hub_faults.draw(chance, COORDINATOR) if deed is Deed.FAULT else None
    seconds = chance.choice((10.0, 40.0, 120.0, 300.0))
    return Event(at=at, deed=deed, pick=chance.random(), seconds=seconds, fault=fault)
