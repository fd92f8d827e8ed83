"""What a node makes up leaves no waiters and causes few reads, however the Exchange answers it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agbot.coordinator.permission import Granted
from agbot.rules.ids import group_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


async def busy_hub(*policies: str) -> Hub:
    """Start a hub in which n1 upgrades, so that n2 waits whatever it asks for."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    for policy in policies:
        seed.management_policy(hub.exchange, ORG, policy)
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=20)
    return hub


def waiters(hub: Hub) -> int:
    return hub.coordinator.overview().waiting


def reads(hub: Hub) -> int:
    return sum(count for (_method, route), count in hub.transport.requests.items() if "managementpolicies" in route)


ODD = [
    Fault(kind=FaultKind.STATUS, path="managementpolicies/odd", status=414),
    Fault(kind=FaultKind.STATUS, path="managementpolicies/odd", status=400),
    Fault(kind=FaultKind.STATUS, path="managementpolicies/odd", status=503),
    Fault(kind=FaultKind.STATUS, path="managementpolicies/odd", status=301),
    Fault(kind=FaultKind.GARBAGE, path="managementpolicies/odd"),
    Fault(kind=FaultKind.DROP, path="managementpolicies/odd"),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda each: f"{each.kind}-{each.status}")
@in_virtual_time
async def test_a_subject_that_could_never_be_read_makes_no_waiter(odd: Fault) -> None:
    hub = await busy_hub()
    hub.exchange.faults.add(odd)

    for number in range(50):
        assert codes(await hub.ask("n2", "g1", f"odd{number}"))
    await hub.live("n1", "n2", seconds=20)

    assert waiters(hub) == 0
    assert hub.events("wait.changed") == []
    await hub.stop()


@in_virtual_time
async def test_nor_does_a_deployment_policy() -> None:
    hub = await busy_hub()
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, path="business/policies/odd", status=414))

    for number in range(20):
        assert codes(await hub.ask_as_agbot(hub.question("n2", "g1", f"odd{number}", Kind.SERVICE)))

    assert waiters(hub) == 0
    await hub.stop()


@pytest.mark.parametrize(
    "odd", [each for each in ODD if each.status in {414, 400, 301}], ids=lambda each: f"{each.status}"
)
@in_virtual_time
async def test_an_odd_answer_about_a_subject_stands_for_the_questions_of_the_next_seconds(odd: Fault) -> None:
    hub = await busy_hub()
    hub.exchange.faults.add(odd)

    before = reads(hub)
    for _second in range(9):
        assert codes(await hub.ask("n2", "g1", "odd"))
        await asyncio.sleep(1)

    assert reads(hub) - before == 1
    await hub.stop()


@in_virtual_time
async def test_a_policy_that_was_answered_oddly_and_is_mended_is_found_soon() -> None:
    hub = await busy_hub("odd")
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, path="managementpolicies/odd", status=400))
    await hub.ask("n2", "g1", "odd")
    hub.exchange.faults.clear()
    await hub.live("n1", "n2", seconds=11)

    assert codes(await hub.ask("n2", "g1", "odd"))[0] == "lease-held"
    assert waiters(hub) == 1
    await hub.stop()


@in_virtual_time
async def test_a_node_that_asks_about_ever_more_policies_waits_for_the_last_of_them_and_the_others_are_reported() -> (
    None
):
    policies = [f"p{number}" for number in range(30)]
    hub = await busy_hub(*policies)

    for policy in policies:
        assert codes(await hub.ask("n2", "g1", policy))[0] == "lease-held"
        await asyncio.sleep(1)
    await hub.live("n1", "n2", seconds=10)

    view = hub.coordinator.group(group_id(ORG, "g1"))
    assert view is not None
    assert sorted(each.subject for each in view.waiting) == sorted(f"{ORG}/{each}" for each in policies[-8:])
    why = {entry.facts["why"] for entry in hub.events("wait.ended")}
    assert why == {"its node asks about more than 8 policies"}
    await hub.stop()


@in_virtual_time
async def test_who_waits_goes_on_waiting_while_its_policy_cannot_be_read() -> None:
    hub = await busy_hub()
    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    since = replace(next(iter(hub.coordinator._situation.ledger.waiters[group_id(ORG, "g1")].values()))).since  # noqa: SLF001 - the truth
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, path=f"managementpolicies/{NMP}", status=503))
    await hub.live("n1", "n2", seconds=60)
    await hub.ask("n2", "g1")

    (waiter,) = hub.coordinator._situation.ledger.waiters[group_id(ORG, "g1")].values()  # noqa: SLF001 - the truth
    assert waiter.since == since
    await hub.stop()


@in_virtual_time
async def test_the_rollouts_of_made_up_policies_are_forgotten() -> None:
    hub = Hub(limits=Limits(approval=True))
    hub.group("g1", "n1", "n2")
    await hub.start()

    for number in range(300):
        assert codes(await hub.ask("n2", "g1", f"odd{number}"))
        await asyncio.sleep(0.5)

    assert len(hub.coordinator._situation.report._rollouts) < 100  # noqa: SLF001 - what takes the memory
    await hub.stop()
