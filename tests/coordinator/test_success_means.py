"""Success is what the node runs: one that reports it and goes on under the old version has failed, and the next does not begin."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agbot.coordinator.contract import Done
from agbot.coordinator.permission import Granted
from agbot.rules.ids import group_id, node_id, policy_id
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.sim.exchange import seed
from agbot.store.sqlite import SqliteStore
from tests.coordinator.test_brakes_by_version import publish
from tests.support.hub import NEW, NMP, OLD, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

NEWER = "9.0.0"
SAID = f"{ORG}/n1 reported success with agent version {NEW} but runs {OLD}"


async def reported(hub: Hub, runs: str, *, target: str = NEW, certificate: str = "") -> Hub:
    """Let n1 report success while it runs this, and n2 wait for the same."""
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    hub.report("n1", "ha node waiting", target=target, certificate=certificate)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated", target=target, certificate=certificate)
    await hub.live("n1", "n2", "n3", seconds=20)
    hub.report("n1", "successful", target=target, certificate=certificate, runs=runs)
    hub.report("n2", "ha node waiting", target=target, certificate=certificate)
    await hub.live("n1", "n2", "n3", seconds=70)
    return hub


async def ask_each_minute(hub: Hub, node: str, minutes: int) -> list[str]:
    answers = []
    for _minute in range(minutes):
        answers.append((codes(await hub.ask(node, "g1", is_remembered=True)) or ["granted"])[0])
        await hub.live("n1", "n2", "n3", seconds=60)
    return answers


def because(hub: Hub, node: str) -> str:
    found = hub.coordinator.explain(node_id(ORG, node))
    assert found is not None
    return found.answer


@in_virtual_time
async def test_a_node_that_reports_success_and_runs_the_old_version_stops_the_release_after_a_while() -> None:
    hub = await reported(Hub(), OLD)

    answers = await ask_each_minute(hub, "n2", 14)

    assert answers[:7] == ["soaking"] * 7
    assert answers[-3:] == ["brake"] * 3
    assert set(answers) == {"soaking", "brake"}
    assert [entry.facts["why"] for entry in hub.events("brake.set")] == [SAID]
    (emitted,) = hub.events("success.contradicted")
    assert (emitted.node, emitted.subject, emitted.token) == (node_id(ORG, "n1"), policy_id(ORG, NMP), 1)
    assert (emitted.facts["reported"], emitted.facts["runs"], emitted.facts["why"]) == (NEW, OLD, SAID)
    assert SAID in because(hub, "n2")
    view = hub.coordinator.group(group_id(ORG, "g1"))
    assert view is not None
    assert (view.lease.last_cause, view.lease.last_detail) == ("failed", SAID)
    await hub.stop()


@pytest.mark.parametrize("soak_seconds", [0, 300])
@in_virtual_time
async def test_while_it_is_waited_for_the_time_is_shown_at_which_it_counts_as_failed(soak_seconds: float) -> None:
    """At that time a brake comes, so the wait is promised no end."""
    hub = await reported(Hub(limits=Limits(agent_soak_seconds=soak_seconds)), OLD)
    await hub.ask("n2", "g1")

    shown = hub.coordinator.explain(node_id(ORG, "n2"))

    assert shown is not None
    (fails_at,) = re.findall(
        f"{re.escape(SAID)}; if it does not run {NEW} by (.*Z), this counts as failed", shown.answer
    )
    assert shown.earliest is None
    await hub.live("n1", "n2", "n3", seconds=660)
    (emitted,) = hub.events("brake.set")
    assert timedelta() <= emitted.at - datetime.fromisoformat(fails_at) <= timedelta(seconds=60)
    await hub.stop()


@in_virtual_time
async def test_a_node_that_reports_its_new_version_late_lets_the_next_one_begin() -> None:
    hub = await reported(Hub(), OLD)
    assert codes(await hub.ask("n2", "g1")) == ["soaking"]
    await hub.live("n1", "n2", "n3", seconds=300)

    body = {"softwareVersions": {"horizon": NEW}}
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n1", body, caller=f"{ORG}/n1")
    await hub.live("n1", "n2", "n3", seconds=31)

    assert isinstance(await hub.ask("n2", "g1"), Granted)
    assert hub.events("brake.set") == []
    await hub.stop()


@in_virtual_time
async def test_behind_a_new_version_the_contradiction_is_reported_and_stops_nothing() -> None:
    """The last event reports a failure: that, the history, canaries and paces count it as one from now on."""
    hub = await reported(Hub(), OLD)
    publish(hub)
    for node in ("n1", "n2", "n3"):
        hub.report(node, "ha node waiting", target=NEWER)

    answers = await ask_each_minute(hub, "n2", 14)

    assert [entry.facts["why"] for entry in hub.events("success.contradicted")] == [SAID]
    assert hub.events("brake.set") == []
    assert answers[-1] == "granted", "nobody brings what failed"
    await hub.stop()


@in_virtual_time
async def test_neither_does_it_begin_the_same_once_more_itself() -> None:
    hub = await reported(Hub(), OLD)
    hub.report("n1", "ha node waiting")

    assert set(await ask_each_minute(hub, "n1", 14)) - {"view-stale"} == {"soaking", "brake"}
    await hub.stop()


@pytest.mark.parametrize("runs", [f"{NEW}-1519", f"{NEW}+1"])
@in_virtual_time
async def test_a_build_number_is_no_contradiction(runs: str) -> None:
    hub = await reported(Hub(), runs)

    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_an_upgrade_of_the_certificate_alone_contradicts_nothing() -> None:
    hub = await reported(Hub(), OLD, target="", certificate="1.0.1")

    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_node_that_reports_no_version_contradicts_nothing() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2", "n3")
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n1", {"softwareVersions": {}}, caller=f"{ORG}/n1")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "successful", runs="")
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n1", {"softwareVersions": {}}, caller=f"{ORG}/n1")
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", "n3", seconds=70)

    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_third_version_is_a_contradiction_as_well() -> None:
    hub = await reported(Hub(), "2.30.9")

    assert (await ask_each_minute(hub, "n2", 14))[-1] == "brake"
    await hub.stop()


@in_virtual_time
async def test_who_believes_reports_sets_the_time_to_nought() -> None:
    hub = await reported(Hub(limits=Limits(version_proof_seconds=0)), OLD)

    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_the_contradiction_is_remembered_over_a_restart_and_a_lifted_brake_stays_lifted(tmp_path: Path) -> None:
    hub = await reported(Hub(store=SqliteStore(tmp_path / "s.db")), OLD)
    await hub.stop()
    hub._connect()  # noqa: SLF001 - a new process on the same store
    await hub.start()
    assert (await ask_each_minute(hub, "n2", 14))[-1] == "brake"
    last_end = hub.lease("g1").last_end
    assert last_end is not None
    assert last_end.cause is Cause.FAILED

    lifted = await hub.coordinator.resume(f"{ORG}/g1", subject=policy_id(ORG, NMP), reason="looked at it", who="ada")
    await hub.live("n1", "n2", "n3", seconds=31)

    assert isinstance(lifted, Done)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await asyncio.sleep(0)
    await hub.stop()
