"""How groups stand for other systems: what the coordinator knows, and nothing before it knows it."""

from __future__ import annotations

from datetime import timedelta

from agbot.daemon.receivers import CoordinatorGroups
from agbot.delivery.payload import encoded
from agbot.rules.facts import Sight
from agbot.rules.ids import group_id
from agbot.rules.reasons import Cause
from agbot.rules.records import Hold
from agbot.rules.seen_time import Now
from agbot.sim.agent_state import Word
from tests.support.hub import NMP, ORG, Hub
from tests.support.listening import validated
from tests.support.virtual_time import in_virtual_time

GROUP = group_id(ORG, "g1")


def groups_of(hub: Hub) -> CoordinatorGroups:
    return CoordinatorGroups(hub.coordinator)


@in_virtual_time
async def test_a_group_is_shown_with_holder_waiters_and_their_reasons_and_holds() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=30)
    await hub.ask("n1", "g1")
    await hub.ask("n2", "g1")
    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="ola", why="a trial"))

    state = groups_of(hub).state(GROUP)

    assert state is not None
    emitted = validated(encoded(state), "state")
    assert (emitted["group"], emitted["state"], emitted["token"], emitted["holder"]) == (GROUP, "held", 1, f"{ORG}/n1")
    assert (emitted["kind"], emitted["subject"]) == ("agent", f"{ORG}/{NMP}")
    assert [member["node"] for member in emitted["members"]] == [f"{ORG}/n1", f"{ORG}/n2"]
    (waiter,) = emitted["waiting"]
    assert (waiter["node"], waiter["reasons"][0]["code"]) == (f"{ORG}/n2", "lease-held")
    (tenure,) = emitted["holds"]
    assert (tenure["scope"], tenure["by"], tenure["until"]) == (ORG, "ola", None)
    assert groups_of(hub).busy() == [GROUP]
    await hub.stop()


@in_virtual_time
async def test_a_brake_alone_keeps_a_group_busy_and_is_shown() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.group("g2", "n3", "n4")
    await hub.start()
    await hub.live("n1", "n2", "n3", "n4", seconds=30)
    await hub.ask("n1", "g1")
    hub.report("n1", Word.ROLLBACK_SUCCESSFUL)
    await hub.live("n1", "n2", seconds=30)

    state = groups_of(hub).state(GROUP)

    assert state is not None
    assert [(brake.subject, brake.cause) for brake in state.brakes] == [(f"{ORG}/{NMP}", Cause.FAILED.value)]
    assert (state.state, state.holder, state.expires_at) == ("free", None, None)
    assert groups_of(hub).busy() == [GROUP]
    await hub.stop()


@in_virtual_time
async def test_nothing_is_stated_of_a_group_before_store_and_exchange_were_read() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    groups = groups_of(hub)

    assert groups.busy() is None
    assert groups.state(GROUP) is None
    assert not groups.is_gone(GROUP)

    await hub.start()
    assert groups.busy() == []
    assert groups.state(GROUP) is not None
    assert groups.state(group_id("elsewhere", "g1")) is None
    assert not groups.is_gone(group_id("elsewhere", "g1"))
    await hub.stop()


@in_virtual_time
async def test_a_deleted_group_is_gone_when_its_lease_has_ended() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=30)
    await hub.ask("n1", "g1")
    picture = hub.coordinator._situation.picture  # noqa: SLF001 - the moment between the news and the release
    picture.learn_group(GROUP, Sight.ABSENT, begun=picture.begin(), now=Now.unblinded(hub.clock.now()))
    gone_while_held = groups_of(hub).is_gone(GROUP)
    hub.admin("DELETE", "/hagroups/g1")

    await hub.live("n1", "n2", seconds=timedelta(minutes=1).total_seconds())

    assert not gone_while_held
    assert groups_of(hub).is_gone(GROUP)
    assert groups_of(hub).state(GROUP) is None
    await hub.stop()
