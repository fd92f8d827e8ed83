"""Services that come from a pattern: their upgrades are seen like those of deployment policies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agbot.rules.reasons import Cause
from agbot.sim.agbot_rows import ServiceRow
from agbot.sim.exchange import seed
from agbot.sim.node import SimNode
from agbot.sim.node_services import Message, MessageKind, Service
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE, Living, living
from tests.observed.upgrading import AFTER, BEFORE, BRISK, members
from tests.support.hub import NEW, ORG, codes
from tests.support.virtual_time import in_virtual_time

PATTERN = "line"
SUBJECT = f"{ORG}/line_meter_{ORG}_amd64"
READ = ("GET", "/orgs/{org}/patterns/{pattern}")


def edit(hub: Living, version: str, *, arch: str = "amd64", method: str = "PUT") -> None:
    """Let the pattern ask for this version, beside a service without agreements."""
    meter = {"serviceUrl": "meter", "serviceOrgid": ORG, "serviceArch": arch, "serviceVersions": [{"version": version}]}
    beside = {**meter, "serviceUrl": "beside", "agreementLess": True}
    body: dict[str, object] = {"label": PATTERN, "public": False, "services": [meter, beside]}
    hub.admin(method, f"/patterns/{PATTERN}", body)


def service(version: str) -> Service:
    return Service(org=ORG, url="meter", version=version)


@asynccontextmanager
async def patterned(members_of_group: int = 2) -> AsyncIterator[Living]:
    """Run a hub with a group of nodes of a pattern; the test is their agbot."""
    async with living(members_of_group, habits=BRISK, shows_rows=True) as hub:
        hub.fleet.publish(ORG, "up2", NEW, group="nobody")
        edit(hub, BEFORE, method="POST")
        for node in members(hub):
            path = f"/orgs/{ORG}/nodes/{node.spec.id}"
            seed.send(hub.exchange, "PATCH", path, {"pattern": f"{ORG}/{PATTERN}"}, caller=node.name)
            await node.services.settle(f"old-{node.spec.id}", service(BEFORE))
        await asyncio.sleep(IDLE_CYCLE)
        yield hub


def cancel(node: SimNode) -> None:
    node.services.deliver(Message(kind=MessageKind.CANCEL, agreement=f"old-{node.spec.id}"))


def agree(hub: Living, node: SimNode, version: str) -> None:
    """Make the new agreement, and take the row away as an agbot does that has seen it run."""
    name = f"new-{node.spec.id}-{version}"
    node.services.deliver(Message(kind=MessageKind.PROPOSE, agreement=name, service=service(version)))
    node.services.deliver(Message(kind=MessageKind.CONFIRM, agreement=name))
    hub.rows.delete_services()


async def upgrading(hub: Living, version: str = AFTER) -> tuple[SimNode, SimNode]:
    """Bring the first member to another version of the pattern, as far as the end of its old agreement."""
    first, second = members(hub)[:2]
    edit(hub, version)
    name = SUBJECT.partition("/")[2]
    hub.rows.services.append(ServiceRow(org=ORG, group=GROUP, policy=name, node=first.name))
    cancel(first)
    await hub.until(lambda: hub.holder() is first, 20)
    return first, second


@in_virtual_time
async def test_the_upgrade_of_a_patterns_service_holds_the_lease_until_its_new_version_runs() -> None:
    async with patterned() as hub:
        first, second = await upgrading(hub)

        tenure = hub.lease(GROUP).tenure
        assert tenure is not None
        assert tenure.claim.subject == SUBJECT
        assert codes(await hub.ask(second.spec.id, GROUP, "up2"))[0] == "lease-held"

        agree(hub, first, AFTER)
        await hub.until(hub.is_free, 60)
        assert hub.ended() is Cause.SUCCEEDED


@in_virtual_time
async def test_another_version_than_the_patterns_is_a_rollback() -> None:
    async with patterned() as hub:
        first, _second = await upgrading(hub)

        agree(hub, first, "0.9.0")
        await hub.until(hub.is_free, 60)

        assert hub.ended() is Cause.FAILED
        assert [entry.subject for entry in await hub.journal("brake.set")] == [SUBJECT]


@in_virtual_time
async def test_the_lease_outlives_a_restart_and_the_pattern_is_read_again() -> None:
    async with patterned() as hub:
        first, _second = await upgrading(hub)

        await hub.crash()
        await asyncio.sleep(2 * CYCLE)
        assert hub.holder() is first
        assert hub.transport.requests[READ] == 1
        agree(hub, first, AFTER)
        await hub.until(hub.is_free, 60)
        assert hub.ended() is Cause.SUCCEEDED


@in_virtual_time
async def test_a_pattern_that_is_deleted_in_the_middle_frees_the_lease() -> None:
    async with patterned() as hub:
        await upgrading(hub)

        hub.admin("DELETE", f"/patterns/{PATTERN}")
        await hub.until(hub.is_free, 3 * CYCLE)

        assert hub.ended() is Cause.POLICY_DELETED
