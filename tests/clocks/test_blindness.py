"""While we cannot see, time stands still: nothing follows from the silence of nodes that no one could hear."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.lease import State
from agbot.rules.limits import Limits
from tests.clocks import blindness
from tests.clocks.blindness import Blindness, bad, held, upgrading
from tests.support.examples import some, thorough
from tests.support.hub import codes
from tests.support.virtual_time import in_virtual_time

TWELVE_MINUTES = 720.0


def kinds(first: int = 0, *, kinds: Sequence[Blindness] = blindness.ALL) -> pytest.MarkDecorator:
    """Play every kind; `make test` has every third, from this one on."""
    return pytest.mark.parametrize("blind", some(kinds, first=first), ids=lambda each: each.__name__)


@kinds(1)
@in_virtual_time
async def test_twelve_minutes_of_blindness_are_no_evidence_about_the_holder(blind: Blindness) -> None:
    hub = await upgrading()

    await blind(hub, TWELVE_MINUTES)

    await asyncio.sleep(50)  # the nodes are not received at once either
    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    await hub.live("n1", "n2", "n3", seconds=120)
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    assert held(hub).token == 1
    assert bad(hub) == []
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=40)
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@kinds(2)
@in_virtual_time
async def test_blindness_just_before_a_lease_expires_does_not_let_it_expire(blind: Blindness) -> None:
    hub = await upgrading()
    await hub.live(seconds=530)  # the holder has been silent since, and 10 s are left

    await blind(hub, TWELVE_MINUTES)
    await hub.live("n1", "n2", "n3", seconds=60, every=30)

    assert held(hub).token == 1
    assert bad(hub) == []


OF_US = tuple(each for each in blindness.ALL if each is not blindness.nodes_cannot_be_read)
"""Those in which seen time stands still; where only nodes cannot be read it goes on, and they are
given time to show themselves."""


@kinds(1, kinds=OF_US)
@in_virtual_time
async def test_a_holder_that_died_in_the_meantime_is_found_out_as_if_it_had_died_afterwards(blind: Blindness) -> None:
    hub = await upgrading(limits=Limits(dead_after_seconds=1000))

    await blind(hub, TWELVE_MINUTES)
    await hub.live("n2", "n3", seconds=500)
    assert hub.lease("g1").state is State.HELD
    await hub.live("n2", "n3", seconds=300)
    assert hub.lease("g1").state is State.SUSPECT
    await hub.live("n2", "n3", seconds=500)
    assert hub.lease("g1").state is State.FREE


@kinds()
@in_virtual_time
async def test_a_claim_that_was_made_just_before_is_given_its_time_to_show_itself(blind: Blindness) -> None:
    hub = await upgrading(status="")

    await blind(hub, TWELVE_MINUTES)
    await asyncio.sleep(20)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", "n3", seconds=240)

    assert held(hub).tenure is not None
    assert bad(hub) == []


@kinds(2, kinds=OF_US)
@in_virtual_time
async def test_who_waits_has_not_stopped_asking_while_no_one_listened(blind: Blindness) -> None:
    hub = await upgrading()
    (before,) = hub.coordinator.group(hub.lease("g1").group).waiting  # type: ignore[union-attr]  # it is there

    await blind(hub, TWELVE_MINUTES)
    await hub.live("n1", "n2", "n3", seconds=30)

    (after,) = hub.coordinator.group(hub.lease("g1").group).waiting  # type: ignore[union-attr]  # it is there
    assert after.node == before.node
    assert abs((after.since - before.since).total_seconds()) < 5


@in_virtual_time
async def test_a_look_back_shows_times_of_the_wall_clock() -> None:
    hub = await upgrading()
    before = hub.coordinator.group(held(hub).group)
    assert before is not None

    await blindness.exchange_away(hub, 3600)
    await hub.live("n1", "n2", "n3", seconds=5)

    after = hub.coordinator.group(held(hub).group)
    assert after is not None
    assert before.lease.granted_at == after.lease.granted_at
    assert before.lease.renewed_at is not None
    assert after.lease.renewed_at is not None
    assert abs((after.lease.renewed_at - before.lease.renewed_at).total_seconds()) < 3
    assert after.lease.expires_at is not None
    assert after.lease.expires_at > hub.clock.now()


@in_virtual_time
async def test_a_rest_is_not_over_because_no_one_could_look() -> None:
    hub = await upgrading()
    hub.limits = replace(hub.limits, agent_soak_seconds=200.0)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=10)

    await blindness.we_are_cut_off(hub, TWELVE_MINUTES)
    await hub.live("n1", "n2", "n3", seconds=30)
    assert "soaking" in codes(await hub.ask("n2", "g1"))

    await hub.live("n1", "n2", "n3", seconds=300)
    assert isinstance(await hub.ask("n2", "g1"), Granted)


@thorough
@in_virtual_time
async def test_an_exchange_that_comes_and_goes_forever_does_not_stop_time_forever() -> None:
    """P5: the time between the outages counts."""
    hub = await upgrading()

    for _ in range(120):
        await blindness.exchange_away(hub, 40)
        await hub.live("n2", "n3", seconds=40)

    assert hub.lease("g1").state is State.FREE


@thorough
@in_virtual_time
async def test_a_crash_loop_does_not_stop_time_forever() -> None:
    """P5: the time between the crashes counts, although it is written down only now and then."""
    hub = await upgrading(limits=Limits(lease_seconds=300, dead_after_seconds=600))

    for _ in range(100):
        await hub.away(5)
        await hub.live("n2", "n3", seconds=20)

    assert hub.lease("g1").state is State.FREE
