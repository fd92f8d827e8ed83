"""A member that was silent comes back, and has yet to act on what it has missed."""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Granted
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.sim.faults import Fault, FaultKind
from tests.defects.test_service_upgrade_defects import POLICY, agree, cancel, end_of, trio
from tests.support.hub import Hub, codes
from tests.support.virtual_time import in_virtual_time


async def silent_with_its_grant() -> Hub:
    """Let a member fall silent with the grant for its service: its agbot has cancelled, and it does not know."""
    hub = await trio()
    assert isinstance(await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE)), Granted)
    await hub.live("s2", "s3", seconds=280)
    assert hub.lease("gs").tenure is not None
    return hub


@in_virtual_time
async def test_a_member_that_comes_back_acts_on_its_cancelled_agreement_before_its_claim_is_taken_back() -> None:
    """Its old agreement stands until then: that is no sign that nothing has begun."""
    hub = await silent_with_its_grant()

    await hub.live("s1", "s2", "s3", seconds=35, every=10)
    assert hub.lease("gs").tenure is not None
    cancel(hub, "s1", "s1-old")
    await hub.live("s1", "s2", "s3", seconds=15)
    assert codes(await hub.ask("s2", "gs"))[0] == "lease-held"
    agree(hub, "s1", "s1-new", "1.0.1")
    await hub.live("s1", "s2", "s3", seconds=30)

    assert end_of(hub) is Cause.SUCCEEDED
    await hub.stop()


@in_virtual_time
async def test_a_member_that_goes_on_as_before_after_it_has_come_back_loses_the_lease() -> None:
    hub = await silent_with_its_grant()

    await hub.live("s1", "s2", "s3", seconds=150)
    await asyncio.sleep(1)

    assert end_of(hub) is Cause.UNCONFIRMED
    await hub.stop()


@in_virtual_time
async def test_a_heartbeat_by_the_former_clock_of_the_exchange_is_no_sign_of_life_after_the_grant() -> None:
    """The Exchange's clock was set while no process ran: the stamps from before are read as later ones."""
    hub = await trio()
    await hub.live("s1", "s2", "s3", seconds=20, every=10)
    assert isinstance(await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE)), Granted)
    await asyncio.sleep(5)
    hub.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=-100.0))
    await hub.away(10)

    await hub.live("s2", "s3", seconds=280)

    assert end_of(hub) is None
    assert codes(await hub.ask("s2", "gs"))[0] == "lease-held"
    await hub.stop()
