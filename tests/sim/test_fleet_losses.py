"""What becomes of a simulated node's upgrade when its group, its policy, its agent or the node itself changes in the middle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from agbot.sim.agent_state import Word
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.habits import Fate
from agbot.sim.links import Answered, Question, refuse
from agbot.sim.machine import Asks
from tests.sim.gates import ORG, always_yes, fleet_of, never
from tests.sim.seen import NMP, STEADY, waiting, watch
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_node_that_leaves_its_group_while_it_waits_goes_on_without_asking() -> None:
    async with fleet_of(never) as fleet:
        node, seen = await waiting(fleet)
        fleet.leave(ORG, "g", node.spec.id)
        assert await fleet.until(lambda: "successful" in seen.words, within_seconds=600)


@in_virtual_time
async def test_an_agent_without_a_url_waits_forever_and_its_questions_arrive_nowhere() -> None:
    async with fleet_of(always_yes) as fleet:
        node = await fleet.add_node(ORG, "n", asks=Asks.NOWHERE)
        fleet.create_group(ORG, "g", ["n"])
        seen = watch(fleet, node)
        fleet.publish(ORG, NMP, "2.32.0")
        await fleet.clock.sleep(1800.0)

    assert seen.words[-1] == "ha node waiting"
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(seen.asked_at())} == {60.0}
    assert fleet.observer.turns.grants == fleet.observer.turns.refusals == {}


@in_virtual_time
async def test_a_node_that_joins_while_it_downloads_is_asked_for() -> None:
    async with fleet_of(never, habits=replace(STEADY, download_seconds=(90.0, 90.0), heartbeat_seconds=10.0)) as fleet:
        node = await fleet.add_node(ORG, "late")
        seen = watch(fleet, node)
        fleet.publish(ORG, NMP, "2.32.0")
        assert await fleet.until(lambda: "download started" in seen.words, within_seconds=300)
        fleet.create_group(ORG, "g", ["late"])
        assert await fleet.until(lambda: bool(seen.asked_at()), within_seconds=300)

    assert seen.words[-1] == "ha node waiting"


@in_virtual_time
async def test_a_node_that_joins_past_the_gate_never_asks() -> None:
    async with fleet_of(never, habits=replace(STEADY, cron_phase=(0.9, 0.9))) as fleet:
        node = await fleet.add_node(ORG, "late")
        seen = watch(fleet, node)
        fleet.publish(ORG, NMP, "2.32.0")
        assert await fleet.until(lambda: "downloaded" in seen.words, within_seconds=300)
        fleet.create_group(ORG, "g", ["late"])
        assert await fleet.until(lambda: "successful" in seen.words, within_seconds=600)

    assert seen.asked_at() == []


@in_virtual_time
async def test_an_agent_that_restarts_while_it_waits_asks_60_s_after_its_start() -> None:
    async with fleet_of(never, habits=STEADY) as fleet:
        node, seen = await waiting(fleet)
        assert await fleet.until(lambda: bool(seen.asked_at()), within_seconds=300)
        await fleet.clock.sleep(17.0)
        seen.actions.clear()
        restarted_at = fleet.clock.now()
        node.restart_agent()
        await fleet.clock.sleep(100.0)

    boot_seconds = 1.0
    assert (seen.asked_at()[0] - restarted_at).total_seconds() == pytest.approx(60.0 + boot_seconds)
    assert seen.words[-1] == "ha node waiting"


@in_virtual_time
async def test_a_dead_node_leaves_its_status_and_installs_without_asking_when_it_returns() -> None:
    async with fleet_of(always_yes, habits=replace(STEADY, cron_phase=(0.9, 0.9))) as fleet:
        node, seen = await waiting(fleet)
        node.fate = Fate.DIES_DOWNLOADED
        assert await fleet.until(lambda: not node.alive, within_seconds=300)
        beats = len(seen.heartbeats)
        await fleet.clock.sleep(3600.0)
        assert len(seen.heartbeats) == beats
        assert seen.words[-1] == "downloaded"
        node.fate = Fate.SUCCEEDS
        seen.actions.clear()
        node.come_back()
        assert await fleet.until(lambda: "successful" in seen.words, within_seconds=600)

    assert seen.asked_at() == []


@in_virtual_time
async def test_a_node_lost_as_it_gets_its_permission_has_saved_it_but_not_reported_it() -> None:
    async with fleet_of(always_yes, habits=STEADY) as fleet:
        node, seen = await waiting(fleet)
        node.fate = Fate.DIES_ON_GRANT
        assert await fleet.until(lambda: not node.alive, within_seconds=300)
        await fleet.clock.sleep(60.0)

    assert seen.words[-1] == "ha node waiting"
    assert node.notebook.entries[NMP].word is Word.DOWNLOADED


@in_virtual_time
async def test_a_node_lost_in_its_install_is_back_from_it_when_it_returns_but_still_says_initiated() -> None:
    async with fleet_of(always_yes, habits=STEADY) as fleet:
        node, seen = await waiting(fleet)
        node.fate = Fate.DIES_INSTALLING
        assert await fleet.until(lambda: not node.alive, within_seconds=600)
        node.come_back()
        assert await fleet.until(lambda: node.down_for is None, within_seconds=60)
        await fleet.clock.sleep(600.0)

    assert seen.words[-1] == "initiated"
    assert node.version == "2.31.0"


@in_virtual_time
async def test_unregistering_deletes_every_status_and_the_key() -> None:
    async with fleet_of(never) as fleet:
        node, seen = await waiting(fleet)
        await node.unregister()
        beats = len(seen.heartbeats)
        await fleet.clock.sleep(300.0)
        reply = fleet.exchange.call("GET", f"/orgs/{ORG}/nodes/g-1/managementStatus")
        doc = fleet.exchange.call("GET", f"/orgs/{ORG}/nodes/g-1").json()

    assert reply.status == 404
    assert doc["nodes"][node.name]["publicKey"] == ""
    assert len(seen.heartbeats) == beats


@in_virtual_time
async def test_a_policy_that_is_deleted_is_forgotten_and_its_permission_not_used() -> None:
    async with fleet_of(always_yes, habits=replace(STEADY, cron_seconds=600.0, cron_phase=(0.9, 0.9))) as fleet:
        node, seen = await waiting(fleet)
        assert await fleet.until(lambda: "downloaded" in seen.words, within_seconds=300)
        fleet.delete_nmp(ORG, NMP)
        assert await fleet.until(lambda: not node.notebook.entries, within_seconds=120)
        await fleet.clock.sleep(1200.0)

    assert node.version == "2.31.0"
    assert seen.actions[-1].detail == "the policy is gone"


@in_virtual_time
async def test_a_status_that_a_person_resets_is_begun_again() -> None:
    async with fleet_of(never, habits=STEADY) as fleet:
        node, seen = await waiting(fleet)
        body = node.notebook.entries[NMP].report()
        body["agentUpgradePolicyStatus"]["status"] = "reset"
        path = f"/orgs/{ORG}/nodes/g-1/managementStatus/{NMP}"
        fleet.exchange.call("PUT", path, body, caller=f"{ORG}/admin")
        await fleet.clock.sleep(200.0)

    after = seen.words[seen.words.index("reset") :]
    assert after == ["reset", "waiting", "download started", "ha node waiting"]


@in_virtual_time
async def test_a_question_that_is_repeated_freezes_every_other_policy_of_the_node() -> None:
    answers: list[Callable[[], Answered]] = [lambda: Answered(503, b"{}")]

    async def ask(_: Question) -> Answered:
        return answers[0]()

    async with fleet_of(ask, habits=STEADY) as fleet:
        node, seen = await waiting(fleet)
        assert await fleet.until(lambda: bool(seen.asked_at()), within_seconds=120)
        fleet.publish(ORG, "up2", "2.33.0")
        await fleet.clock.sleep(130.0)
        assert "up2" not in node.notebook.entries
        answers[0] = refuse
        assert await fleet.until(lambda: "up2" in node.notebook.entries, within_seconds=60)

    gaps = {
        round((later - one).total_seconds()) for one, later in zip(seen.asked_at(), seen.asked_at()[1:], strict=False)
    }
    assert gaps == {10}


@in_virtual_time
async def test_an_exchange_that_is_down_gets_the_report_when_it_is_back() -> None:
    async with fleet_of(always_yes, habits=replace(STEADY, cron_seconds=900.0, cron_phase=(0.9, 0.9))) as fleet:
        node, seen = await waiting(fleet)
        handle = fleet.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=503, path="managementStatus"))
        await fleet.clock.sleep(120.0)
        assert seen.words[-1] == "ha node waiting"
        assert node.down_for == f"{ORG}/{NMP}"
        fleet.exchange.faults.remove(handle)
        assert await fleet.until(lambda: "downloaded" in seen.words, within_seconds=15)
