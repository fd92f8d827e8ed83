"""One seed from beginning to end: set up, chaos as planned, then a quiet time in which everything must drain."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog

from agbot.rules.limits import Limits
from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.episodes import Tolerance
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.fleet import Fleet
from agbot.sim.links import DirectExchange
from agbot.sim.local_api import LocalApi
from tests.simulation import controls, courses, wild
from tests.simulation.courses import Course
from tests.simulation.daemon import Daemon
from tests.simulation.disk import Disk
from tests.simulation.judge import Judge
from tests.simulation.people import People
from tests.simulation.plan import Plan, draw
from tests.simulation.process import watch_tasks
from tests.simulation.stage import ORG, Stage, group_name
from tests.simulation.story import HUB, Broken, Promise, Story
from tests.simulation.wires import CoordinatorWire, ExchangeWire
from tests.support import virtual_time
from tests.support.clocks import LoopClock

_LOOK_SECONDS = 60.0
_AT_LEAST_QUIET_SECONDS = 300.0
_LAST_RELEASE_SECONDS = 8000.0
"""Long enough for every node there is, one after the other, and for what was lost on the way to be
given up."""
_RESTART_SECONDS = 5.0
_AGBOTS = ("http://agbot-1:8080", "http://agbot-2:8080")
"""Two of them, on one database."""
_BUGS = ("cycle.failed", "part.failed", "question.failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run."""

    seed: int
    broken: Broken | None
    digest: str
    lines: int
    grants: int
    upgrades: int
    asked_alone: int
    """Questions that put P6 to the test: for a running service, while every peer was offline."""


def play(
    number: int,
    *,
    is_reported_aloud: bool = False,
    only: frozenset[wild.Kind] = frozenset(),
    course: Course | None = None,
) -> Outcome:
    """Play one seed; with `only`, with wild things of these kinds and in every run that has no controls; or one course."""
    try:
        drawn = controls.added(draw(number))
        plan = wild.added(drawn, only, share=1.0) if only else wild.added(drawn)
        plan = plan if course is None else courses.laid(draw(number), course)
        return virtual_time.run(Run(plan, is_reported_aloud=is_reported_aloud).play())
    except Exception as error:
        error.add_note(f"in seed {number}")  # one of hundreds, in another process
        raise
    finally:
        structlog.reset_defaults()  # the log is the process's, and the next test's


