"""What is shown of a member after its upgrade has ended, and after its brake was resumed."""

from __future__ import annotations

from agbot.console.page import attention
from agbot.console.page.notes import Item
from agbot.coordinator.contract import Overview
from agbot.coordinator.listings import Orders
from agbot.coordinator.permission import Granted
from agbot.rules.ids import group_id, node_id, policy_id
from agbot.rules.lease import Kind
from tests.support.hub import NMP, ORG, Hub
from tests.support.virtual_time import in_virtual_time

GROUP = group_id(ORG, "g1")
SUBJECT = policy_id(ORG, NMP)


async def failed() -> Hub:
    """Run a hub on which the upgrade of n1 has failed and was rolled back."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    for status in ("initiated", "rollback started", "rollback successful"):
        hub.report("n1", status)
        await hub.live("n1", "n2", seconds=60)
    return hub


def shown(hub: Hub) -> list[Item]:
    overview: Overview = hub.coordinator.overview()
    orders: Orders = hub.coordinator.orders(with_windows=False)
    return [each for each in attention.items(overview, orders, [], hub.clock.now()) if each.needs_a_person]


def titles(hub: Hub) -> list[str]:
    return [each.title for each in shown(hub)]


@in_virtual_time
async def test_a_member_whose_upgrade_failed_needs_a_person_after_its_brake_was_resumed_too() -> None:
    hub = await failed()
    assert titles(hub) == [f"{SUBJECT} is stopped in {GROUP}"]

    await hub.coordinator.resume(str(GROUP), subject=SUBJECT, reason="the disk was full", who="eva")

    assert titles(hub) == [f"1 member failed its last upgrade by {SUBJECT}"]
    assert [each.rollout for each in shown(hub)] == [(Kind.AGENT, SUBJECT)], "its rollout shows it too"
    assert list(hub.coordinator.overview().failed_named) == [node_id(ORG, "n1")]
    hub.report("n1", "waiting")
    await hub.live("n1", "n2", seconds=60)
    assert titles(hub) == []


@in_virtual_time
async def test_a_failed_member_is_explained_with_what_it_reports_and_what_to_do() -> None:
    hub = await failed()

    explained = hub.coordinator.explain(node_id(ORG, "n1"))

    assert explained is not None
    assert f"Its last upgrade by {SUBJECT} has failed: it reports 'rollback successful' since " in explained.answer
    assert f"publish another revision of {SUBJECT}" in explained.answer
    assert "have ended" not in explained.answer


@in_virtual_time
async def test_a_member_that_ended_its_upgrade_without_a_question_waits_no_longer() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", seconds=30)
    assert not isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.live("n1", "n2", seconds=5)
    assert [(each.running, each.waiting) for each in hub.coordinator.subjects()] == [(1, 0)], "one group counts once"

    hub.report("n2", "successful")
    await hub.live("n1", "n2", seconds=15)

    assert hub.coordinator.overview().waiting == 0
    assert [entry.facts["why"] for entry in hub.events("wait.ended")] == ["it reports successful"]


@in_virtual_time
async def test_a_member_that_ended_it_while_the_coordinator_was_away_does_not_wait_after_the_start() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=30)
    assert not isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.live("n1", "n2", seconds=5)

    hub.report("n2", "successful")
    await hub.crash()
    await hub.live("n1", "n2", seconds=15)

    assert hub.coordinator.overview().waiting == 0


@in_virtual_time
async def test_a_report_from_before_the_question_ends_no_wait() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n2", "successful")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    assert not isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.live("n1", "n2", seconds=30)

    assert hub.coordinator.overview().waiting == 1
