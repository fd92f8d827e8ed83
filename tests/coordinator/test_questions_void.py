"""A question of which nothing can come any more is no wait: it ends when the Exchange shows that, and not by silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.lease import Kind
from agbot.sim.exchange import seed
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

POLICY = "dp1"
CONFIRMED_SECONDS = 20.0
"""Of a cycle, and of the second look at what is missing."""


async def waiting(kind: Kind) -> Hub:
    """Run a hub in which n1 upgrades and n2 waits: for a service by the word of an agbot, which never asks again."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    seed.deployment_policy(hub.exchange, ORG, POLICY, service="svc", versions=["1.0.0"])
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    if kind is Kind.SERVICE:
        answer = await hub.ask_as_agbot(hub.question("n2", "g1", POLICY, kind))
    else:
        hub.report("n2", "ha node waiting")
        answer = await hub.ask("n2", "g1")
    assert codes(answer) == ["lease-held"]
    await asyncio.sleep(5)
    return hub


def delete(path: str) -> Callable[[Hub], None]:
    return lambda hub: hub.admin("DELETE", path)


def unregister(hub: Hub) -> None:
    """Take the key of n2 away, as `hzn unregister` does on the node."""
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n2", {"publicKey": ""}, caller=f"{ORG}/n2")


@pytest.mark.parametrize(
    ("kind", "end", "why"),
    [
        (Kind.SERVICE, delete(f"/business/policies/{POLICY}"), f"{ORG}/{POLICY} was deleted from the Exchange"),
        (Kind.SERVICE, unregister, "the node has unregistered"),
        (Kind.SERVICE, delete("/hagroups/g1/nodes/n2"), "the node has left the group"),
        (Kind.SERVICE, delete("/nodes/n2"), "the node is gone"),
        (Kind.AGENT, delete("/managementpolicies/up1"), f"{ORG}/up1 was deleted from the Exchange"),
        (Kind.AGENT, lambda hub: hub.write_policy(enabled=False), f"{ORG}/up1 was disabled"),
    ],
    ids=["policy deleted", "unregistered", "left", "node deleted", "NMP deleted", "NMP disabled"],
)
@in_virtual_time
async def test_it_ends_at_once_with_the_reason(kind: Kind, end: Callable[[Hub], None], why: str) -> None:
    hub = await waiting(kind)

    end(hub)
    await asyncio.sleep(CONFIRMED_SECONDS)

    assert [(each.node, each.facts["why"]) for each in hub.events("wait.ended")] == [(f"{ORG}/n2", why)]
    assert hub.coordinator.overview().waiting == 0
    await hub.stop()


@in_virtual_time
async def test_an_agent_goes_on_waiting_without_a_key_as_long_as_it_asks() -> None:
    hub = await waiting(Kind.AGENT)

    unregister(hub)
    await asyncio.sleep(CONFIRMED_SECONDS)

    assert hub.events("wait.ended") == []
    await hub.stop()
