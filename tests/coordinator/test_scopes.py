"""Groups with different settings under one coordinator: windows that end, a reload, and each rule by the limits of its own group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from agbot.coordinator.permission import Granted, Refused
from agbot.rules.lease import State
from agbot.rules.limits import Limits
from agbot.rules.seen_time import SeenTime
from agbot.settings.model import Scope, Settings
from agbot.settings.scopes import limits_of
from agbot.settings.windows import parse
from agbot.sim.exchange import seed
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

NODES = ("a1", "a2", "b1", "b2")


def scoped(**scopes: dict[str, Any]) -> Settings:
    """Settings with scopes of groups of o1."""
    return Settings(scopes=tuple(Scope(pattern=f"o1/{name}", values=values) for name, values in scopes.items()))


async def two_groups(settings: Settings) -> Hub:
    hub = Hub(limits_of=limits_of(settings))
    hub.group("early", "a1", "a2")
    hub.group("late", "b1", "b2")
    await hub.start()
    await hub.live(*NODES, seconds=12)
    return hub


@in_virtual_time
async def test_the_end_of_a_window_stops_grants_and_revokes_nothing_and_another_scope_goes_on() -> None:
    """The hub's clock begins on a Monday at noon."""
    windows = {
        "early": {"windows": (parse("mon 11:00-12:15"),)},
        "late": {"windows": (parse("mon 13:15-16:00 Europe/Berlin"),)},
    }
    hub = await two_groups(scoped(**windows))
    granted = await hub.ask("a1", "early")
    assert isinstance(granted, Granted)
    hub.report("a1", "initiated")
    assert codes(await hub.ask("b1", "late")) == ["outside-window"]

    await hub.live(*NODES, seconds=900)

    assert hub.lease("early").state is State.HELD
    assert await hub.ask("a1", "early") == Granted(token=granted.token, repeated=True)
    assert codes(await hub.ask("a2", "early")) == ["lease-held", "outside-window", "peers-unavailable"]
    assert isinstance(await hub.ask("b1", "late"), Granted)

    hub.report("a1", "successful")
    await hub.live(*NODES, seconds=30, every=5)
    refused = await hub.ask("a2", "early")
    assert isinstance(refused, Refused)
    assert codes(refused) == ["outside-window"]
    assert refused.reasons[0].until == datetime(2026, 11, 30, 11, 0, tzinfo=UTC)
    assert [entry.facts["cause"] for entry in hub.events("lease.released")] == ["succeeded"]
    assert [entry.group for entry in hub.events("lease.granted")] == ["o1/early", "o1/late"]


@in_virtual_time
async def test_new_settings_hold_for_the_next_question() -> None:
    closed, open_again = {"windows": (parse("tue 01:00-02:00"),)}, {"windows": (parse("mon 11:00-13:00"),)}
    hub = await two_groups(scoped(early=closed, late=closed))
    for node, group in (("a1", "early"), ("b1", "late")):
        assert codes(await hub.ask(node, group)) == ["outside-window"]

    hub.coordinator.set_limits(limits_of(scoped(early=closed, late=open_again)))

    assert codes(await hub.ask("a1", "early", is_remembered=True)) == ["outside-window"]
    assert isinstance(await hub.ask("b1", "late", is_remembered=True), Granted)


@in_virtual_time
async def test_each_group_is_granted_and_reviewed_by_its_own_limits() -> None:
    """Two groups differ in how many members must stay, how long a lease lasts, and how long a silent claim is believed."""
    hub = await two_groups(
        scoped(early={"min_available": 0, "lease_seconds": 200.0, "confirm_seconds": 60.0}, late={"min_available": 1})
    )
    await hub.live("a1", "b1", seconds=400)

    assert codes(await hub.ask("b1", "late")) == ["peers-unavailable"]
    assert isinstance(await hub.ask("a1", "early"), Granted)
    tenure = hub.lease("early").tenure
    assert tenure is not None
    assert tenure.expires_at - SeenTime(tenure.granted_at) == timedelta(seconds=200)

    await hub.live(*NODES, seconds=40)
    assert isinstance(await hub.ask("b1", "late"), Granted)
    tenure = hub.lease("late").tenure
    assert tenure is not None
    assert tenure.expires_at - SeenTime(tenure.granted_at) == timedelta(seconds=Limits().lease_seconds)
    await hub.live(*NODES, seconds=110)

    assert [(entry.group, entry.facts["cause"]) for entry in hub.events("lease.released")] == [
        ("o1/early", "unconfirmed")
    ]


@in_virtual_time
async def test_a_group_rests_as_long_as_its_own_scope_says() -> None:
    hub = await two_groups(scoped(early={"agent_soak_seconds": 300.0}))
    for first, group in (("a1", "early"), ("b1", "late")):
        assert isinstance(await hub.ask(first, group), Granted)
        hub.report(first, "successful")
    await hub.live(*NODES, seconds=60, every=5)

    assert codes(await hub.ask("a2", "early")) == ["soaking"]
    assert isinstance(await hub.ask("b2", "late"), Granted)


@in_virtual_time
async def test_a_membership_is_deferred_by_the_limits_of_the_group_that_is_joined() -> None:
    """An upgrade that is older than the longest one that the group believes in is not under way."""
    hub = await two_groups(scoped(early={"max_upgrade_seconds": 700.0}))
    for node, group in (("a3", "early"), ("b3", "late")):
        seed.node(hub.exchange, ORG, node)
        hub.report(node, "initiated")
        await hub.live(*NODES, node, seconds=800)
        hub.admin("POST", f"/hagroups/{group}/nodes/{node}")
    await hub.live(*NODES, "a3", "b3", seconds=30)

    assert [entry.group for entry in hub.events("deferral.begun")] == ["o1/late"]
