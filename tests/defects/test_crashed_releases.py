"""A release that has crashed on the member that was upgraded last: it is stopped, once, and a fixed one may go."""

from __future__ import annotations

from agbot.coordinator.permission import Granted
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.sim.exchange import seed
from tests.defects.test_service_upgrade_defects import POLICY, SERVICE, agree, begin, cancel, end_of, trio
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_release_that_crashes_twenty_seconds_after_it_ran_does_not_reach_the_next_member() -> None:
    hub = await trio()
    await begin(hub)
    agree(hub, "s1", "s1-new", "1.0.1")
    await hub.live("s1", "s2", "s3", seconds=20)
    assert end_of(hub) is Cause.SUCCEEDED

    agree(hub, "s1", "s1-new", "1.0.1", "exited")
    await hub.live("s1", "s2", "s3", seconds=1500)

    assert codes(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE))) == ["brake"]
    assert [entry.node for entry in hub.events("brake.set")] == [f"{ORG}/s1"]


async def crashed() -> Hub:
    """Start a hub in which a release has crashed on its first member, and was stopped for it."""
    hub = await trio()
    await begin(hub)
    agree(hub, "s1", "s1-new", "1.0.1")
    await hub.live("s1", "s2", "s3", seconds=20)
    agree(hub, "s1", "s1-new", "1.0.1", "exited")
    await hub.live("s1", "s2", "s3", seconds=120)
    assert len(hub.events("brake.set")) == 1
    return hub


async def lift(hub: Hub) -> None:
    """Lift the brake of the release, as a person does who knows why it has crashed."""
    subject = hub.question("s1", "gs", POLICY).claim.subject
    await hub.coordinator.resume(hub.lease("gs").group, subject=subject, reason="known", who="ada")


def publish_fix(hub: Hub) -> None:
    """Publish a later version of the release."""
    fixed = seed.policy_body(ORG, SERVICE, ["1.0.2"])
    seed.send(hub.exchange, "PUT", f"/orgs/{ORG}/business/policies/{POLICY}", fixed, caller=f"{ORG}/admin")


@in_virtual_time
async def test_a_brake_that_a_person_lifts_is_not_set_again_by_the_same_crash() -> None:
    hub = await crashed()

    await lift(hub)
    await hub.live("s1", "s2", "s3", seconds=1500)

    assert len(hub.events("brake.set")) == 1
    assert isinstance(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE)), Granted)


@in_virtual_time
async def test_a_brake_that_a_person_lifts_is_not_set_again_when_the_crashed_release_loses_its_agreement() -> None:
    hub = await crashed()

    await lift(hub)
    cancel(hub, "s1", "s1-new")
    await hub.live("s1", "s2", "s3", seconds=60)

    assert len(hub.events("brake.set")) == 1


@in_virtual_time
async def test_a_fixed_release_lifts_the_brake_of_a_crash_once_although_the_crashed_containers_are_still_there() -> (
    None
):
    """A story of the simulator had the brake set and lifted in every cycle until the fix had reached the member."""
    hub = await crashed()

    publish_fix(hub)
    for _minute in range(5):
        await hub.live("s1", "s2", "s3", seconds=60)
        assert codes(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE))) == ["soaking"]

    assert [len(hub.events(name)) for name in ("brake.set", "brake.lifted")] == [1, 1]


@in_virtual_time
async def test_after_a_crash_the_crashed_member_may_take_the_fixed_release_first() -> None:
    hub = await crashed()

    publish_fix(hub)
    await hub.live("s1", "s2", "s3", seconds=15)

    assert codes(await hub.ask_as_agbot(hub.question("s2", "gs", POLICY, Kind.SERVICE))) == ["soaking"]
    assert isinstance(await hub.ask_as_agbot(hub.question("s1", "gs", POLICY, Kind.SERVICE)), Granted)
