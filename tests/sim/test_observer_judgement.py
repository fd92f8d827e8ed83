"""The observer finds every planted double upgrade, reports its story, and forgives only what the documents forgive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.sim.actions import Act, Action
from agbot.sim.episodes import Excuse, Rule, Tolerance
from agbot.sim.exchange import SimExchange, seed
from agbot.sim.figures import summary
from agbot.sim.fleet import Fleet, quick
from agbot.sim.habits import Fate
from agbot.sim.handoffs import Origin
from agbot.sim.links import Answered, Kind, Question, permit, refuse
from agbot.sim.observer import Observer
from tests.sim.gates import EPOCH, ORG, always_yes, fleet_of
from tests.support.clocks import HandClock

_NMP = "up1"
_SUBJECT = f"{ORG}/{_NMP}"


class Scene:
    """An Exchange with a group of three and an observer; deeds are reported by the test."""

    def __init__(self, tolerance: Tolerance | None = None) -> None:
        self.clock = HandClock(EPOCH)
        self.exchange = SimExchange(clock=self.clock, root_password="pw")
        self.observer = Observer(self.clock, tolerance)
        self.exchange.subscribe(self.observer.on_write)
        seed.org(self.exchange, ORG)
        for name in ("n1", "n2", "n3", "n4"):
            seed.node(self.exchange, ORG, name)
        seed.group(self.exchange, ORG, "g", ["n1", "n2", "n3"])
        seed.management_policy(self.exchange, ORG, _NMP)
        self.clock.advance(60)
        self.beats("n1", "n2", "n3", "n4")

    def does(self, node: str, act: Act, *, kind: Kind = Kind.AGENT, detail: str = "", granted: bool = False) -> None:
        self.observer.on_action(
            Action(
                at=self.clock.now(),
                act=act,
                node=f"{ORG}/{node}",
                kind=kind,
                subject=_SUBJECT,
                detail=detail,
                status=201 if granted else 409,
                granted=granted,
            )
        )

    def beats(self, *nodes: str) -> None:
        for node in nodes:
            seed.send(self.exchange, "POST", f"/orgs/{ORG}/nodes/{node}/heartbeat", caller=f"{ORG}/{node}")

    def reports(self, node: str, status: str) -> None:
        seed.upgrade_status(self.exchange, ORG, node, _NMP, status)

    def admin(self, method: str, below: str) -> None:
        seed.send(self.exchange, method, f"/orgs/{ORG}{below}", caller=f"{ORG}/admin")


@contextmanager
def _scene(tolerance: Tolerance | None = None) -> Iterator[Scene]:
    yield Scene(tolerance)


def test_two_members_down_at_once_are_a_violation_with_both_their_stories() -> None:
    with _scene() as scene:
        scene.does("n1", Act.DOWN)
        scene.reports("n1", "downloaded")
        scene.clock.advance(60)
        scene.beats("n1", "n2", "n3")
        scene.does("n2", Act.DOWN)

    (violation,) = scene.observer.violations
    assert violation.rule is Rule.ONE_AT_A_TIME
    assert violation.nodes == (f"{ORG}/n1", f"{ORG}/n2")
    assert violation.group == f"{ORG}/g"
    assert "downloaded" in violation.story
    assert scene.observer.max_concurrent == 2


def test_one_after_the_other_is_no_violation() -> None:
    with _scene() as scene:
        for node in ("n1", "n2", "n3"):
            scene.does(node, Act.DOWN)
            scene.does(node, Act.UP, detail="successful")

    assert scene.observer.violations == []
    assert scene.observer.max_concurrent == 1
    assert [one.node for one in scene.observer.ended(f"{ORG}/g", "successful")] == [
        f"{ORG}/{n}" for n in ("n1", "n2", "n3")
    ]


def test_an_agent_and_a_service_upgrade_of_two_members_are_a_violation() -> None:
    with _scene() as scene:
        scene.does("n1", Act.DOWN)
        scene.does("n2", Act.DOWN, kind=Kind.SERVICE)

    assert len(scene.observer.violations) == 1


def test_agent_and_service_of_one_member_count_once() -> None:
    with _scene() as scene:
        scene.does("n1", Act.DOWN)
        scene.does("n1", Act.DOWN, kind=Kind.SERVICE)

    assert scene.observer.violations == []
    assert scene.observer.max_concurrent == 1


def test_a_node_that_joins_while_it_upgrades_is_deferred_until_that_upgrade_ends() -> None:
    with _scene() as scene:
        scene.does("n4", Act.DOWN)
        scene.admin("POST", "/hagroups/g/nodes/n4")
        scene.does("n1", Act.DOWN)
        assert scene.observer.violations == []
        assert [one.excuse for one in scene.observer.forgiven] == [Excuse.DEFERRED]
        scene.does("n4", Act.UP)
        scene.clock.advance(60)
        scene.does("n4", Act.DOWN)

    assert [violation.nodes for violation in scene.observer.violations] == [(f"{ORG}/n1", f"{ORG}/n4")]


@pytest.mark.parametrize(("seconds", "granted", "is_wrong"), [(4, False, False), (6, False, True), (4, True, True)])
def test_who_begins_moments_after_it_has_joined_was_reported_that_it_is_in_no_group(
    seconds: float, *, granted: bool, is_wrong: bool
) -> None:
    """A seed of the simulation: between the agent's look at its group and its begin, somebody added it to one."""
    with _scene() as scene:
        scene.admin("POST", "/hagroups/g/nodes/n4")
        if granted:
            scene.does("n4", Act.ASKED, granted=True)
        scene.clock.advance(seconds)
        scene.does("n4", Act.DOWN)
        scene.does("n1", Act.DOWN)

        assert bool(scene.observer.violations) is is_wrong


