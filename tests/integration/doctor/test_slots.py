"""Every defect that leaves a row behind is found with its evidence and its number, and its cure frees that slot alone."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest

from agbot.doctor.finding import Standing, Verdict
from agbot.sim.agbot_rows import AgentRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.leftovers import SCENES
from tests.integration.doctor.ward import ORG, BriskClock, Ward, stuck, ward
from tests.support.examples import some

EVIDENCE = {
    "a1": ("A1", r"o1/a1-1 is dead: last heartbeat 3 hours ago"),
    "a2": ("A2", r"o1/a2-1 does not exist"),
    "a3": ("A3", r"o1/a3-policy does not exist"),
    "a3-unregistered": ("A3", r"o1/a3-unregistered-1 is not registered"),
    "a7": ("A7", r"o1/a7-1 has an old report, initiated"),
    "w1": ("W1", r"o1/w1-1 is dead: last heartbeat 3 hours ago"),
    "w2": ("W2", r"o1/w2-1 runs o1/w2-service 1.1.0"),
    "w3": ("W3", r"o1/w3-1 runs o1/w3-service 1.0.0, not 1.1.0"),
    "w5": ("W2", r"o1/w5-1 runs o1/w5-service 1.1.0"),
    "w14": ("A1", r"o1/w14-1 is dead: last heartbeat 3 hours ago"),
    "w15": ("W15", r"o1/w15-1 is in no HA group"),
}
ALONE = [name for name in SCENES if name not in {"w5", "w14"}]
"""Scenes whose row the local API can name alone."""


@pytest.mark.parametrize("defect", some(SCENES))
async def test_a_row_left_behind_is_found_with_its_evidence_and_number(tmp_path: Path, defect: str) -> None:
    async with ward(tmp_path) as hub:
        hub.leave(defect)
        report = await hub.examine()
        [slot] = stuck(report)
        number, why = EVIDENCE[defect]
        assert (slot.row.node, slot.defect) == (f"{ORG}/{defect}-1", number)
        assert re.search(why, slot.why), slot.why
        assert report.verdict is Verdict.WRONG


@pytest.mark.parametrize("defect", some(ALONE))
async def test_the_cure_frees_exactly_that_slot(tmp_path: Path, defect: str) -> None:
    async with ward(tmp_path) as hub:
        hub.leave(*ALONE)
        before = hub.listed()
        async with hub.doctor() as doctor:
            report = await doctor.examine()
            [slot] = [each for each in stuck(report) if each.row.node == f"{ORG}/{defect}-1"]
            outcome = await doctor.cure(slot)
        assert outcome.is_cured, outcome.text
        gone = [row for row in before if row not in hub.listed()]
        assert [getattr(row, "group", "") for row in gone] == [defect]
        assert len(hub.listed()) == len(before) - 1


async def test_the_printed_command_does_the_same(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1", "w2")
        for slot in stuck(await hub.examine()):
            found = re.fullmatch(r"curl -X DELETE '(http://[^']+)'", slot.cure)
            assert found, slot.cure
            async with aiohttp.ClientSession() as session, session.delete(found[1]) as reply:
                assert reply.status == 200
        assert hub.listed() == []


@pytest.mark.parametrize("defect", ["w5", "w14"])
async def test_a_cure_that_would_free_another_slot_too_is_sql_and_never_sent_to_the_api(
    tmp_path: Path, defect: str
) -> None:
    """The API deletes by group: here that is the row of an upgrade under way."""
    async with ward(tmp_path) as hub:
        hub.leave(defect)
        before = hub.listed()
        async with hub.doctor() as doctor:
            [slot] = stuck(await doctor.examine())
            outcome = await doctor.cure(slot)
        assert re.fullmatch(r"DELETE FROM ha_\w+ WHERE .* AND node_id = '[\w/]+-1' AND .*;", slot.cure)
        assert not outcome.is_cured
        assert slot.cure in outcome.text
        assert hub.listed() == before
        assert not [request for request in hub.api.requests if request.startswith("DELETE")]


async def test_two_rows_of_one_slot_are_reported_as_doubled(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("w14")
        report = await hub.examine()
        assert {slot.row.node: slot.doubled for slot in report.problems} == {
            "o1/w14-1": "the same slot is also taken by w14-2 for o1/w14-policy",
            "o1/w14-2": "the same slot is also taken by w14-1 for o1/w14-policy",
        }


async def test_the_same_row_twice_is_reported_as_doubled(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        [scene] = hub.leave("w2")
        hub.rows.services.append(hub.rows.services[0])
        [slot] = (await hub.examine()).problems
        assert slot.row.node == f"{ORG}/{scene.first}"
        assert slot.doubled == "this row is there more than once"


async def test_an_upgrade_under_way_is_no_problem(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        _group(hub, "g1")
        seed.management_policy(hub.exchange, ORG, "up1")
        seed.upgrade_status(hub.exchange, ORG, "n1", "up1", "downloaded", version="2.32.0")
        hub.rows.agents.append(AgentRow(org=ORG, group="g1", node="n1", nmp="up1"))
        report = await hub.examine()
        assert [slot.standing for slot in report.slots] == [Standing.UNDER_WAY]
        assert report.problems == ()


async def test_a_service_upgrade_that_has_just_begun_is_not_taken_for_w3(tmp_path: Path) -> None:
    """For some seconds the node still shows its old agreement; it is gone at the second look."""
    async with ward(tmp_path) as hub:
        hub.leave("w3")
        agreements = hub.exchange.world.node_agreements[ORG, "w3-1"]
        async with hub.doctor(clock=BriskClock(agreements.clear)) as doctor:
            report = await doctor.examine()
        assert [slot.standing for slot in report.slots] == [Standing.UNDER_WAY]


async def test_an_upgrade_that_has_just_ended_is_left_to_the_agbot(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        _group(hub, "g1")
        seed.management_policy(hub.exchange, ORG, "up1")
        seed.upgrade_status(hub.exchange, ORG, "n1", "up1", "successful", version="2.32.0")
        hub.rows.agents.append(AgentRow(org=ORG, group="g1", node="n1", nmp="up1"))
        assert [slot.standing for slot in (await hub.examine()).slots] == [Standing.ENDING]


async def test_a_node_that_was_missing_once_is_no_evidence(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        [scene] = hub.leave("a7")
        seed.upgrade_status(hub.exchange, ORG, scene.first, scene.policy, "downloaded", version="2.32.0")
        # the check of the organisation reads it too, before the first look
        fault = Fault(kind=FaultKind.ABSENT, path=f"/nodes/{scene.first}$", times=2)
        hub.exchange.faults.add(fault)
        assert stuck(await hub.examine()) == []


async def test_the_evidence_is_read_again_before_the_cure(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        [scene] = hub.leave("a1")
        async with hub.doctor() as doctor:
            [slot] = stuck(await doctor.examine())
            seed.send(hub.exchange, "POST", f"/orgs/{ORG}/nodes/{scene.first}/heartbeat", caller=f"{ORG}/{scene.first}")
            seed.upgrade_status(hub.exchange, ORG, scene.first, scene.policy, "initiated", version="2.32.0")
            outcome = await doctor.cure(slot)
        assert not outcome.is_cured
        assert "no longer stuck" in outcome.text
        assert len(hub.listed()) == 1


async def test_a_row_that_has_gone_meanwhile_frees_no_other(tmp_path: Path) -> None:
    """A4: the slot is the next node's by now, and a delete by group would free it."""
    async with ward(tmp_path) as hub:
        [scene] = hub.leave("a1")
        async with hub.doctor() as doctor:
            [slot] = stuck(await doctor.examine())
            next_one = AgentRow(org=ORG, group=scene.group, node=scene.second, nmp=scene.policy)
            hub.rows.agents[:] = [next_one]
            outcome = await doctor.cure(slot)
        assert not outcome.is_cured
        assert "has gone in the meantime" in outcome.text
        assert hub.listed() == [next_one]


