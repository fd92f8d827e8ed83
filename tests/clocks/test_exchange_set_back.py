"""The Exchange's clock was ahead and is set right again, and each time another coordinator starts: nothing of before is later than now."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.lease import Kind, State
from agbot.rules.limits import Limits
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.defects.test_service_upgrade_defects import POLICY, SERVICE, begin, cancel, trio
from tests.support.hub import ORG, Hub
from tests.support.virtual_time import in_virtual_time

AHEAD = Fault(kind=FaultKind.CLOCK, seconds=3600.0)


async def set_right(hub: Hub, *nodes: str) -> None:
    """Let the Exchange's clock be an hour ahead while one coordinator runs, and right when the next one starts.

    A lease of another group is held meanwhile: an idle coordinator does not write down its clock.
    """
    hub.group("g1", "n1", "n2")
    hub.report("n1", "ha node waiting")
    await hub.live(*nodes, "n1", "n2", seconds=20)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live(*nodes, "n1", "n2", seconds=60)
    handle = hub.exchange.faults.add(AHEAD)
    await hub.away(10)
    await hub.live(*nodes, seconds=90)
    hub.exchange.faults.remove(handle)
    await hub.away(10)


def make_without_containers(hub: Hub, node: str, agreement: str) -> None:
    """Let a node have a new agreement that is final, and no report of its containers."""
    terms = {"orgid": ORG, "pattern": "", "url": f"{ORG}/{SERVICE}"}
    body = {"services": [], "agreementService": terms, "state": "Finalized Agreement"}
    seed.send(hub.exchange, "PUT", f"/orgs/{ORG}/nodes/{node}/agreements/{agreement}", body, caller=f"{ORG}/{node}")
    status: dict[str, object] = {"connectivity": {}, "services": []}
    seed.send(hub.exchange, "PUT", f"/orgs/{ORG}/nodes/{node}/status", status, caller=f"{ORG}/{node}")


async def silent_holder() -> Hub:
    """Let a holder fall silent in the middle of a service upgrade of which nothing shows that it is over."""
    hub = await trio()
    await hub.live("s1", "s2", "s3", seconds=60)
    await begin(hub)
    make_without_containers(hub, "s1", "s1-new")
    await hub.live("s2", "s3", seconds=400)
    return hub


async def is_given_up_as_any_dead_holder(hub: Hub) -> None:
    """Check that the silent holder is waited for as long as for any other."""
    await hub.live("s2", "s3", seconds=Limits().lease_seconds)

    assert hub.lease("gs").state is not State.FREE
    await hub.live("s2", "s3", seconds=Limits().dead_after_seconds)
    assert hub.lease("gs").state is State.FREE, "it is waited for as long as for any dead holder"
    await hub.stop()


@in_virtual_time
async def test_an_agreement_without_containers_has_to_stand_as_long_as_ever() -> None:
    hub = await trio()
    await set_right(hub, "s1", "s2", "s3")
    await hub.live("s1", "s2", "s3", seconds=90)
    await begin(hub)
    make_without_containers(hub, "s1", "s1-new")

    await hub.live("s1", "s2", "s3", seconds=Limits().lease_seconds - 60)
    assert hub.lease("gs").state is State.HELD

    await hub.live("s1", "s2", "s3", seconds=240)
    assert hub.lease("gs").state is State.FREE
    await hub.stop()


@in_virtual_time
async def test_a_holder_that_was_dead_for_longer_than_the_clock_was_set_back_is_not_alive() -> None:
    hub = await trio()
    await hub.live("s2", "s3", seconds=3000)
    answer = await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE))
    assert isinstance(answer, Granted)
    cancel(hub, "s1", "s1-old")
    await asyncio.sleep(10)
    make_without_containers(hub, "s1", "s1-new")
    await hub.live("s2", "s3", seconds=200)

    await set_right(hub, "s2", "s3")
    await hub.live("s2", "s3", seconds=200)

    assert [each.node for each in hub.events("lease.released") if each.group == f"{ORG}/gs"] == []
    await hub.stop()


@in_virtual_time
async def test_a_holder_that_died_before_the_clock_was_set_back_and_forth_is_not_alive() -> None:
    hub = await silent_holder()
    behind = hub.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=-3600.0))
    await hub.away(10)
    await hub.live("s2", "s3", seconds=400)
    hub.exchange.faults.remove(behind)
    await hub.away(10)

    await is_given_up_as_any_dead_holder(hub)


@in_virtual_time
async def test_what_was_seen_before_another_such_step_is_no_older_for_it() -> None:
    hub = await trio()
    await set_right(hub, "s1", "s2", "s3")
    await hub.live("s1", "s2", "s3", seconds=60)
    hub.exchange.faults.add(AHEAD)
    await hub.away(10)
    await hub.live("s1", "s2", "s3", seconds=60)

    now = hub.coordinator._situation.now()  # noqa: SLF001 - its time, of which everything else follows
    assert now.age_of(now.wall - timedelta(seconds=30)) == timedelta(seconds=30)
    assert now.age_of(now.wall - timedelta(hours=1)) < timedelta(seconds=130)
    await hub.stop()


@in_virtual_time
async def test_no_sign_of_life_is_later_than_now() -> None:
    hub = await trio()
    await hub.live("s1", "s2", "s3", seconds=600)
    await set_right(hub, "s1", "s2", "s3")
    await hub.live("s1", "s2", "s3", seconds=60)

    now = hub.coordinator._situation.now()  # noqa: SLF001 - its time, of which everything else follows
    for seconds in range(0, 4000, 10):
        assert now.seen_at(now.wall - timedelta(seconds=seconds)) <= now.seen
    assert now.age_of(now.wall - timedelta(seconds=30)) == timedelta(seconds=30)
    assert now.age_of(now.wall - timedelta(hours=1, minutes=3)) > timedelta(hours=1)
    await hub.stop()


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
@in_virtual_time
async def test_a_holder_is_no_longer_silent_for_a_clock_that_was_set_while_a_coordinator_ran(seconds: float) -> None:
    hub = await silent_holder()
    hub.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=seconds))
    await hub.live("s2", "s3", seconds=400)
    await hub.away(10)

    await is_given_up_as_any_dead_holder(hub)