@pytest.mark.parametrize(
    ("method", "below", "excuse"),
    [
        ("DELETE", "/hagroups/g/nodes/n1", Excuse.LEFT),
        ("DELETE", "/nodes/n1", Excuse.LEFT),
        ("DELETE", "/hagroups/g", Excuse.LEFT),
        ("DELETE", f"/managementpolicies/{_NMP}", Excuse.POLICY_GONE),
    ],
)
def test_who_left_or_whose_policy_is_gone_does_not_count_any_more(method: str, below: str, excuse: Excuse) -> None:
    with _scene() as scene:
        scene.does("n1", Act.DOWN)
        scene.admin(method, below)
        scene.does("n2", Act.DOWN)

    assert scene.observer.violations == []
    assert scene.observer.episodes[0].excuse is excuse


def test_a_deleted_status_alone_excuses_no_one() -> None:
    with _scene() as scene:
        scene.does("n1", Act.DOWN)
        scene.reports("n1", "initiated")
        seed.send(scene.exchange, "DELETE", f"/orgs/{ORG}/nodes/n1/managementStatus/{_NMP}", caller=f"{ORG}/n1")
        scene.does("n2", Act.DOWN)

    assert len(scene.observer.violations) == 1


@pytest.mark.parametrize(("silent_seconds", "is_wrong"), [(1799, True), (1800, False)])
def test_the_upgrade_of_a_dead_node_is_given_up_after_the_stated_time(silent_seconds: int, is_wrong: bool) -> None:
    with _scene() as scene:
        scene.does("n1", Act.DOWN)
        scene.clock.advance(silent_seconds)
        scene.beats("n2", "n3")
        scene.does("n2", Act.DOWN)

    assert bool(scene.observer.violations) is is_wrong


def test_a_dead_node_that_returns_after_it_was_given_up_stays_given_up() -> None:
    with _scene() as scene:
        scene.does("n1", Act.DOWN)
        scene.clock.advance(2000)
        scene.beats("n1", "n2", "n3")
        scene.does("n2", Act.DOWN)

    assert scene.observer.violations == []
    assert scene.observer.forgiven[0].excuse is Excuse.DEAD


