"""A service upgrade of which no one asked holds the group's lease, from the end of the old agreement until the new one runs."""

from __future__ import annotations

import asyncio

from agbot.rules.lease import Kind
from tests.membership.living import AGENT, GROUP, living
from tests.membership.serving import joined_in_the_middle
from tests.observed.upgrading import AFTER, BEFORE, SLOW_START, deploy, members, others, serves, unasked, until_observed
from tests.support.hub import NEW, codes
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_each_of_three_members_holds_the_lease_while_its_service_is_down() -> None:
    async with unasked(3) as hub:
        deploy(hub, AFTER)
        await hub.until(lambda: serves(AFTER, *members(hub)), 400)
        await hub.until(hub.is_free, 60)

        observed = await hub.journal("lease.observed")
        assert [entry.token for entry in observed] == [1, 2, 3]
        assert {str(entry.node) for entry in observed} == {node.name for node in members(hub)}
        assert {(str(entry.subject), entry.facts["kind"]) for entry in observed} == {("o1/dp", "service")}
        assert [cause for _, cause in await hub.causes()] == ["succeeded"] * 3
        assert await hub.journal("lease.overlapped", "lease.granted", "deferral.begun", "brake.set") == []


@in_virtual_time
async def test_the_holder_is_explained_as_seen_and_not_as_permitted() -> None:
    async with unasked() as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)

        assert hub.explains(holder).startswith(
            f"{holder.name} is in the middle of the service upgrade o1/dp, which began without a grant: "
            "it holds the lease of o1/g1 (token 1)"
        )


@in_virtual_time
async def test_an_agent_upgrade_is_refused_until_the_observed_service_upgrade_has_ended() -> None:
    """A10: the agbot gave the permission on one member while another was in a service upgrade."""
    async with unasked(habits=SLOW_START) as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        peer = others(hub, holder)[0]
        hub.publish()

        await hub.until(lambda: f"{holder.name} has been upgrading o1/dp since" in hub.explains(peer), 100)
        assert codes(await hub.ask(peer.spec.id, GROUP, AGENT)) == ["lease-held"]
        await hub.until(lambda: hub.runs(NEW, *members(hub)), 2000)
        assert serves(AFTER, *members(hub))

        taken = await hub.journal("lease.observed", "lease.granted")
        assert [entry.facts["kind"] for entry in taken] == ["service", "service", "agent", "agent"]
        assert await hub.journal("lease.overlapped") == []


@in_virtual_time
async def test_the_lease_is_still_there_after_a_crash_in_the_middle() -> None:
    async with unasked() as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        before = hub.lease("g1")

        await hub.crash()

        tenure = hub.lease("g1").tenure
        assert tenure is not None
        assert (tenure.claim, hub.lease("g1").token) == (before.tenure and before.tenure.claim, before.token)
        assert tenure.claim.kind is Kind.SERVICE
        await hub.until(lambda: serves(AFTER, *members(hub)), 300)
        await hub.until(hub.is_free, 60)
        assert (await hub.causes())[0] == (holder.spec.id, "succeeded")
        assert [cause for _, cause in await hub.causes()] == ["succeeded"] * 2
        assert [entry.token for entry in await hub.journal("lease.observed")] == [1, 2]


@in_virtual_time
async def test_a_cancellation_that_the_agbot_does_not_list_takes_no_lease_and_costs_no_read() -> None:
    async with unasked() as hub:
        node = members(hub)[0]
        before = hub.transport.requests.copy()

        await node.services.give_up()
        await asyncio.sleep(60)

        assert hub.lease("g1").token == 0
        assert not serves(BEFORE, node)
        assert not any("agreements" in path for _, path in hub.transport.requests - before)


@in_virtual_time
async def test_a_node_that_joins_with_its_service_down_is_deferred_and_takes_no_lease() -> None:
    async with living(1, has_agbot=True, agbot_asks=False) as hub:
        late = await joined_in_the_middle(hub)

        assert list(hub.deferrals()) == [late.spec.id]
        assert hub.seen(late).deferred_for == "the upgrade of its service"
        assert hub.lease(GROUP).token == 0
        assert await hub.journal("lease.observed", "lease.overlapped") == []
