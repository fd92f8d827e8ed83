"""What is shown to happen next to a lease is what happens, at that time and not before."""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.coordinator.contract import LeaseView
from agbot.rules.ids import group_id
from agbot.rules.lease import Lease, State
from agbot.rules.limits import Limits
from agbot.rules.verdict import Outlook
from tests.support.hub import NEW, NMP, ORG, Hub
from tests.support.virtual_time import in_virtual_time

LATE = timedelta(seconds=45)
"""A verdict rests on a read after the time, by the pace of the reads."""


def shown(hub: Hub) -> LeaseView:
    view = hub.coordinator.group(group_id(ORG, "g1"))
    assert view is not None
    return view.lease


def outlook(hub: Hub) -> Outlook:
    found = shown(hub).next
    assert found is not None
    return found


async def until_changed(hub: Hub, *alive: str) -> tuple[datetime, Lease]:
    """Let time pass until the lease is another than now or has ended; return when that was."""
    before = hub.lease("g1").state
    while hub.lease("g1").state is before:
        await hub.live(*alive, seconds=5)
    return hub.clock.now(), hub.lease("g1")


async def granted(limits: Limits | None = None) -> Hub:
    hub = Hub(limits=limits or Limits())
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", "n2", seconds=20)
    await hub.ask("n1", "g1")
    return hub


@in_virtual_time
async def test_a_fresh_grant_is_taken_back_when_it_is_not_confirmed_and_not_when_it_would_expire() -> None:
    hub = await granted()
    said, lease = outlook(hub), shown(hub)

    assert said.then == "taken back"
    assert said.unless == f"unless {ORG}/n1 shows a sign of {ORG}/{NMP}"
    assert said.at is not None
    assert lease.granted_at is not None
    assert lease.expires_at is not None
    assert said.at - lease.granted_at == timedelta(seconds=180)
    assert lease.expires_at - lease.granted_at == timedelta(seconds=600)
    at, ended = await until_changed(hub, "n1", "n2")
    assert said.at <= at <= said.at + LATE
    assert ended.last_end is not None
    assert ended.last_end.cause == "unconfirmed"


@in_virtual_time
async def test_a_confirmed_lease_becomes_suspect_and_a_suspect_one_of_a_silent_node_expires() -> None:
    hub = await granted(Limits(lease_seconds=120, heartbeat_stale_seconds=100, dead_after_seconds=200))
    hub.report("n1", "initiated")
    await hub.live("n2", seconds=30)
    said = outlook(hub)
    assert (said.then, said.at) == ("suspect", shown(hub).expires_at)
    assert said.unless == f"unless a new report of {ORG}/n1 renews it, or its heartbeats do (for 119 minutes at most)"

    at, lease = await until_changed(hub, "n2")
    assert lease.state is State.SUSPECT
    assert said.at is not None
    assert said.at <= at <= said.at + LATE

    silent = outlook(hub)
    assert (silent.then, silent.unless) == ("ends as expired", f"unless {ORG}/n1 sends a heartbeat")
    assert silent.sets_brake
    assert silent.at is not None
    at, lease = await until_changed(hub, "n2")
    assert silent.at <= at <= silent.at + LATE
    assert lease.last_end is not None
    assert lease.last_end.cause == "expired"
    assert [brake.cause for brake in hub.coordinator.orders().brakes] == ["expired"]


@in_virtual_time
async def test_a_suspect_lease_of_a_live_node_is_held_until_proof() -> None:
    hub = await granted(Limits(lease_seconds=120, max_upgrade_seconds=60))
    hub.report("n1", "initiated")
    await until_changed(hub, "n1", "n2")

    said = outlook(hub)
    assert (said.then, said.at) == ("held until proof", None)
    assert f"it runs agent version {NEW} or it has been silent for 30 minutes" in said.unless
    assert "`agbot release`" in said.unless


@in_virtual_time
async def test_a_failure_that_lasts_ends_the_lease_after_its_grace() -> None:
    hub = await granted()
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=30)
    hub.report("n1", "failed")
    await hub.live("n1", "n2", seconds=10)

    said = outlook(hub)
    assert (said.then, said.unless) == ("ends as failed", f"unless {ORG}/n1 no longer reports failed")
    assert said.at is not None
    at, lease = await until_changed(hub, "n1", "n2")
    assert said.at <= at <= said.at + LATE
    assert lease.last_end is not None
    assert lease.last_end.cause == "failed"


@in_virtual_time
async def test_a_free_lease_has_nothing_next() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()

    assert shown(hub).next is None
