"""What operators are shown: nothing is claimed that no one has looked at."""

from __future__ import annotations

import asyncio
from datetime import datetime

from agbot.coordinator.permission import Granted
from agbot.fleet.reads import Why
from agbot.rules.ids import group_id, node_id
from agbot.rules.limits import Limits
from agbot.rules.records import Hold
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_member_of_an_idle_group_is_not_called_offline_because_no_one_read_its_heartbeat() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    begun = hub.clock.now()
    await hub.live("n1", "n2", seconds=1000)

    view = hub.coordinator.group(group_id(ORG, "g1"))

    assert view is not None
    assert [member.available for member in view.members] == [None, None]
    assert [member.was_alive for member in view.members] == [True, True], "when they were last read"
    assert all(member.read_at is not None and member.read_at <= begun for member in view.members)


@in_virtual_time
async def test_a_member_that_is_silent_while_somebody_waits_is_shown_as_offline() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    for _minute in range(10):
        await hub.live("n1", seconds=60)
        await hub.ask("n1", "g1")

    view = hub.coordinator.group(group_id(ORG, "g1"))

    assert view is not None
    assert {member.node: member.available for member in view.members} == {f"{ORG}/n1": True, f"{ORG}/n2": False}


@in_virtual_time
async def test_while_the_exchange_cannot_be_read_no_member_is_called_available() -> None:
    """Seen time stands still then, so that what was read last would stay young for the whole night."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=60)
    await hub.ask("n1", "g1")
    await hub.live("n1", "n2", seconds=30)
    group = group_id(ORG, "g1")
    before, blind_at = hub.coordinator.group(group), hub.clock.now()
    assert before is not None
    assert {member.available for member in before.members} == {True}

    down = hub.exchange.faults.add(Fault(kind=FaultKind.DROP))
    await asyncio.sleep(3600)
    during = hub.coordinator.group(group)
    hub.exchange.faults.remove(down)

    assert during is not None
    assert {member.available for member in during.members} == {None}
    assert all(member.was_alive and not member.why_unavailable for member in during.members)
    assert all(member.read_at is not None and member.read_at <= blind_at for member in during.members)


@in_virtual_time
async def test_a_member_that_was_not_registered_when_somebody_looked_is_not_called_so_forever() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n2", {"publicKey": ""}, caller=f"{ORG}/n2")
    await hub.start()

    def n2() -> tuple[bool | None, bool, str]:
        view = hub.coordinator.group(group_id(ORG, "g1"))
        assert view is not None
        return view.members[1].available, view.members[1].was_alive, view.members[1].why_unavailable

    assert n2() == (False, False, "its agent is not registered")
    await hub.live("n1", "n2", seconds=120)
    assert n2() == (None, False, "its agent is not registered"), "as it was when it was read"


@in_virtual_time
async def test_a_silence_is_stated_as_of_the_last_read_and_what_came_after_it_is_not_known() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", seconds=3 * 3600)
    await hub.coordinator.look_at(group_id(ORG, "g1"))
    view = hub.coordinator.group(group_id(ORG, "g1"))
    assert view is not None
    assert [(each.available, each.why_unavailable) for each in view.members] == [
        (True, ""),
        (False, "last heartbeat 3 hours ago"),
    ]

    await hub.live("n1", "n2", seconds=3600)
    view = hub.coordinator.group(group_id(ORG, "g1"))
    assert view is not None
    assert [(each.available, each.why_unavailable) for each in view.members] == [
        (None, ""),
        (None, "last heartbeat 3 hours ago"),
    ]


@in_virtual_time
async def test_a_group_that_a_person_looks_at_is_read_at_most_once_in_the_age_of_a_heartbeat() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=1000)
    begun = len(hub.reads)

    for _look in range(5):
        await hub.coordinator.look_at(group_id(ORG, "g1"))
        await hub.live("n1", "n2", seconds=1)

    view = hub.coordinator.group(group_id(ORG, "g1"))
    assert view is not None
    assert [member.available for member in view.members] == [True, True]
    assert sorted(read.id for read, why in hub.reads[begun:] if why is Why.SHOWN) == [f"{ORG}/n1", f"{ORG}/n2"]


@in_virtual_time
async def test_a_group_is_shown_with_what_is_required_and_with_the_holds_of_its_members() -> None:
    hub = Hub(limits=Limits(min_available_percent=60))
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    held = Hold(scope=f"node:{ORG}/n2", since=hub.clock.now(), by="eva", why="broken disk")
    await hub.coordinator.hold(held)

    view = hub.coordinator.group(group_id(ORG, "g1"))
    explained = hub.coordinator.explain(node_id(ORG, "n2"))

    assert view is not None
    assert (view.required, view.required_by) == (2, "60 % of 3")
    assert view.holds == (held,)
    assert explained is not None
    assert explained.answer.endswith("Its next upgrade would have to wait: on hold by eva: broken disk.")
    assert hub.coordinator.explain(node_id(ORG, "n1")) != explained


@in_virtual_time
async def test_a_start_is_not_shown_as_when_a_waiter_last_asked() -> None:
    """It counts as having asked then, so that nobody seems silent after a restart: nobody could ask."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=35)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert codes(await hub.ask("n2", "g1", is_remembered=True)) == ["lease-held"]
    asked_at = hub.clock.now()

    def shown() -> datetime | None:
        view = hub.coordinator.group(group_id(ORG, "g1"))
        assert view is not None
        (waiter,) = view.waiting
        return waiter.asked_at

    assert shown() == asked_at
    await hub.live("n1", "n2", seconds=35)
    await hub.crash()
    await hub.live("n1", "n2", seconds=35)
    assert shown() is None
    await hub.ask("n2", "g1", is_remembered=True)
    assert shown() == hub.clock.now()
    await hub.stop()