class Run:
    """The parts of one run and how they hang together."""

    def __init__(self, plan: Plan, *, is_reported_aloud: bool) -> None:
        self._plan = plan
        self._story = Story(is_reported_aloud=is_reported_aloud)
        self._judge = Judge(plan, self._story)
        self._daemon: Daemon | None = None
        self._starts = 0
        self._limits: Callable[[], Limits] = lambda: plan.limits
        self._is_over = False
        self._host_clock = LoopClock(plan.ahead_seconds)
        self._local_apis: dict[str, LocalApi] = {}

    async def play(self) -> Outcome:
        """Play it, at most until the first promise is broken."""
        watch_tasks(asyncio.get_running_loop())
        structlog.configure(processors=[self._hear_log], cache_logger_on_first_use=False)
        plan, clock = self._plan, LoopClock()
        self._exchange = SimExchange(clock=clock, root_password="pw", seed=plan.seed)
        seed.agbot(self._exchange, "IBM", "coordinator")
        self._disk = Disk(chance=plan.chance("disk"), seconds=plan.store_seconds, watcher=self._judge)
        self._judge.disk = self._disk
        direct = ExchangeWire(DirectExchange(self._exchange.handle, clock))
        wire = CoordinatorWire(
            lambda: self._daemon,
            asyncio.get_running_loop().create_task,
            chance=plan.chance("wire"),
            way_seconds=plan.way_seconds,
            duplicates=plan.duplicates,
        )
        tolerance = Tolerance(
            offline_after_seconds=plan.limits.heartbeat_stale_seconds - 60,
            dead_after_seconds=plan.limits.dead_after_seconds - 60,
            unconfirmed_after_seconds=plan.limits.confirm_seconds - 30,
            peers_margin_seconds=600.0,
            unseen_seconds=0.0,  # the judge knows what could be seen
        )
        async with Fleet(
            self._exchange,
            wire,
            clock,
            chance_seed=plan.seed,
            exchange_port=direct,
            tolerance=tolerance,
            agbot=AgbotSpec(asks=plan.agbot_asks),
        ) as fleet:
            if plan.shows_rows:
                self._local_apis = {url: fleet.local_api() for url in _AGBOTS}
            self._judge.fleet, self._judge.daemon = fleet, lambda: self._daemon
            fleet.subscribe(self._judge.look)
            fleet.subscribe(self._judge.peers.saw)
            self._exchange.subscribe(self._judge.wrote)
            stage = Stage(
                plan=plan,
                story=self._story,
                judge=self._judge,
                fleet=fleet,
                disk=self._disk,
                wire=wire,
                exchange_wire=direct,
                daemon=lambda: self._daemon,
                limits=plan.limits,
                host_clock=self._host_clock,
                local_apis=tuple(self._local_apis.values()),
            )
            self._stage = stage
            self._limits = self._judge.controls.limits = lambda: stage.limits
            await self._live(fleet, People(stage))
        episodes = fleet.observer.episodes
        grants = sum(lease.token for lease in self._disk.leases().values())
        return Outcome(
            seed=plan.seed,
            broken=self._story.broken,
            digest=self._story.digest(),
            lines=len(self._story),
            grants=grants,
            upgrades=len(episodes),
            asked_alone=self._judge.peers.asked_alone,
        )

    async def _live(self, fleet: Fleet, people: People) -> None:
        await self._set_up(fleet)
        self._start_daemon()
        working = asyncio.create_task(self._work(people))
        ending = asyncio.create_task(self._story.ended.wait())
        done, _ = await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        self._is_over = True
        working.cancel()
        ending.cancel()
        if self._daemon is not None:
            self._daemon.kill()
        if working in done:
            working.result()

    async def _set_up(self, fleet: Fleet) -> None:
        fleet.add_org(ORG)
        fleet.add_agbot()
        for number, group in enumerate(self._plan.groups):
            nodes = await fleet.add_group(
                ORG, group_name(number), group.members, cluster_members=group.clusters, habits=group.habits[0]
            )
            for node, habits in zip(nodes, group.habits, strict=True):
                node.habits = habits
            if self._plan.bypasses:
                fleet.redirect_questions(nodes[0], self._plan.bypasses[number])
            if group.has_service:
                self._stage.deploy(number, "3.0.0")
                for node in nodes:
                    if node.spec.node_type == "device":
                        await fleet.agbot.adopt(node, f"{ORG}/svc-g{number}")

    async def _work(self, people: People) -> None:
        loop = asyncio.get_running_loop()
        for event in self._plan.events:
            await asyncio.sleep(max(0.0, event.at - loop.time()))
            people.do(event)
            self._judge.look()
        if self._plan.course:
            await courses.follow(self._stage, people)
        people.heal()
        self._story.report(HUB, "from here on everything is well")
        if self._plan.is_controlled:
            await self._put_right(people)
        await self._drain()

    async def _drain(self) -> None:
        loop, limits = asyncio.get_running_loop(), self._plan.limits
        quiet = limits.max_upgrade_seconds + limits.dead_after_seconds + 2 * limits.lease_seconds + 600.0
        end = loop.time() + quiet
        while loop.time() < end and not (loop.time() > end - quiet + _AT_LEAST_QUIET_SECONDS and self._judge.is_idle()):
            await asyncio.sleep(_LOOK_SECONDS)
            self._judge.look()
            self._judge.explains_all()
        self._judge.drained()
        self._judge.derives_all()

    async def _put_right(self, people: People) -> None:
        """Let a person who puts everything right bring a last release to everybody.

        Then no one waits and no group is stuck.
        """
        loop = asyncio.get_running_loop()
        people.operator.begin_last_release()
        begin = loop.time()
        while loop.time() < begin + _LAST_RELEASE_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            people.operator.put_right()
            self._judge.look()
            is_over = self._judge.is_idle() and not self._judge.waiting()
            if is_over and loop.time() > begin + _AT_LEAST_QUIET_SECONDS:
                return
        self._judge.served_all()

    def _start_daemon(self) -> None:
        self._starts += 1
        self._story.report(HUB, f"coordinator starts ({self._starts})")
        self._judge.overlaps.started()
        self._judge.gone.disturbed(0.0)
        self._judge.peers.sight.started()
        self._daemon = Daemon(
            self._plan,
            self._exchange,
            self._disk,
            number=self._starts,
            on_death=self._restart_soon,
            limits_of=lambda _group: self._limits(),
            hear=self._judge.hear,
            report=lambda _entry: None,
            clock=self._host_clock,
            agbot=self._local_apis,
            on_feed=self._judge.looked,
        )
        self._daemon.run()

    def _restart_soon(self) -> None:
        self._story.report(HUB, "coordinator dies")
        self._daemon = None
        if not self._is_over:
            asyncio.get_running_loop().call_later(_RESTART_SECONDS, self._start_again)

    def _start_again(self) -> None:
        if self._daemon is None and not self._is_over:
            self._start_daemon()

    def _hear_log(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        """A traceback in the coordinator's log is a bug, whatever else happens."""
        if event.get("event") in _BUGS:
            self._story.broke(Promise.NO_BUGS, HUB, f"{event.get('event')}: {traceback.format_exc()}")
        raise structlog.DropEvent