async def test_a_slot_that_goes_to_another_node_between_the_two_readings_of_the_cure_is_not_freed(
    tmp_path: Path,
) -> None:
    """An absence is read twice, ten seconds apart: for that long the rows of before prove nothing."""
    async with ward(tmp_path) as hub:
        [scene] = hub.leave("a2")
        next_one = AgentRow(org=ORG, group=scene.group, node=scene.second, nmp=scene.policy)
        of_cure: list[AgentRow] = []

        def give_slot() -> None:
            hub.rows.agents[:] = of_cure or hub.rows.agents

        async with hub.doctor(clock=BriskClock(give_slot)) as doctor:
            [slot] = stuck(await doctor.examine())
            of_cure.append(next_one)
            outcome = await doctor.cure(slot)
        assert not outcome.is_cured
        assert "has gone in the meantime" in outcome.text
        assert hub.listed() == [next_one]


async def test_a_row_whose_node_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1")
        async with hub.doctor() as doctor:
            await doctor.examine()
            hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500))
            report = await doctor.examine()
        assert stuck(report) == []


def _group(hub: Ward, group: str) -> None:
    for node in ("n1", "n2"):
        seed.node(hub.exchange, ORG, node)
    seed.group(hub.exchange, ORG, group, ["n1", "n2"])


def test_every_scene_of_the_simulator_is_expected() -> None:
    assert set(EVIDENCE) == set(SCENES)
