"""P6: offline peers keep no member from the upgrade of a service that runs there under a current agreement."""

from __future__ import annotations

from agbot.coordinator.permission import Granted
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from tests.defects.test_service_upgrade_defects import POLICY, begin, trio
from tests.support.hub import Hub, codes
from tests.support.virtual_time import in_virtual_time

LEASE = Limits().lease_seconds


async def may_go(hub: Hub, node: str) -> bool:
    return isinstance(await hub.ask_as_agbot(hub.question(node, "gs", POLICY, Kind.SERVICE)), Granted)


@in_virtual_time
async def test_two_members_that_were_offline_before_the_release_stop_it_for_no_other_one() -> None:
    hub = await trio()
    await hub.live("s3", seconds=1000)
    await begin(hub, "s1")
    await hub.live("s3", seconds=LEASE + 60)
    await begin(hub, "s2")
    await hub.live("s3", seconds=LEASE + 60)

    assert await may_go(hub, "s3")
    await hub.stop()


@in_virtual_time
async def test_they_stop_it_no_more_when_they_are_given_up() -> None:
    hub = await trio()
    await hub.live("s3", seconds=1000)
    await begin(hub, "s1")
    await hub.live("s3", seconds=LEASE + 60)
    await begin(hub, "s2")
    await hub.live("s3", seconds=Limits().dead_after_seconds + LEASE)

    assert hub.events("brake.set") == []
    assert codes(await hub.ask_as_agbot(hub.question("s3", "gs", POLICY, Kind.SERVICE))) == []
    await hub.stop()
