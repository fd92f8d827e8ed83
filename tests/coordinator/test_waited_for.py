"""The answer to a question at the end of its time names what was really waited for, at every stage."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from agbot.coordinator.permission import Answer, Confirm, Ended, Permission, Refused
from agbot.gateway.answers import Outcome, Reply
from agbot.gateway.asking import ANSWER_SHARE
from agbot.rules.facts import Ask
from agbot.rules.ids import node_id
from agbot.rules.lease import Lease
from agbot.rules.reasons import Code
from agbot.settings.model import GatewaySettings
from agbot.sim.exchange import basic, seed
from agbot.sim.faults import Fault, FaultKind
from agbot.store.contract import NOTHING, Lost, Writes
from agbot.store.memory import MemoryStore
from tests.support.direct_gateway import DirectGateway
from tests.support.hub import AGBOT, NMP, ORG, Hub
from tests.support.virtual_time import in_virtual_time

SECONDS = GatewaySettings().answer_seconds * ANSWER_SHARE


class SlowStore(MemoryStore):
    """Takes its time as soon as it is reported to."""

    seconds = 0.0

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        await asyncio.sleep(self.seconds)
        return await super().swap(expected, new, writes)

    async def write(self, writes: Writes) -> None:
        await asyncio.sleep(self.seconds)
        await super().write(writes)


async def started(*, is_deferred: bool = False) -> tuple[Hub, SlowStore]:
    """Start a hub with a pair of which n1 is about to ask.

    `is_deferred`: it came in the middle of its upgrade.
    """
    store = SlowStore()
    hub = Hub(store=store)
    hub.group("g1", "n2", "n3")
    seed.node(hub.exchange, ORG, "n1", version="2.31.0")
    if is_deferred:
        hub.report("n1", "initiated")
    await hub.start()
    hub.admin("POST", "/hagroups/g1/nodes/n1")
    await hub.live("n1", "n2", "n3", seconds=15)
    return hub, store


class Overheard:
    """The coordinator as the gateway asks it, and what it has refused with."""

    def __init__(self, hub: Hub) -> None:
        self._coordinator = hub.coordinator
        self.refusals: list[Refused] = []

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        return self._coordinator.refuse_from_memory(ask)

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        answer = await self._coordinator.ask(ask, confirm)
        if isinstance(answer, Refused):
            self.refusals.append(answer)
        return answer

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        raise NotImplementedError


async def asked(hub: Hub, permission: Permission | None = None) -> Reply:
    """Ask as n1's agent does."""
    gateway = DirectGateway(permission or hub.coordinator, hub.client, hub.clock)
    credentials = basic(node_id(ORG, "n1"), seed.token_of("n1"))
    return await gateway.answer("POST", f"/org/{ORG}/hagroup/g1/nodemanagement/n1/{NMP}", credentials)


def waited_for(reply: Reply) -> str:
    """Return what a refusal waits for."""
    message: str = json.loads(reply.body)["msg"]
    return message.partition(" Waits for: ")[2]


async def reason(hub: Hub) -> str:
    """Return what n1 gets to read when its time is over."""
    begun = asyncio.get_running_loop().time()
    reply = await asked(hub)
    assert reply.outcome is Outcome.UNAVAILABLE
    assert asyncio.get_running_loop().time() == pytest.approx(begun + SECONDS)
    await hub.stop()
    return waited_for(reply)


@in_virtual_time
@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.LATENCY])
async def test_a_slow_confirmation_is_reported_as_the_exchange_not_confirming_the_node(kind: FaultKind) -> None:
    hub, _store = await started()
    hub.exchange.faults.add(Fault(kind=kind, seconds=9, caller=f"{ORG}/n1"))

    stated = await reason(hub)

    assert stated == "exchange-unavailable: the Exchange did not confirm the node in time"


@in_virtual_time
@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.LATENCY])
async def test_a_slow_feed_is_reported_as_the_exchange_not_reporting_its_changes(kind: FaultKind) -> None:
    hub, _store = await started()
    await asyncio.sleep(1.5)
    hub.exchange.faults.add(Fault(kind=kind, seconds=9, path=".*/changes$"))

    stated = await reason(hub)

    assert stated == "exchange-unavailable: the Exchange did not show its latest changes in time"


@in_virtual_time
async def test_a_slow_read_of_the_group_is_reported_as_the_exchange_not_showing_it() -> None:
    hub, _store = await started()
    hub.exchange.faults.add(
        Fault(kind=FaultKind.LATENCY, seconds=9, path=".*/(managementStatus|managementpolicies/.*)$")
    )

    stated = await reason(hub)

    assert stated == "exchange-unavailable: the Exchange did not show what the decision rests on in time"


@in_virtual_time
async def test_a_slow_read_of_what_an_exempt_yes_rests_on_is_the_exchanges_too() -> None:
    hub, _store = await started(is_deferred=True)
    hub.exchange.faults.add(Fault(kind=FaultKind.HANG, path=".*/nodes/n1/managementStatus$", caller=f"IBM/{AGBOT}"))

    stated = await reason(hub)

    assert stated == "exchange-unavailable: the Exchange did not show what the decision rests on in time"


@in_virtual_time
@pytest.mark.parametrize("is_deferred", [False, True])
async def test_a_slow_commit_is_reported_as_the_store_not_answering(is_deferred: bool) -> None:
    hub, store = await started(is_deferred=is_deferred)
    store.seconds = 30

    stated = await reason(hub)

    assert stated == "store-unavailable: the lease store did not answer in time"


AT_ONCE = [
    Fault(kind=FaultKind.STATUS, status=500),
    Fault(kind=FaultKind.STATUS, status=502),
    Fault(kind=FaultKind.DROP),
]


@in_virtual_time
@pytest.mark.parametrize("fault", AT_ONCE, ids=["500", "502", "the connection ends"])
@pytest.mark.parametrize("path", [".*/managementpolicies/.*", ".*/nodes/n1/managementStatus$"])
async def test_a_read_of_the_group_that_fails_at_once_is_reported_as_the_exchange_not_showing_it(
    fault: Fault, path: str
) -> None:
    hub, _store = await started()
    hub.report("n1", "ha node waiting")
    hub.write_policy()
    hub.exchange.faults.add(replace(fault, path=path))

    overheard = Overheard(hub)

    reply = await asked(hub, overheard)

    ((first,),) = [each.reasons for each in overheard.refusals]
    assert first.code is Code.EXCHANGE_UNAVAILABLE
    assert path.rpartition("/")[2].strip("$.*") in str(first)
    assert waited_for(reply) == "exchange-unavailable: the Exchange did not show what the decision rests on"
    await hub.stop()


@in_virtual_time
async def test_peers_that_could_not_be_looked_at_again_are_not_called_silent_without_saying_so() -> None:
    hub, _store = await started()
    await hub.live("n1", seconds=900)
    hub.report("n1", "ha node waiting")
    await asyncio.sleep(3)
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=".*/nodes(/n[23])?$", caller=f"IBM/{AGBOT}"))
    await asyncio.sleep(60)

    overheard = Overheard(hub)

    await asked(hub, overheard)

    assert [each.code for each in overheard.refusals[0].reasons] == [Code.EXCHANGE_UNAVAILABLE, Code.PEERS_UNAVAILABLE]
    await hub.stop()
