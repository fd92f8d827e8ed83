"""A brake is about what failed: who still brings that waits, whatever revision the policy has by now."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agbot.coordinator.contract import Done
from agbot.coordinator.permission import Granted, Refused
from agbot.coordinator.review.brakes import Brakes
from agbot.rules.ids import GroupId, group_id, policy_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.sim.exchange import seed
from agbot.store.sqlite import SqliteStore
from agbot.transitions.braking import BrakeFacts
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

G1, UP1 = group_id(ORG, "g1"), policy_id(ORG, NMP)
BAD = {"target": "2.32.0"}
Versions = dict[str, str]


def publish(hub: Hub) -> None:
    body: dict[str, object] = {
        "label": NMP,
        "description": "",
        "constraints": [],
        "properties": [],
        "enabled": True,
        "start": "now",
        "startWindow": 300,
        "agentUpgradePolicy": {"manifest": "IBM/another", "allowDowngrade": False},
    }
    hub.admin("PUT", f"/managementpolicies/{NMP}", body)


async def failed(bad: Versions, *, hub: Hub | None = None, group: str = "g1", node: str = "n1") -> Hub:
    """Let an upgrade of the first member fail.

    The second has downloaded the same and waits, and a new revision is published.
    """
    if hub is None:
        hub = Hub()
        hub.group("g1", "n1", "n2")
        await hub.start()
    hub.report(node, "ha node waiting", **bad)
    assert isinstance(await hub.ask(node, group), Granted)
    hub.report("n2", "ha node waiting", **bad)
    hub.report(node, "rollback successful", **bad)
    await hub.live("n1", "n2", seconds=10)
    assert codes(await hub.ask("n2", group))[0] == "brake"
    publish(hub)
    await hub.live("n1", "n2", seconds=70)
    return hub


@in_virtual_time
@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (BAD, {"target": "2.32.1"}),
        ({"target": "", "certificate": "1.0.1"}, {"target": "", "certificate": "1.0.2"}),
        ({"target": "", "configuration": "7"}, {"target": "", "configuration": "8"}),
        ({"target": "2.32.0", "certificate": "1"}, {"target": "2.32.1", "certificate": "1"}),
    ],
    ids=["software", "certificate", "configuration", "software with the same certificate"],
)
async def test_a_new_revision_reaches_a_node_only_when_that_reports_something_else_than_what_failed(
    bad: Versions, good: Versions
) -> None:
    hub = await failed(bad)

    answer = await hub.ask("n2", "g1")
    assert codes(answer) == ["brake"]
    assert isinstance(answer, Refused)
    assert "n2 has not downloaded it and still reports" in answer.reasons[0].text

    hub.report("n2", "ha node waiting", **good)
    await asyncio.sleep(2)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_the_failed_node_itself_waits_until_it_has_downloaded_something_else() -> None:
    hub = await failed(BAD)

    assert codes(await hub.ask("n1", "g1")) == ["brake"]
    hub.report("n1", "ha node waiting", target="2.32.1")
    await asyncio.sleep(2)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_the_brake_goes_when_no_member_reports_what_failed_any_more() -> None:
    hub = await failed(BAD)
    hub.report("n2", "ha node waiting", target="2.32.1")
    await hub.live("n1", "n2", seconds=70)
    assert hub.events("brake.lifted") == []

    hub.report("n1", "waiting", target="2.32.1")
    await hub.live("n1", "n2", seconds=30)

    assert [entry.facts["why"] for entry in hub.events("brake.lifted")] == [
        "the policy has a new revision, and no member installs the failed version"
    ]
    await hub.stop()


@in_virtual_time
async def test_a_person_lets_the_same_version_go_again() -> None:
    hub = await failed(BAD)

    assert isinstance(await hub.coordinator.resume(G1, subject=UP1, reason="a disk was full", who="ada"), Done)

    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_deleted_policy_takes_its_brake_along() -> None:
    hub = await failed(BAD)
    hub.admin("DELETE", f"/managementpolicies/{NMP}")

    await hub.live("n1", "n2", seconds=120)

    assert [entry.facts["why"] for entry in hub.events("brake.lifted")] == ["the policy was deleted"]
    await hub.stop()


@in_virtual_time
async def test_without_reported_versions_the_revision_decides() -> None:
    hub = await failed({"target": ""})

    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_two_versions_that_failed_one_after_the_other_both_stay_stopped() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    hub.report("n3", "ha node waiting", **BAD)
    await failed(BAD, hub=hub)
    for node in ("n1", "n2", "n3"):
        hub.heartbeat(node)
    hub.report("n2", "ha node waiting", target="2.32.1")
    await asyncio.sleep(2)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    hub.report("n2", "rollback successful", target="2.32.1")
    publish(hub)
    await hub.live("n1", "n2", "n3", seconds=15)

    assert codes(await hub.ask("n3", "g1")) == ["brake"]
    hub.report("n3", "ha node waiting", target="2.32.1")
    await asyncio.sleep(2)
    assert codes(await hub.ask("n3", "g1")) == ["brake"]
    hub.report("n3", "ha node waiting", target="2.32.2")
    await asyncio.sleep(2)
    assert isinstance(await hub.ask("n3", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_what_failed_in_too_many_groups_stays_stopped_in_the_organisation_for_who_still_brings_it() -> None:
    hub = Hub(limits=Limits(org_brake_groups=1))
    hub.group("g2", "m1", "m2")
    hub.group("g1", "n1", "n2")
    await hub.start()
    await failed(BAD, hub=hub)
    for node in ("m1", "m2"):
        hub.heartbeat(node)
    hub.report("m1", "ha node waiting", **BAD)
    await asyncio.sleep(2)

    assert codes(await hub.ask("m1", "g2")) == ["org-brake"]
    hub.report("m1", "ha node waiting", target="2.32.1")
    await asyncio.sleep(2)
    assert isinstance(await hub.ask("m1", "g2"), Granted)
    await hub.stop()


async def deployed(bad: str, then: list[str]) -> Hub:
    """Let a service's upgrade fail on the first member, and publish another revision of its policy."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    seed.deployment_policy(hub.exchange, ORG, "dp1", service="svc", versions=[bad, "1.0.0"])
    await hub.start()
    question = hub.question("n1", "g1", "dp1", Kind.SERVICE)
    assert isinstance(await hub.ask_as_agbot(question), Granted)
    await hub.coordinator.report_end(question, succeeded=False, who="IBM/real")
    assert codes(await hub.ask_as_agbot(hub.question("n2", "g1", "dp1", Kind.SERVICE))) == ["brake"]
    hub.admin("PUT", "/business/policies/dp1", dict(seed.policy_body(ORG, "svc", then)))
    await hub.live("n1", "n2", seconds=30)
    return hub


