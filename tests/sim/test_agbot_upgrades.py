"""The simulated agbot upgrades a service in the recorded order, asks first, and survives what it is put through."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from agbot.sim.actions import Act, Action
from agbot.sim.deployment import Phase, deployment
from agbot.sim.exchange import Write, seed
from agbot.sim.fleet import Fleet, quick
from agbot.sim.habits import Outcome
from agbot.sim.links import Answered, Kind, Question, Unanswered, permit, refuse
from agbot.sim.node import SimNode
from tests.sim.gates import ORG, always_yes, fleet_of, never
from tests.support.virtual_time import in_virtual_time

_POLICY = f"{ORG}/dp"

_RECORDED_ORDER = [
    "agbotagreements deleted",
    "nodeagreements deleted",
    "node modified",
    "status none",
    "agbotagreements Formed Proposal",
    "nodeagreements Agree to proposal",
    "agbotagreements Finalized Agreement",
    "nodeagreements Finalized Agreement",
    "node modified",
    "status running",
]
"""`service-upgrade-sequence.jsonl`. The node's first state is seen there only when the poll of the
recorder met it (member s2)."""


def _emitted(write: Write) -> str:
    if write.operation == "deleted" or write.resource == "node":
        return f"{write.resource} {write.operation}"
    if write.resource == "nodestatus":
        states = [one["containerStatus"][0]["state"] for one in write.data["services"]]
        return f"status {states[0] if states else 'none'}"
    return f"{write.resource} {write.data['state']}"


async def _deployed(fleet: Fleet, members: int = 1) -> list[SimNode]:
    fleet.add_agbot()
    nodes = await fleet.add_group(ORG, "g", members)
    fleet.deploy(ORG, "dp", "svc1", "1.0.0")
    for node in nodes:
        await fleet.agbot.adopt(node, _POLICY)
    return nodes


def _runs(node: SimNode, version: str) -> bool:
    return any(one.service.version == version and one.state == "running" for one in node.services.instances.values())


def _log(fleet: Fleet) -> list[Action]:
    actions: list[Action] = []
    fleet.subscribe(actions.append)
    return actions


def _note(write: Write, watched: tuple[str, ...], seen: list[str]) -> None:
    if write.resource in watched and write.operation != "heartbeat":
        seen.append(_emitted(write))


@in_virtual_time
async def test_the_exchange_sees_the_recorded_order() -> None:
    seen: list[str] = []
    watched = ("agbotagreements", "nodeagreements", "nodestatus", "node")
    async with fleet_of() as fleet:
        (node,) = await _deployed(fleet)
        await fleet.clock.sleep(30.0)
        fleet.exchange.subscribe(lambda write: _note(write, watched, seen))
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=120)
        await fleet.clock.sleep(20.0)

    assert seen == _RECORDED_ORDER


@in_virtual_time
async def test_a_refused_upgrade_is_asked_for_again_every_governance_interval_and_cancels_nothing() -> None:
    async with fleet_of(never) as fleet:
        (node,) = await _deployed(fleet)
        actions = _log(fleet)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        await fleet.clock.sleep(65.0)

    asked = [action for action in actions if action.act is Act.ASKED]
    gaps = {(later.at - one.at).total_seconds() for one, later in pairwise(asked)}
    assert gaps == {10.0}
    assert _runs(node, "1.0.0")


@in_virtual_time
async def test_the_question_is_the_agbots_and_names_the_policy_with_its_organisation() -> None:
    questions: list[Question] = []

    async def ask(question: Question) -> Answered:
        questions.append(question)
        return refuse()

    async with fleet_of(ask) as fleet:
        await _deployed(fleet)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        await fleet.clock.sleep(30.0)

    assert questions[0].path == f"/org/{ORG}/hagroup/g/deployment/g-1/{ORG}%2Fdp"
    assert (questions[0].identity, questions[0].kind) == ("IBM/agbot1", Kind.SERVICE)


@in_virtual_time
async def test_the_end_is_reported_when_the_new_containers_run() -> None:
    ends: list[tuple[str, bool]] = []
    async with fleet_of(ends=ends) as fleet:
        (node,) = await _deployed(fleet)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: bool(ends), within_seconds=120)

    assert ends == [(node.name, True)]
    assert _runs(node, "1.0.1")
    assert fleet.agbot.ledger.upgrades == {}


@in_virtual_time
async def test_a_release_that_never_starts_is_tried_again_and_keeps_the_member_down() -> None:
    async with fleet_of(always_yes) as fleet:
        (node,) = await _deployed(fleet)
        node.services.outcomes["1.0.1"] = Outcome.NEVER_STARTS
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        await fleet.clock.sleep(330.0)

    (episode,) = fleet.observer.episodes
    assert episode.ended_at is None
    (upgrade,) = fleet.agbot.ledger.upgrades.values()
    assert upgrade.attempt >= 5


@in_virtual_time
async def test_a_release_that_never_starts_falls_back_to_the_lower_priority_and_reports_a_failure() -> None:
    ends: list[tuple[str, bool]] = []
    async with fleet_of(always_yes, ends=ends) as fleet:
        (node,) = await _deployed(fleet)
        node.services.outcomes["1.0.1"] = Outcome.NEVER_STARTS
        fleet.deploy(ORG, "dp", "svc1", "1.0.1", "1.0.0")
        assert await fleet.until(lambda: bool(ends), within_seconds=600)
        await fleet.clock.sleep(300.0)

    assert ends == [(node.name, False)]
    assert _runs(node, "1.0.0")


@in_virtual_time
async def test_a_release_that_crashes_has_run_for_20_s() -> None:
    async with fleet_of(always_yes) as fleet:
        (node,) = await _deployed(fleet)
        actions = _log(fleet)
        node.services.outcomes["1.0.1"] = Outcome.CRASHES
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=120)
        assert await fleet.until(lambda: not _runs(node, "1.0.1"), within_seconds=60)
        up = next(action for action in actions if action.act is Act.UP)
        lasted = (fleet.clock.now() - up.at).total_seconds()

    assert lasted == pytest.approx(20.0, abs=1.0)


@in_virtual_time
async def test_a_crash_is_reported_up_to_50_s_late() -> None:
    late = []
    for seconds in (0.0, 50.0):
        habits = replace(quick(), crash_noticed_seconds=(seconds, seconds))
        async with fleet_of(always_yes, habits=habits) as fleet:
            (node,) = await _deployed(fleet)
            node.services.outcomes["1.0.1"] = Outcome.CRASHES
            fleet.deploy(ORG, "dp", "svc1", "1.0.1")
            assert await fleet.until(lambda node=node: _runs(node, "1.0.1"), within_seconds=120)  # type: ignore[misc]  # binds the loop's value
            assert await fleet.until(lambda node=node: not _runs(node, "1.0.1"), within_seconds=60)  # type: ignore[misc]  # binds the loop's value
            crashed_at = fleet.clock.now()
            assert await fleet.until(lambda fleet=fleet: "exited" in _shown(fleet), within_seconds=100)  # type: ignore[misc]  # binds the loop's value
            late.append((fleet.clock.now() - crashed_at).total_seconds())

    assert late == pytest.approx([0.0, 50.0], abs=1.5)


def _shown(fleet: Fleet) -> str:
    return str(fleet.exchange.world.node_status)


@in_virtual_time
async def test_a_release_that_crashes_takes_its_agreement_along_after_moments_and_gets_a_new_one() -> None:
    shown: list[tuple[str, float]] = []
    async with fleet_of(always_yes) as fleet:
        (node,) = await _deployed(fleet)
        node.services.outcomes["1.0.1"] = Outcome.VANISHES

        def see(write: Write) -> None:
            if write.resource in ("nodestatus", "nodeagreements"):
                shown.append((_emitted(write), asyncio.get_running_loop().time()))

        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=120)
        fleet.exchange.subscribe(see)
        assert await fleet.until(lambda: not _runs(node, "1.0.1"), within_seconds=60)
        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=200)

    (bad, bad_at), (gone, gone_at), *_ = shown
    assert (bad, gone) == ("status exited", "nodeagreements deleted")
    assert 1.7 <= gone_at - bad_at <= 3.6


@in_virtual_time
async def test_a_release_that_goes_on_crashing_falls_back_to_the_lower_version() -> None:
    async with fleet_of(always_yes) as fleet:
        (node,) = await _deployed(fleet)
        node.services.outcomes["1.0.1"] = Outcome.VANISHES
        fleet.deploy(ORG, "dp", "svc1", "1.0.1", "1.0.0")
        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=120)
        assert await fleet.until(lambda: _runs(node, "1.0.0"), within_seconds=300)
        await fleet.clock.sleep(300.0)
        assert _runs(node, "1.0.0")


@in_virtual_time
async def test_a_nodes_own_list_may_call_the_agreement_final_10_s_after_the_containers_run() -> None:
    times: dict[str, float] = {}
    habits = replace(quick(), final_seconds=(10.0, 10.0))
    async with fleet_of(always_yes, habits=habits) as fleet:
        await _deployed(fleet)

        def see(write: Write) -> None:
            if write.resource in ("nodestatus", "nodeagreements"):
                times.setdefault(_emitted(write), asyncio.get_running_loop().time())

        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: bool(fleet.observer.under_way()), within_seconds=60)
        fleet.exchange.subscribe(see)
        assert await fleet.until(lambda: "nodeagreements Finalized Agreement" in times, within_seconds=120)

    assert times["nodeagreements Finalized Agreement"] - times["status running"] == pytest.approx(10.0, abs=0.1)


@in_virtual_time
async def test_a_node_that_dies_after_the_cancellation_is_upgraded_when_it_returns() -> None:
    async with fleet_of(always_yes) as fleet:
        (node,) = await _deployed(fleet)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: bool(fleet.observer.under_way()), within_seconds=60)
        node.die()
        await fleet.clock.sleep(1000.0)
        assert fleet.observer.under_way()
        node.come_back()
        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=600)

    assert fleet.observer.episodes[0].how == "runs 1.0.1"


@pytest.mark.parametrize("seconds", range(0, 45, 3))
@in_virtual_time
async def test_an_agbot_restarted_at_any_moment_finishes_what_it_began(seconds: int) -> None:
    async with fleet_of() as fleet:
        nodes = await _deployed(fleet, members=2)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        await fleet.clock.sleep(float(seconds))
        fleet.agbot.stop()
        await fleet.clock.sleep(20.0)
        fleet.agbot.start()
        done = await fleet.until(lambda: all(_runs(node, "1.0.1") for node in nodes), within_seconds=900)
        await fleet.clock.sleep(30.0)

    assert done
    assert fleet.agbot.ledger.upgrades == {}
    assert fleet.observer.violations == []


@in_virtual_time
async def test_a_policy_published_twice_ends_at_its_last_version_and_asks_before_it_goes_down_again() -> None:
    async with fleet_of() as fleet:
        (node,) = await _deployed(fleet)
        actions = _log(fleet)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(
            lambda: any(one.id and one.service.version == "1.0.1" for one in fleet.agbot.ledger.agreements.values()),
            within_seconds=120,
        )
        fleet.deploy(ORG, "dp", "svc1", "1.0.2")
        assert await fleet.until(lambda: _runs(node, "1.0.2"), within_seconds=600)

    acts = [action.act for action in actions if action.granted or action.act is not Act.ASKED]
    assert acts == [Act.ASKED, Act.DOWN, Act.UP] * 2


@in_virtual_time
async def test_an_upgrade_whose_question_gets_no_answer_is_asked_for_again() -> None:
    answers: list[Answered | None] = [None, None, permit()]

    async def ask(_: Question) -> Answered:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise Unanswered("lost")
        return answer

    async with fleet_of(ask) as fleet:
        (node,) = await _deployed(fleet)
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=300)

    assert fleet.observer.turns.unanswered == 2


@in_virtual_time
async def test_node_health_takes_an_offline_member_off_the_list() -> None:
    async with fleet_of(never) as fleet:
        nodes = await _deployed(fleet, members=2)
        nodes[1].die()
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        await fleet.clock.sleep(30.0)
        await fleet.agbot.drop_agreements(nodes[1].name)

    assert [upgrade.node for upgrade in fleet.agbot.ledger.upgrades.values()] == [nodes[0].name]
    assert all(upgrade.phase is Phase.WAITING for upgrade in fleet.agbot.ledger.upgrades.values())


@in_virtual_time
async def test_a_node_that_is_back_after_node_health_gets_the_present_version_without_a_question() -> None:
    async with fleet_of(never) as fleet:
        node = (await _deployed(fleet, members=2))[1]
        node.die()
        fleet.deploy(ORG, "dp", "svc1", "1.0.1")
        await fleet.clock.sleep(30.0)
        await fleet.agbot.drop_agreements(node.name)
        node.come_back()
        fleet.agbot.take_up(node.name)

        assert await fleet.until(lambda: _runs(node, "1.0.1"), within_seconds=120)
        assert await fleet.until(lambda: (node.name, _POLICY) not in fleet.agbot.ledger.upgrades, within_seconds=30)


def test_the_version_with_the_lowest_priority_value_is_wanted_most() -> None:
    doc = seed.policy_body(ORG, "svc1", ("2.0.0", "1.0.0"))
    doc["service"]["serviceVersions"].reverse()
    read = deployment(_POLICY, doc)

    assert read.top == "2.0.0"
    assert [read.service(attempt).version for attempt in range(5)] == ["2.0.0", "2.0.0", "1.0.0", "1.0.0", "1.0.0"]
