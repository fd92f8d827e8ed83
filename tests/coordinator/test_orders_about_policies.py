"""An order about a policy is carried out only if the policy may exist, and answered in time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agbot.cli import client
from agbot.coordinator.contract import Done, NotDone
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.coordinator.test_controls import allowance, approval
from tests.support.hub import AGBOT, ORG, Hub
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.DROP])
async def test_an_order_about_an_unknown_policy_is_refused_in_time_while_the_exchange_does_not_answer(
    kind: FaultKind,
) -> None:
    hub = Hub()
    hub.group("g", "a", "b")
    await hub.start()
    hub.exchange.faults.add(Fault(kind=kind, caller=AGBOT))
    unread = PolicyId("o1/whatever")
    wanted = replace(approval(hub, "o1/g"), subject=unread)

    for order in (
        hub.coordinator.allow(replace(allowance(hub, "a"), subject=unread)),
        hub.coordinator.approve(wanted),
        hub.coordinator.approve(replace(wanted, kind=Kind.SERVICE)),
    ):
        async with asyncio.timeout(client.SECONDS / 2 + 0.1):
            refused = await order

        assert isinstance(refused, NotDone)
        assert not refused.not_found
        assert "the Exchange does not answer, so whether o1/whatever exists is not known" in refused.text
    await hub.live("a", seconds=60)
    ledger = hub.coordinator._situation.ledger  # noqa: SLF001 - nothing was stored
    assert (ledger.allowances, ledger.approvals) == ({}, {})
    await hub.stop()


@in_virtual_time
async def test_a_policy_of_the_other_kind_is_not_approved_and_the_answer_says_what_it_is() -> None:
    hub = Hub()
    hub.group("g", "a", "b")
    seed.deployment_policy(hub.exchange, ORG, "dp", service="svc", versions=["1.1.0"])
    await hub.start()
    agent, service = approval(hub, "o1/g"), replace(approval(hub, "o1/g"), subject=PolicyId("o1/dp"), kind=Kind.SERVICE)
    done = [await hub.coordinator.approve(agent), await hub.coordinator.approve(service)]

    refused = await hub.coordinator.approve(replace(agent, kind=Kind.SERVICE))
    neither = await hub.coordinator.approve(replace(service, subject=PolicyId("o1/nosuch")))

    assert [each.text.split(",")[0] for each in done] == [
        "the node management policy o1/up1",
        "the deployment policy o1/dp",
    ]
    assert refused == NotDone(
        text="the deployment policy o1/up1 does not exist; o1/up1 is a node management policy; nothing was changed",
        not_found=True,
    )
    assert neither == NotDone(text="o1/nosuch does not exist; nothing was changed", not_found=True)
    await hub.stop()


@in_virtual_time
async def test_a_service_of_a_pattern_is_approved_although_no_deployment_policy_has_its_name() -> None:
    hub = Hub()
    hub.group("g", "a", "b")
    hub.admin("PATCH", "/nodes/a", {"pattern": "o1/pattern"})
    await hub.start()

    done = await hub.coordinator.approve(replace(approval(hub, "o1/g"), subject=PolicyId("o1/svc"), kind=Kind.SERVICE))

    assert isinstance(done, Done)
    await hub.stop()