@pytest.mark.parametrize(("kind", "is_wrong"), [(Kind.SERVICE, False), (Kind.AGENT, True)])
def test_an_offline_holder_holds_up_no_service_upgrade_but_an_agent_upgrade(kind: Kind, is_wrong: bool) -> None:
    with _scene() as scene:
        scene.does("n1", Act.DOWN)
        scene.clock.advance(700)
        scene.beats("n2", "n3")
        scene.does("n2", Act.DOWN, kind=kind)

    assert bool(scene.observer.violations) is is_wrong


@pytest.mark.parametrize(
    ("limit", "status", "is_wrong"),
    [(None, None, True), (180.0, None, False), (180.0, "ha node waiting", False), (180.0, "downloaded", True)],
)
def test_a_permission_without_a_trace_may_be_taken_back_only_if_the_operators_say_so(
    limit: float | None, status: str | None, is_wrong: bool
) -> None:
    with _scene(Tolerance(unconfirmed_after_seconds=limit)) as scene:
        scene.does("n1", Act.DOWN)
        if status:
            scene.reports("n1", status)
        scene.clock.advance(200)
        scene.beats("n1", "n2", "n3")
        scene.does("n2", Act.DOWN)

    assert bool(scene.observer.violations) is is_wrong


def test_an_agent_upgrade_that_begins_when_everybody_else_is_long_gone_is_a_violation() -> None:
    with _scene() as scene:
        scene.clock.advance(600)
        scene.beats("n1")
        scene.does("n1", Act.DOWN)

    assert [violation.rule for violation in scene.observer.violations] == [Rule.NO_MEMBER_LEFT]


@pytest.mark.parametrize(("seconds", "is_wrong"), [(60, False), (240, True)])
def test_a_member_that_has_just_left_was_there_when_an_agent_upgrade_was_permitted(
    seconds: float, is_wrong: bool
) -> None:
    with _scene() as scene:
        scene.clock.advance(600)
        scene.beats("n1", "n3")
        scene.admin("DELETE", "/hagroups/g/nodes/n3")
        scene.clock.advance(seconds)
        scene.beats("n1")
        scene.does("n1", Act.DOWN)

    assert bool(scene.observer.violations) is is_wrong


def test_a_service_upgrade_may_begin_when_everybody_else_is_gone() -> None:
    with _scene() as scene:
        scene.clock.advance(600)
        scene.beats("n1")
        scene.does("n1", Act.ASKED, kind=Kind.SERVICE, granted=True)
        scene.does("n1", Act.DOWN, kind=Kind.SERVICE)

    assert scene.observer.violations == []
    assert scene.observer.turns.service_grants_with_peers_offline == 1


def test_how_long_offline_peers_block_a_service_is_measured() -> None:
    with _scene() as scene:
        scene.clock.advance(400)
        for _ in range(4):
            scene.beats("n1")
            scene.does("n1", Act.ASKED, kind=Kind.SERVICE)
            scene.clock.advance(10)

    assert scene.observer.turns.longest_block_by_offline_peers_seconds == 30.0


def test_a_live_holder_may_hold_up_a_service() -> None:
    with _scene() as scene:
        scene.clock.advance(400)
        scene.beats("n1", "n2")
        scene.does("n2", Act.DOWN)
        for _ in range(3):
            scene.does("n1", Act.ASKED, kind=Kind.SERVICE)
            scene.clock.advance(10)

    assert scene.observer.turns.longest_block_by_offline_peers_seconds == 0.0


