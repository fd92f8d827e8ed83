"""The order of members by a property of their node policies: read where it is wanted, once, and again when the feed reports of a change."""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Granted
from agbot.rules.ids import node_id
from agbot.rules.limits import Limits, Order
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

POLICY = ("GET", "/orgs/{org}/nodes/{node}/policy")
BY_ZONE = Limits(order="property:zone")
NODES = ("a", "b", "c")


def place(hub: Hub, node: str, *, section: str = "", **properties: object) -> None:
    """Publish a node policy, as the node does."""
    listed = [{"name": name, "value": value} for name, value in properties.items()]
    body = {section: {"properties": listed}} if section else {"properties": listed}
    seed.send(hub.exchange, "PUT", f"/orgs/{ORG}/nodes/{node}/policy", body, caller=f"{ORG}/{node}")


async def hub_of_zones(limits: Limits = BY_ZONE) -> Hub:
    hub = Hub(limits=limits)
    hub.group("g", *NODES)
    place(hub, "a", zone="west")
    place(hub, "b", section="management", zone="east")
    await hub.start()
    return hub


async def all_wait(hub: Hub) -> None:
    """Let everybody ask while a person holds the group back."""
    for node in NODES:
        hub.report(node, "ha node waiting")
        await hub.ask(node, "g")


@in_virtual_time
async def test_the_lowest_zone_goes_first_and_the_node_without_one_last() -> None:
    hub = await hub_of_zones()
    assert isinstance(await hub.ask("c", "g"), Granted)
    await all_wait(hub)
    hub.report("c", "successful")
    await hub.live(*NODES, seconds=5, every=2)
    assert hub.lease("g").tenure is None

    assert codes(await hub.ask("c", "g", "up1")) == ["turn"]
    refused = await hub.ask("a", "g")
    assert codes(refused) == ["turn"]
    explained = hub.coordinator.explain(node_id(ORG, "a"))
    assert explained is not None
    assert "comes first in the order property:zone" in explained.answer
    rule = next(each for each in explained.rules if each.rule == "turn")
    assert (rule.facts["zone"], rule.facts["order"]) == ("west", "property:zone")
    assert rule.age_seconds is not None
    assert isinstance(await hub.ask("b", "g"), Granted)
    await hub.stop()


@in_virtual_time
async def test_each_members_policy_is_read_once_and_again_after_it_has_changed() -> None:
    hub = await hub_of_zones()
    before = hub.transport.requests.copy()
    await all_wait(hub)
    assert (hub.transport.requests - before)[POLICY] == 3
    before = hub.transport.requests.copy()
    await hub.live(*NODES, seconds=120)
    assert POLICY not in hub.transport.requests - before

    place(hub, "c", zone="always-first")
    await hub.live(*NODES, seconds=5)

    assert (hub.transport.requests - before)[POLICY] == 1
    await hub.stop()


@in_virtual_time
async def test_another_order_reads_no_policy_of_a_node() -> None:
    hub = await hub_of_zones(Limits(order=Order.NAME))

    await all_wait(hub)

    assert POLICY not in hub.transport.requests
    await hub.stop()


@in_virtual_time
async def test_while_a_members_zone_cannot_be_read_no_one_is_granted() -> None:
    """Whoever comes first is not known (P4)."""
    hub = await hub_of_zones()
    broken = hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path="/nodes/b/policy$"))

    assert codes(await hub.ask("a", "g"))[0] == "exchange-unavailable"
    hub.exchange.faults.remove(broken)
    await asyncio.sleep(3)
    assert isinstance(await hub.ask("a", "g"), Granted)
    await hub.stop()
