"""A simulated node reports what recorded agents reported, in the same order, and keeps what they keep over a restart."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agbot.sim.habits import Fate, Habits
from agbot.sim.links import Answered, Question, permit, refuse
from tests.sim.gates import ORG, always_yes, fleet_of, never
from tests.sim.seen import NMP, STEADY, Seen, waiting, watch
from tests.support.virtual_time import in_virtual_time

_RECORDED = Path(__file__).parent.parent / "recorded" / "agent-status-sequence.jsonl"


def _recorded(node: str, nmp: str) -> list[str]:
    """Return the statuses of one recorded upgrade, without the words of the error."""
    records = map(json.loads, _RECORDED.read_text().splitlines())
    seen = [record["to"] for record in records if record["what"] == f"status {node} o1/{nmp}"]
    return [status.partition(" (")[0] for status in seen if status]


async def _upgraded(
    fate: Fate, *, until: str, habits: Habits = STEADY, seconds: float = 1200.0, node_type: str = "device"
) -> Seen:
    """Let one member of a group of two upgrade until its status is this, and for a minute more."""
    async with fleet_of(always_yes, habits=habits) as fleet:
        node = await fleet.add_node(ORG, "a1", node_type=node_type)
        await fleet.add_node(ORG, "a2", properties={"group": "elsewhere"})
        fleet.create_group(ORG, "ga", ["a1", "a2"])
        node.fate = fate
        seen = watch(fleet, node)
        fleet.publish(ORG, NMP, "2.32.0")
        assert await fleet.until(lambda: until in seen.words, within_seconds=seconds)
        await fleet.clock.sleep(60.0)
        return seen


@in_virtual_time
async def test_a_good_upgrade_shows_the_recorded_statuses() -> None:
    seen = await _upgraded(Fate.SUCCEEDS, until="successful")

    assert seen.words == _recorded("a1", "up1")


@in_virtual_time
async def test_a_bad_install_shows_failed_before_its_rollback_as_recorded() -> None:
    seen = await _upgraded(Fate.ROLLS_BACK, until="rollback successful")
    recorded = _recorded("a1", "up2")

    assert recorded[-4:] == ["downloaded", "initiated", "failed", "rollback started"]
    assert seen.words[-5:] == [*recorded[-4:], "rollback successful"]


@in_virtual_time
async def test_failed_stands_for_moments_only() -> None:
    seen = await _upgraded(Fate.ROLLBACK_FAILS, until="rollback failed")

    assert timedelta(seconds=5) <= seen.at("rollback started") - seen.at("failed") <= timedelta(seconds=30)


@in_virtual_time
async def test_the_first_question_comes_60_s_after_the_download_and_then_every_60_s() -> None:
    async with fleet_of(never, habits=STEADY) as fleet:
        (node,) = await fleet.add_group(ORG, "g", 1)
        seen = watch(fleet, node)
        fleet.publish(ORG, NMP, "2.32.0")
        await fleet.clock.sleep(400.0)

    gaps = [(later - one).total_seconds() for one, later in zip(seen.asked_at(), seen.asked_at()[1:], strict=False)]
    assert (seen.asked_at()[0] - seen.at("download started")).total_seconds() == pytest.approx(60.0)
    assert gaps == pytest.approx([60.0] * len(gaps))
    assert len(gaps) >= 3


@in_virtual_time
async def test_no_heartbeat_is_sent_while_the_agent_is_replaced() -> None:
    habits = replace(STEADY, heartbeat_seconds=5.0, install_seconds=(100.0, 100.0))
    seen = await _upgraded(Fate.SUCCEEDS, until="successful", habits=habits)
    begun, ended = seen.at("initiated"), seen.at("successful")
    silent = [beat for beat in seen.heartbeats if begun < beat < begun + timedelta(seconds=100)]

    assert silent == []
    assert any(beat < ended for beat in seen.heartbeats if beat > begun)


@in_virtual_time
async def test_the_end_is_reported_with_its_times_and_the_new_version_of_the_node() -> None:
    async with fleet_of(always_yes, habits=STEADY) as fleet:
        (node,) = await fleet.add_group(ORG, "g", 1)
        fleet.publish(ORG, NMP, "2.32.0")
        assert await fleet.until(lambda: node.version == "2.32.0" and not node.down_for, within_seconds=600)
        status = fleet.exchange.call("GET", f"/orgs/{ORG}/nodes/g-1/managementStatus/{NMP}").json()
        doc = fleet.exchange.call("GET", f"/orgs/{ORG}/nodes/g-1").json()

    stated = status["managementStatus"][f"{ORG}/{NMP}"]["agentUpgradePolicyStatus"]
    assert stated["status"] == "successful"
    assert stated["startTime"] < stated["endTime"]
    assert stated["upgradedVersions"]["softwareVersion"] == "2.32.0"
    assert doc["nodes"][f"{ORG}/g-1"]["softwareVersions"] == {"horizon": "2.32.0"}


@in_virtual_time
async def test_a_lost_report_leaves_initiated_in_the_exchange_although_the_version_is_there() -> None:
    seen = await _upgraded(Fate.LOSES_REPORT, until="initiated")

    assert seen.words[-1] == "initiated"
    assert seen.fleet.nodes[seen.node].version == "2.32.0"


@in_virtual_time
async def test_a_download_is_tried_four_times() -> None:
    seen = await _upgraded(Fate.DOWNLOAD_FAILS, until="download failed")

    assert seen.words == [*["waiting", "download started"] * 4, "download failed"]


@in_virtual_time
async def test_a_failed_precheck_ends_the_upgrade_before_anything_is_installed() -> None:
    seen = await _upgraded(Fate.PRECHECK_FAILS, until="precheck failed")

    assert "initiated" not in seen.words
    assert seen.fleet.nodes[seen.node].version == "2.31.0"


@in_virtual_time
async def test_a_cluster_node_does_not_ask() -> None:
    seen = await _upgraded(Fate.SUCCEEDS, until="successful", node_type="cluster")

    assert seen.asked_at() == []
    assert seen.words == ["waiting", "download started", "ha node waiting", "initiated", "successful"]


@in_virtual_time
async def test_a_node_without_a_group_goes_without_asking() -> None:
    async with fleet_of(never) as fleet:
        node = await fleet.add_node(ORG, "alone")
        seen = watch(fleet, node)
        fleet.publish(ORG, NMP, "2.32.0")
        assert await fleet.until(lambda: "successful" in seen.words, within_seconds=600)

    assert seen.asked_at() == []
    assert "ha node waiting" not in seen.words


@in_virtual_time
async def test_a_version_that_is_there_already_needs_no_action() -> None:
    async with fleet_of(never) as fleet:
        (node,) = await fleet.add_group(ORG, "g", 1)
        seen = watch(fleet, node)
        fleet.publish(ORG, NMP, "2.31.0")
        assert await fleet.until(lambda: "no action required" in seen.words, within_seconds=300)

    assert seen.asked_at() == []


@in_virtual_time
async def test_who_is_slow_to_learn_of_a_revision_asks_on_under_the_old_download_and_installs_it_on_a_yes() -> None:
    answers = [refuse()]

    async def ask(_: Question) -> Answered:
        return answers[0]

    habits = replace(STEADY, revision_seconds=(400.0, 400.0))
    async with fleet_of(ask, habits=habits) as fleet:
        node, seen = await waiting(fleet)
        fleet.publish(ORG, NMP, "2.33.0")
        await fleet.clock.sleep(200.0)
        status = fleet.exchange.world.management_status[ORG, node.spec.id][f"{ORG}/{NMP}"]["agentUpgradePolicyStatus"]
        assert status["upgradedVersions"]["softwareVersion"] == "2.32.0"
        assert seen.words[-1] == "ha node waiting"
        answers[0] = permit()
        assert await fleet.until(lambda: node.version == "2.32.0", within_seconds=150)
        assert await fleet.until(lambda: node.version == "2.33.0", within_seconds=900)


@in_virtual_time
async def test_who_is_slow_to_learn_of_a_revision_downloads_it_in_the_end() -> None:
    habits = replace(STEADY, revision_seconds=(200.0, 200.0))
    async with fleet_of(never, habits=habits) as fleet:
        node, _ = await waiting(fleet)
        fleet.publish(ORG, NMP, "2.33.0")
        entry = node.notebook.entries
        assert not await fleet.until(lambda: entry[NMP].version == "2.33.0", within_seconds=150)
        assert await fleet.until(lambda: entry[NMP].version == "2.33.0", within_seconds=150)