def test_a_hand_off_is_measured_from_the_exchanges_successful_to_the_free_lease_and_to_the_next_yes() -> None:
    with _scene() as scene:
        scene.does("n1", Act.ASKED, granted=True)
        scene.does("n1", Act.DOWN)
        scene.does("n1", Act.UP)
        scene.reports("n1", "successful")
        scene.clock.advance(2)
        scene.observer.on_lease_released(f"{ORG}/g", f"{ORG}/n1", f"{ORG}/{_NMP}")
        scene.clock.advance(30)
        scene.does("n2", Act.ASKED, granted=True)

    turns = scene.observer.turns
    assert scene.observer.handoffs.of(Origin.AGENT_ASKED) == [2.0]
    assert turns.handoff_to_grant_seconds == [32.0]
    assert turns.grants[Kind.AGENT] == 2


def test_the_same_yes_twice_is_one_grant() -> None:
    with _scene() as scene:
        scene.does("n1", Act.ASKED, granted=True)
        scene.does("n1", Act.ASKED, granted=True)

    assert scene.observer.turns.grants[Kind.AGENT] == 1


def test_an_exchange_whose_clock_is_wrong_misleads_no_one() -> None:
    with _scene() as scene:
        scene.clock.advance(100)
        scene.beats("n1")
        now = scene.clock.now()

    assert scene.observer.members.silent_seconds(f"{ORG}/n1", now + timedelta(seconds=5)) == 5.0


def test_a_summary_gives_the_median_and_the_99th_percentile() -> None:
    assert summary([float(number) for number in range(1, 101)]) == {"count": 100, "p50": 50.0, "p99": 99.0}
    assert summary([]) == {"count": 0, "p50": None, "p99": None}


class _ReleasesByName:
    """A planted defect: it frees the group when *any* member reports `failed`, as the agbot's release by group name does."""

    def __init__(self) -> None:
        self.holder = ""
        self.fleet: Fleet | None = None

    async def ask(self, question: Question) -> Answered:
        assert self.fleet is not None
        world = self.fleet.exchange.world
        for key in world.nodes:
            for status in world.management_status.get(key, {}).values():
                if status["agentUpgradePolicyStatus"]["status"] in ("failed", "successful"):
                    self.holder = ""
        if self.holder in ("", question.node):
            self.holder = question.node
            return permit()
        return refuse()


@pytest.mark.looptime(noop_cycles=2)
async def test_a_gate_that_takes_failed_for_the_end_is_found() -> None:
    gate = _ReleasesByName()
    habits = replace(quick(), failed_shows_seconds=(60.0, 90.0), rollback_seconds=(120.0, 120.0))
    async with fleet_of(gate.ask, habits=habits) as fleet:
        gate.fleet = fleet
        for node in await fleet.add_group(ORG, "g", 3):
            node.fate = Fate.ROLLS_BACK
        fleet.publish(ORG, _NMP, "2.32.0")
        assert await fleet.until(lambda: bool(fleet.observer.violations), within_seconds=1200)

    assert "failed" in str(fleet.observer.violations[0])


@pytest.mark.looptime(noop_cycles=2)
async def test_the_same_seed_gives_the_same_report() -> None:
    async def report(chance: int) -> dict[str, object]:
        async with fleet_of(always_yes, seed=chance) as fleet:
            await fleet.add_group(ORG, "g", 3)
            fleet.publish(ORG, _NMP, "2.32.0")
            await fleet.clock.sleep(900.0)
            # times are reported from the start of the run, which a second run in the same loop
            # begins later
            return {**fleet.report(), "violations": len(fleet.observer.violations)}

    first, second = await report(1), await report(1)

    assert first == second
    assert first["violations"] != 0


def test_an_exchange_restored_from_a_backup_makes_no_dead_node_look_alive() -> None:
    with _scene() as scene:
        copy = scene.exchange.backup()
        scene.beats("n1")
        scene.clock.advance(400)
        scene.beats("n2", "n3")

        scene.exchange.restore(copy)
        scene.observer.reread(scene.exchange.world)

        assert scene.observer.members.silent_seconds(f"{ORG}/n1", scene.clock.now()) == 400
