"""The ways in which the coordinator becomes blind, and a group in the middle of an upgrade to be blind about.

While the Exchange itself is away no node can send it a heartbeat; while only we are cut off, all of
them go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agbot.coordinator.permission import Granted
from agbot.rules.lease import Lease, State
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, Hub, codes
from tests.support.virtual_time import VirtualLoop

Blindness = Callable[[Hub, float], Awaitable[None]]
BAD = ("lease.suspected", "lease.released", "lease.taken_over", "brake.set")
"""What must not come of a blindness."""


async def upgrading(*, status: str = "initiated", **settings: object) -> Hub:
    """Return a hub in which n1 has begun its upgrade and n2 waits."""
    hub = Hub(**settings)  # type: ignore[arg-type]  # whatever a hub can be given
    hub.group("g1", "n1", "n2", "n3")
    hub.report("n1", "ha node waiting")
    await hub.start()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    if status:
        hub.report("n1", status)
    await hub.live("n1", "n2", "n3", seconds=60)
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]
    await asyncio.sleep(3)
    return hub


async def exchange_away(hub: Hub, seconds: float) -> None:
    """No one reaches the Exchange, and no heartbeat is taken."""
    down = hub.exchange.faults.add(Fault(kind=FaultKind.DROP))
    await asyncio.sleep(seconds)
    hub.exchange.faults.remove(down)


async def exchange_hangs(hub: Hub, seconds: float) -> None:
    down = hub.exchange.faults.add(Fault(kind=FaultKind.HANG))
    await asyncio.sleep(seconds)
    hub.exchange.faults.remove(down)


async def exchange_answers_500(hub: Hub, seconds: float) -> None:
    down = hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500))
    await asyncio.sleep(seconds)
    hub.exchange.faults.remove(down)


async def we_are_cut_off(hub: Hub, seconds: float) -> None:
    """The nodes reach the Exchange as ever, and die or live unseen."""
    down = hub.exchange.faults.add(Fault(kind=FaultKind.DROP, caller=f"IBM/{AGBOT}"))
    await asyncio.sleep(seconds)
    hub.exchange.faults.remove(down)


async def nodes_cannot_be_read(hub: Hub, seconds: float) -> None:
    """The feed is answered, and nothing else."""
    down = hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=503, path=r"/nodes|/hagroups"))
    await asyncio.sleep(seconds)
    hub.exchange.faults.remove(down)


async def process_stopped(_hub: Hub, seconds: float) -> None:
    """`kill -STOP`, or a machine that sleeps."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.freeze(seconds)
    await asyncio.sleep(0)


async def no_one_runs(hub: Hub, seconds: float) -> None:
    """Killed, and started again when this time is over."""
    await hub.away(seconds)


async def exchange_away_and_killed_in_the_middle(hub: Hub, seconds: float) -> None:
    down = hub.exchange.faults.add(Fault(kind=FaultKind.DROP))
    await asyncio.sleep(seconds / 2)
    await hub.crash()
    await asyncio.sleep(seconds / 2)
    hub.exchange.faults.remove(down)


async def old_copies(hub: Hub, seconds: float) -> None:
    """A cache, or another Exchange behind the same name, answers every other request as of now."""
    old = hub.exchange.faults.add(Fault(kind=FaultKind.STALE, caller=f"IBM/{AGBOT}", rate=0.5))
    await hub.live("n1", "n2", "n3", seconds=seconds)
    hub.exchange.faults.remove(old)


async def old_reports(hub: Hub, seconds: float) -> None:
    """A cache answers for nodes as of now, beside a feed that goes on."""
    old = hub.exchange.faults.add(Fault(kind=FaultKind.STALE, caller=f"IBM/{AGBOT}", path="/nodes/"))
    await hub.live("n1", "n2", "n3", seconds=seconds)
    hub.exchange.faults.remove(old)


OLD: tuple[Blindness, ...] = (old_copies, old_reports)
"""What is read is old, and the feed goes on: that can look like a silent holder."""
ALL: tuple[Blindness, ...] = (
    exchange_away,
    exchange_hangs,
    exchange_answers_500,
    we_are_cut_off,
    nodes_cannot_be_read,
    process_stopped,
    no_one_runs,
    exchange_away_and_killed_in_the_middle,
)


def bad(hub: Hub) -> list[str]:
    """Return what has come of it that must not."""
    return [entry.event for entry in hub.emitted if entry.event in BAD]


def held(hub: Hub) -> Lease:
    lease = hub.lease("g1")
    assert lease.state is State.HELD
    return lease
