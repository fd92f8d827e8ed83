"""Each read of the Exchange has a reason, and a group has none when nothing goes on in it."""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Granted
from agbot.fleet.changes import What
from agbot.fleet.reads import Why
from tests.support.hub import NMP, ORG, Hub
from tests.support.virtual_time import in_virtual_time


def since(hub: Hub, begun: int) -> set[tuple[Why, What, str]]:
    return {(why, read.what, read.id) for read, why in hub.reads[begun:]}


@in_virtual_time
async def test_a_group_in_which_nothing_goes_on_is_read_with_its_organisation_alone() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await asyncio.sleep(300)

    assert {why for _, why in hub.reads} == {Why.RESYNC}


@in_virtual_time
async def test_a_member_that_is_about_to_ask_has_everything_read_for_its_question() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    begun = len(hub.reads)

    hub.report("n1", "ha node waiting")
    await asyncio.sleep(12)

    read = since(hub, begun)
    assert (Why.REPORT, What.STATUSES, f"{ORG}/n1") in read
    assert (Why.REPORT, What.MANAGEMENT_POLICY, f"{ORG}/{NMP}") in read
    assert (Why.SERVICES, What.AGREEMENTS, f"{ORG}/n2") in read
    before = len(hub.reads)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert hub.reads[before:] == []


@in_virtual_time
async def test_while_a_lease_is_held_its_holder_is_read_for_the_end_of_it() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n1", "ha node waiting")
    await hub.start()
    await hub.ask("n1", "g1")
    begun = len(hub.reads)

    await hub.live("n1", "n2", seconds=130)

    read = since(hub, begun)
    assert (Why.HOLDER, What.STATUSES, f"{ORG}/n1") in read
    assert (Why.HEARTBEAT, What.NODE, f"{ORG}/n2") in read
    assert (Why.SUBJECT, What.MANAGEMENT_POLICY, f"{ORG}/{NMP}") in read


@in_virtual_time
async def test_a_grant_that_no_report_announced_reads_the_askers_own_report() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    begun = len(hub.reads)

    assert isinstance(await hub.ask("n1", "g1"), Granted)

    assert (Why.GRANT, What.STATUSES, f"{ORG}/n1") in since(hub, begun)
