"""What a question hears at the end of its time names what was really waited for, at every stage."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import Refused as CredentialsRefused
from agbot.gateway import question
from agbot.gateway.answers import Outcome, waits_for
from agbot.gateway.question import Heard
from agbot.rules.facts import Node
from agbot.rules.ids import node_id
from agbot.rules.lease import Lease
from agbot.rules.reasons import Code, Reason
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.store.contract import NOTHING, Lost, Writes
from agbot.store.memory import MemoryStore
from tests.support.hub import AGBOT, ORG, Hub
from tests.support.virtual_time import in_virtual_time

SECONDS = 3.0


class SlowStore(MemoryStore):
    """Takes its time as soon as it is told to."""

    seconds = 0.0

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        await asyncio.sleep(self.seconds)
        return await super().swap(expected, new, writes)

    async def write(self, writes: Writes) -> None:
        await asyncio.sleep(self.seconds)
        await super().write(writes)


async def started(*, is_deferred: bool = False) -> tuple[Hub, SlowStore]:
    """Start a hub with a pair of which n1 is about to ask; `is_deferred`: it came in the middle of its upgrade."""
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


async def asked(hub: Hub) -> Heard:
    """Put n1's question as the gateway does."""
    name = node_id(ORG, "n1")

    async def read(node: str) -> Node:
        seen = await hub.client.node(name, Credentials(identity=name, secret=seed.token_of(node)))
        if seen is None:
            raise CredentialsRefused("GET", f"/orgs/{ORG}/nodes/{node}", "404", "register the node")
        return seen

    deadline = asyncio.get_running_loop().time() + SECONDS
    return await question.put(hub.coordinator, hub.question("n1", "g1"), partial(read, "n1"), deadline=deadline)


async def reason(hub: Hub) -> Reason:
    """Return what n1 hears when its time is over."""
    begun = asyncio.get_running_loop().time()
    heard = await asked(hub)
    assert heard.outcome is Outcome.UNAVAILABLE
    assert asyncio.get_running_loop().time() == pytest.approx(begun + SECONDS)
    (said,) = heard.reasons
    await hub.stop()
    return said


@in_virtual_time
@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.LATENCY])
async def test_a_slow_confirmation_is_told_as_the_exchange_not_confirming_the_node(kind: FaultKind) -> None:
    hub, _store = await started()
    hub.exchange.faults.add(Fault(kind=kind, seconds=9, caller=f"{ORG}/n1"))

    said = await reason(hub)

    assert str(said) == "exchange-unavailable: the Exchange did not confirm the node in time"


@in_virtual_time
@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.LATENCY])
async def test_a_slow_feed_is_told_as_the_exchange_not_telling_its_changes(kind: FaultKind) -> None:
    hub, _store = await started()
    await asyncio.sleep(1.5)
    hub.exchange.faults.add(Fault(kind=kind, seconds=9, path=".*/changes$"))

    said = await reason(hub)

    assert str(said) == "exchange-unavailable: the Exchange did not tell its latest changes in time"


@in_virtual_time
async def test_a_slow_read_of_the_group_is_told_as_the_exchange_not_showing_it() -> None:
    hub, _store = await started()
    hub.exchange.faults.add(
        Fault(kind=FaultKind.LATENCY, seconds=9, path=".*/(managementStatus|managementpolicies/.*)$")
    )

    said = await reason(hub)

    assert str(said) == "exchange-unavailable: the Exchange did not show what the decision rests on in time"


@in_virtual_time
async def test_a_slow_read_of_what_an_exempt_yes_rests_on_is_the_exchanges_too() -> None:
    hub, _store = await started(is_deferred=True)
    hub.exchange.faults.add(Fault(kind=FaultKind.HANG, path=".*/nodes/n1/managementStatus$", caller=f"IBM/{AGBOT}"))

    said = await reason(hub)

    assert str(said) == "exchange-unavailable: the Exchange did not show what the decision rests on in time"


@in_virtual_time
@pytest.mark.parametrize("is_deferred", [False, True])
async def test_a_slow_commit_is_told_as_the_store_not_answering(is_deferred: bool) -> None:
    hub, store = await started(is_deferred=is_deferred)
    store.seconds = 30

    said = await reason(hub)

    assert str(said) == "store-unavailable: the lease store did not answer in time"


AT_ONCE = [
    Fault(kind=FaultKind.STATUS, status=500),
    Fault(kind=FaultKind.STATUS, status=502),
    Fault(kind=FaultKind.DROP),
]


@in_virtual_time
@pytest.mark.parametrize("fault", AT_ONCE, ids=["500", "502", "the connection ends"])
@pytest.mark.parametrize("path", [".*/managementpolicies/.*", ".*/nodes/n1/managementStatus$"])
async def test_a_read_of_the_group_that_fails_at_once_is_told_as_the_exchange_not_showing_it(
    fault: Fault, path: str
) -> None:
    hub, _store = await started()
    hub.report("n1", "ha node waiting")
    hub.write_policy()
    hub.exchange.faults.add(replace(fault, path=path))

    heard = await asked(hub)

    assert [each.code for each in heard.reasons] == [Code.EXCHANGE_UNAVAILABLE]
    assert "Waits for: exchange-unavailable: the Exchange did not show what the decision rests on" in waits_for(
        heard.reasons
    )
    assert path.rpartition("/")[2].strip("$.*") in str(heard.reasons[0])
    await hub.stop()


@in_virtual_time
async def test_peers_that_could_not_be_looked_at_again_are_not_called_silent_without_saying_so() -> None:
    hub, _store = await started()
    await hub.live("n1", seconds=900)
    hub.report("n1", "ha node waiting")
    await asyncio.sleep(3)
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=".*/nodes(/n[23])?$", caller=f"IBM/{AGBOT}"))
    await asyncio.sleep(60)

    heard = await asked(hub)

    assert [each.code for each in heard.reasons] == [Code.EXCHANGE_UNAVAILABLE, Code.PEERS_UNAVAILABLE]
    await hub.stop()