@in_virtual_time
async def test_a_service_policy_that_still_brings_what_failed_stays_stopped_under_its_new_revision() -> None:
    hub = await deployed("2.0.0", ["2.0.0", "1.5.0", "1.0.0"])

    assert codes(await hub.ask_as_agbot(hub.question("n2", "g1", "dp1", Kind.SERVICE))) == ["brake"]
    await hub.stop()


@in_virtual_time
async def test_a_service_policy_that_brings_another_version_goes_on() -> None:
    hub = await deployed("2.0.0", ["2.0.1", "1.0.0"])

    assert isinstance(await hub.ask_as_agbot(hub.question("n2", "g1", "dp1", Kind.SERVICE)), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_brake_remembers_what_failed_through_a_restart(tmp_path: Path) -> None:
    hub = Hub(store=SqliteStore(tmp_path / "agbot.db"))
    hub.group("g1", "n1", "n2")
    await hub.start()
    await failed(BAD, hub=hub)
    await hub.stop()
    hub.store = SqliteStore(tmp_path / "agbot.db")
    await hub.crash()
    await hub.live("n1", "n2", seconds=15)

    assert codes(await hub.ask("n2", "g1")) == ["brake"]
    await hub.stop()


@in_virtual_time
async def test_a_brake_about_which_nothing_changes_is_not_looked_at_in_every_cycle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting", **BAD)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "rollback successful", **BAD)
    await hub.live("n1", "n2", seconds=900)
    looked, look = list[str](), Brakes.facts_of

    def counted(brakes: Brakes, group: GroupId, *about: Any) -> BrakeFacts:
        looked.append(group)
        return look(brakes, group, *about)

    monkeypatch.setattr(Brakes, "facts_of", counted)
    await hub.live("n1", "n2", seconds=600)
    assert len(looked) <= 2
    assert hub.events("brake.set") != []

    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    await hub.live("n1", "n2", seconds=120)

    assert [entry.facts["why"] for entry in hub.events("brake.lifted")] == ["the policy was deleted"]
    await hub.stop()
