"""What has not been read since the start permits nothing: it may be otherwise than it seems."""

from __future__ import annotations

from dataclasses import replace

from agbot.coordinator.permission import Granted
from agbot.rules.limits import Limits
from agbot.settings.model import ExchangeSettings
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, NMP, ORG, Hub, codes
from tests.support.spoiling import Spoiling
from tests.support.virtual_time import in_virtual_time

BAD = {"target": "2.32.0"}
WHOLE = Fault(kind=FaultKind.STATUS, status=504, path=r"^/v1/orgs/o1/(nodes|hagroups)$", caller=AGBOT)
"""The lists of a large organisation take too long; everything else is answered."""


async def braked() -> Hub:
    """Let an upgrade of the first member fail; the second one still brings what failed."""
    # a slow cycle: hours pass
    hub = Hub(settings=ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", busy_poll_seconds=15.0))
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    hub.report("n1", "ha node waiting", **BAD)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "rollback successful", **BAD)
    hub.report("n2", "ha node waiting", **BAD)
    await hub.live("n1", "n2", "n3", seconds=20)
    assert codes(await hub.ask("n2", "g1"))[0] == "brake"
    return hub


@in_virtual_time
async def test_a_policy_that_is_missing_once_after_a_restart_lifts_no_brake() -> None:
    """A proxy's 404 must not let the failed version go on to the next member."""
    hub = await braked()
    hub.transport.spoil = spoiling = Spoiling()
    spoiling.nothing_there(rf"/managementpolicies/{NMP}$", "managementPolicy")
    connect = hub._connect  # noqa: SLF001 - the next connection is spoilt too

    def spoilt() -> None:
        connect()
        hub.transport.spoil = spoiling

    hub._connect = spoilt  # type: ignore[method-assign]  # noqa: SLF001 - see above
    await hub.crash()
    await hub.live("n1", "n2", "n3", seconds=40)

    assert spoiling.spoilt == 1
    assert hub.events("brake.lifted") == []
    assert "brake" in codes(await hub.ask("n2", "g1"))
    await hub.stop()


@in_virtual_time
async def test_members_that_have_not_been_read_since_a_restart_do_not_show_that_none_brings_what_failed() -> None:
    hub = await braked()
    hub.group("g2", "m1", "m2")
    await hub.live("m1", "m2", seconds=15)
    hub.write_policy()  # another group goes on with it, so that time is written down
    assert isinstance(await hub.ask("m1", "g2"), Granted)
    hub.report("m1", "initiated", target="2.32.1")
    # then the failed node counts no more as a member without a read
    await hub.live("m1", "m2", "n1", "n2", "n3", seconds=7300, every=120.0)
    assert hub.events("brake.lifted") == []
    hub.exchange.faults.add(replace(WHOLE, path="^/v1/orgs/o1/(nodes$|hagroups)"))
    await hub.crash()
    await hub.live("n1", "n2", "n3", seconds=60)

    assert hub.events("brake.lifted") == []
    hub.exchange.faults.clear()
    await hub.live("n1", "n2", "n3", seconds=60)
    assert "brake" in codes(await hub.ask("n2", "g1"))
    await hub.stop()


@in_virtual_time
async def test_the_number_of_groups_that_go_first_is_that_of_the_whole_organisation() -> None:
    hub = Hub(limits=Limits(canary_percent=50.0))
    for group in ("g1", "g2", "g3", "g4"):
        hub.group(group, f"{group}a", f"{group}b")
    await hub.start()
    nodes = [f"{group}{member}" for group in ("g1", "g2", "g3", "g4") for member in "ab"]
    await hub.live(*nodes, seconds=10)
    assert isinstance(await hub.ask("g1a", "g1"), Granted)
    hub.report("g1a", "successful")
    await hub.live(*nodes, seconds=1000)
    hub.exchange.faults.add(WHOLE)
    await hub.crash()
    await hub.live(*nodes, seconds=30)

    assert codes(await hub.ask("g2a", "g2")) == [
        "exchange-unavailable"
    ]  # one of the two that go first, if it were known
    assert hub.lease("g2").token == 0
    hub.exchange.faults.clear()
    await hub.live(*nodes, seconds=90)
    assert isinstance(await hub.ask("g2a", "g2"), Granted)
    assert codes(await hub.ask("g3a", "g3")) == ["canary"]
    await hub.stop()


@in_virtual_time
async def test_an_agbot_that_does_not_run_since_our_start_may_have_begun_an_upgrade_before() -> None:
    """The hub was restarted as a whole while the agbot upgraded a service: no one else goes before its lists are read."""
    hub = Hub(shows_rows=True)
    hub.group("g1", "n1", "n2")
    seed.deployment_policy(hub.exchange, ORG, "dp", service="svc", versions=["1.1.0"])
    handle = hub.local_api.faults.add(Fault(kind=FaultKind.REFUSE))
    await hub.start()
    await hub.live("n1", "n2", seconds=15)

    answer = await hub.ask("n2", "g1")

    assert codes(answer) == ["agbot-unavailable"]
    assert "no agbot runs" in str(getattr(answer, "reasons", ""))
    hub.local_api.faults.remove(handle)
    await hub.live("n1", "n2", seconds=15)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()
