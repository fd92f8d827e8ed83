"""What the guard is told and when, also if its database loses an answer or an order comes in the middle of a cycle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from agbot.agreementbot.client import Listed, Listing
from agbot.coordinator.guarded.port import Decided, Gate, GuardUnavailableError, Outcome
from agbot.rules.facts import Row
from agbot.rules.ids import NodeId, PolicyId, group_id, policy_id
from agbot.rules.lease import Claim, Kind
from agbot.rules.records import Hold
from tests.support.hub import NMP, ORG, Hub
from tests.support.virtual_time import in_virtual_time


class Gatehouse:
    """The guard's tables in memory; a write takes a while, and its answer can be lost."""

    def __init__(self) -> None:
        self.gates: dict[tuple[str, str, str, str], Gate] = {}
        self.decided: list[Decided] = []
        self.write_seconds = 0.0
        self.is_writing = asyncio.Event()
        self.loses_answers = False

    async def list_rows(self) -> Listing:
        return Listed(rows=(), url="")

    async def has_news(self) -> bool:
        return False

    async def undelivered(self) -> Sequence[Decided]:
        return list(self.decided)

    async def delivered(self, decided: Sequence[Decided]) -> None:
        self.decided = [each for each in self.decided if each not in decided]

    async def write(
        self,
        judged_seconds: float | None,
        put: Sequence[Gate],
        drop: Sequence[Gate],
        *,
        resets: bool,
    ) -> None:
        self.is_writing.set()
        await asyncio.sleep(self.write_seconds)
        if resets:
            self.gates.clear()
        for gate in drop:
            self.gates.pop(gate.key, None)
        self.gates.update({gate.key: gate for gate in put})
        if self.loses_answers:
            raise GuardUnavailableError("the answer was lost")

    async def delete(self, row: Row) -> bool:
        return False


async def guarded(gatehouse: Gatehouse) -> Hub:
    hub = Hub(guard=lambda _store: gatehouse)
    hub.group("g1", "n1", "n2")
    await hub.start()
    await asyncio.sleep(15)
    return hub


def held(gatehouse: Gatehouse) -> bool:
    return any(gate.scope == ORG for gate in gatehouse.gates.values())


@in_virtual_time
async def test_a_hold_that_is_ordered_while_a_cycle_ends_reaches_the_guard_at_once() -> None:
    gatehouse = Gatehouse()
    hub = await guarded(gatehouse)
    gatehouse.write_seconds = 0.5
    gatehouse.is_writing.clear()
    await gatehouse.is_writing.wait()

    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="the trade fair"))
    await asyncio.sleep(2)

    assert held(gatehouse)
    await hub.stop()


@in_virtual_time
async def test_a_gate_whose_end_may_have_been_written_is_written_again() -> None:
    gatehouse = Gatehouse()
    hub = await guarded(gatehouse)
    hold = Hold(scope=ORG, since=hub.clock.now(), by="eva", why="the trade fair")
    await hub.coordinator.hold(hold)
    await asyncio.sleep(2)
    gatehouse.loses_answers = True
    await hub.coordinator.resume(ORG, subject=None, reason="over", who="eva")
    await asyncio.sleep(2)
    gatehouse.loses_answers = False

    await hub.coordinator.hold(hold)
    await asyncio.sleep(30)

    assert held(gatehouse)
    await hub.stop()


@in_virtual_time
async def test_a_decision_about_a_name_that_is_none_stops_neither_the_cycles_nor_the_others() -> None:
    gatehouse = Gatehouse()
    hub = await guarded(gatehouse)
    odd = _refused(Claim(holder=NodeId("o1/n1"), kind=Kind.SERVICE, subject=PolicyId("")))
    good = _refused(Claim(holder=NodeId("o1/n2"), kind=Kind.AGENT, subject=policy_id(ORG, NMP)))
    gatehouse.decided = [odd, good]

    await asyncio.sleep(30)

    assert gatehouse.decided == [odd]
    assert len(hub.events("lease.granted")) == 1
    assert any("(questions of the guard of o1/n1)" in each for each in hub.coordinator.overview().not_ready)
    gatehouse.decided = []
    await asyncio.sleep(30)
    assert len(hub.events("part.recovered")) == 1
    await hub.stop()


@in_virtual_time
async def test_a_cycle_that_fails_at_the_guard_makes_the_daemon_not_ready() -> None:
    gatehouse = Gatehouse()
    hub = await guarded(gatehouse)
    gatehouse.decided = [cast("Decided", None)]  # a fault of this program

    with pytest.raises(AttributeError):
        await hub._tasks[0]  # noqa: SLF001 - the cycles

    assert any("the last cycle failed" in each for each in hub.coordinator.overview().not_ready)
    await hub.stop()


def _refused(claim: Claim) -> Decided:
    return Decided(
        group=group_id(ORG, "g1"),
        claim=claim,
        outcome=Outcome.REFUSED,
        token=0,
        code="judged",
        reason="only the coordinator grants",
        age_seconds=1.0,
        waits_seconds=1.0,
        tries=1,
    )
