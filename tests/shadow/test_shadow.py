"""Shadow mode: every decision of the agbot is compared with ours, differences are journalled with both reasons, nothing is granted."""

from __future__ import annotations

import asyncio

from agbot.coordinator.contract import Done
from agbot.events.shadow import ShadowDiffers
from agbot.events.waits import WaitEnded
from agbot.rules.ids import group_id, node_id
from agbot.rules.lease import State
from agbot.rules.limits import Limits
from agbot.rules.records import Hold
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.faulty_store import FaultyStore, Refusing
from tests.support.hub import NMP, ORG, Hub
from tests.support.virtual_time import in_virtual_time

GROUP = "g1"
LOOKS = 12.0
"""After this long an idle coordinator has read the agbot's lists again."""
KEPT = 200.0
"""After this long a node that should go counts as kept waiting."""


async def shadow(
    *nodes: str, limits: Limits | None = None, shows_rows: bool = True, store: FaultyStore | None = None
) -> Hub:
    hub = Hub(shows_rows=shows_rows, is_shadow=True, limits=limits or Limits(), store=store or FaultyStore())
    hub.group(GROUP, *(nodes or ("n1", "n2", "n3")))
    seed.deployment_policy(hub.exchange, ORG, "dp", service="svc", versions=["1.1.0"])
    await hub.start()
    await asyncio.sleep(LOOKS)
    return hub


def let_in(hub: Hub, node: str, nmp: str = NMP) -> None:
    """Let a node's agent begin, as the agbot does."""
    hub.report(node, "downloaded", nmp)
    hub.rows.agents.append(AgentRow(org=ORG, group=GROUP, node=node, nmp=nmp))


def begin_service(hub: Hub, node: str) -> None:
    hub.rows.services.append(ServiceRow(org=ORG, group=GROUP, policy=f"{ORG}/dp", node=f"{ORG}/{node}"))


def differences(hub: Hub) -> list[ShadowDiffers]:
    found = [entry.read() for entry in hub.events("shadow.differs")]
    return [event for event in found if isinstance(event, ShadowDiffers)]


@in_virtual_time
async def test_where_the_agbot_decides_as_we_would_nothing_differs() -> None:
    hub = await shadow()
    let_in(hub, "n1")
    await hub.live("n1", "n2", "n3", seconds=LOOKS)

    overview = hub.coordinator.overview()
    assert (overview.mode, overview.compared, overview.differs) == ("shadow", 1, 0)
    assert hub.lease(GROUP).state is State.HELD, (
        "and the upgrade holds our lease, so that the next one is compared with it"
    )
    await hub.stop()


@in_virtual_time
async def test_a_second_upgrade_at_the_same_time_differs_with_both_reasons() -> None:
    """A10: the agbot lets a service of n2 go while the agent of n1 is upgraded."""
    hub = await shadow()
    let_in(hub, "n1")
    await hub.live("n1", "n2", "n3", seconds=LOOKS)
    begin_service(hub, "n2")
    await hub.live("n1", "n2", "n3", seconds=LOOKS)

    [event] = differences(hub)
    assert (event.difference, event.node, event.subject) == ("began", f"{ORG}/n2", f"{ORG}/dp")
    assert event.did.startswith(
        f"the agbot let {ORG}/n2 begin the service upgrade {ORG}/dp (its row has been listed since "
    )
    assert "lease-held" in [each.code for each in event.reasons]
    assert f"the coordinator would have kept it waiting: {ORG}/n1 has been upgrading {ORG}/{NMP} since" in event.would
    assert event.decision_record
    assert hub.coordinator.overview().differs == 1
    await hub.stop()


@in_virtual_time
async def test_an_upgrade_while_its_peers_are_down_differs() -> None:
    """A11: the agbot has no condition on the health of the peers."""
    hub = await shadow("n1", "n2")
    await hub.live("n1", seconds=400.0)
    let_in(hub, "n1")
    await hub.live("n1", seconds=LOOKS)

    [event] = differences(hub)
    assert [each.code for each in event.reasons] == ["peers-unavailable"]
    await hub.stop()


@in_virtual_time
async def test_a_node_that_the_agbot_keeps_waiting_without_need_differs() -> None:
    """A1: the slot is that of a dead node, and no other member ever gets it."""
    limits = Limits(lease_seconds=120.0, dead_after_seconds=300.0)
    hub = await shadow(limits=limits)
    seed.management_policy(hub.exchange, ORG, "up2")
    let_in(hub, "n1")
    await hub.live("n2", "n3", seconds=900.0)
    hub.report("n2", "ha node waiting", "up2")
    await hub.live("n2", "n3", seconds=60.0)
    assert differences(hub) == [], "three minutes are the agbot's own time to go on"
    await hub.live("n2", "n3", seconds=KEPT)

    [event] = differences(hub)
    assert (event.difference, event.node, event.subject) == ("kept-waiting", f"{ORG}/n2", f"{ORG}/up2")
    assert f"{ORG}/n1 has the slot, for {ORG}/{NMP}, which is over (A1: {ORG}/n1 is dead: last heartbeat" in event.did
    assert "cure: curl -X DELETE" in event.did
    assert event.reasons == ()
    await hub.live("n2", "n3", seconds=600.0)
    assert len(differences(hub)) == 1, "it is reported once"
    await hub.stop()


@in_virtual_time
async def test_a_node_that_we_would_keep_waiting_too_is_a_waiter_with_its_reasons_and_differs_in_nothing() -> None:
    hub = await shadow()
    let_in(hub, "n1")
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", "n3", seconds=KEPT)

    view = hub.coordinator.group(group_id(ORG, GROUP))
    assert view is not None
    assert [(each.node, each.reasons[0].code) for each in view.waiting] == [(f"{ORG}/n2", "lease-held")]
    explained = hub.coordinator.explain(node_id(ORG, "n2"))
    assert explained is not None
    assert explained.answer.endswith("(Shadow mode: the agbot decides, and nothing is granted here.)")
    assert [rule.code for rule in explained.rules if not rule.passes] == ["lease-held"]
    assert differences(hub) == []
    await hub.stop()


@in_virtual_time
async def test_a_service_upgrade_that_we_would_keep_waiting_too_is_a_waiter_with_its_reasons() -> None:
    hub = await shadow()
    begin_service(hub, "n1")
    hub.waiting = [(f"{ORG}/n1", f"{ORG}/dp"), (f"{ORG}/n2", f"{ORG}/dp"), ("elsewhere/n9", f"{ORG}/dp")]
    await hub.live("n1", "n2", "n3", seconds=60.0)

    view = hub.coordinator.group(group_id(ORG, GROUP))
    assert view is not None
    assert [(each.node, each.kind, each.reasons[0].code) for each in view.waiting] == [
        (f"{ORG}/n2", "service", "lease-held")
    ], "not n1, whose row it is"
    assert differences(hub) == []
    await hub.stop()


def waiters(hub: Hub) -> list[str]:
    view = hub.coordinator.group(group_id(ORG, GROUP))
    assert view is not None
    return [each.node for each in view.waiting]


@in_virtual_time
async def test_a_service_upgrade_that_has_got_through_does_not_wait_though_the_agbot_lists_it_still() -> None:
    hub = await shadow()
    begin_service(hub, "n1")
    hub.waiting = [(f"{ORG}/n2", f"{ORG}/dp"), (f"{ORG}/n3", f"{ORG}/dp")]
    await hub.live("n1", "n2", "n3", seconds=LOOKS * 2)
    assert waiters(hub) == [f"{ORG}/n2", f"{ORG}/n3"]

    hub.rows.services.clear()
    begin_service(hub, "n2")
    begin_service(hub, "n3")
    await hub.live("n1", "n2", "n3", seconds=LOOKS * 2)
    assert waiters(hub) == [], "one holds the lease, or both upgrade beside the holder"
    ended = [event for entry in hub.events("wait.ended") if isinstance(event := entry.read(), WaitEnded)]
    assert {event.why for event in ended} == {"its upgrade has begun"}
    await hub.stop()


@in_virtual_time
async def test_an_agent_that_has_got_through_does_not_wait_though_its_report_says_so_still() -> None:
    hub = await shadow()
    let_in(hub, "n1")
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", "n3", seconds=LOOKS * 2)
    assert waiters(hub) == [f"{ORG}/n2"]

    hub.rows.agents.append(AgentRow(org=ORG, group=GROUP, node="n2", nmp=NMP))
    await hub.live("n1", "n2", "n3", seconds=LOOKS * 2)
    assert waiters(hub) == []
    await hub.stop()


@in_virtual_time
async def test_a_service_upgrade_that_the_agbot_keeps_waiting_without_need_differs() -> None:
    """W1: the slot is that of a dead node, and no other member ever gets it."""
    limits = Limits(lease_seconds=120.0, dead_after_seconds=300.0, service_soak_seconds=0.0)
    hub = await shadow(limits=limits)
    begin_service(hub, "n1")
    await hub.live("n2", "n3", seconds=900.0)
    hub.waiting = [(f"{ORG}/n2", f"{ORG}/dp"), (f"{ORG}/n3", f"{ORG}/other")]
    await hub.live("n2", "n3", seconds=60.0)
    assert differences(hub) == [], "three minutes are the agbot's own time to go on"
    await hub.live("n2", "n3", seconds=KEPT)

    [event] = differences(hub)
    assert (event.difference, event.node, event.subject) == ("kept-waiting", f"{ORG}/n2", f"{ORG}/dp")
    assert event.did.startswith(f"the agbot keeps {ORG}/n2 waiting to upgrade {ORG}/dp: {ORG}/n1 has the slot")
    assert "which is over (W1" in event.did
    assert event.would == "the coordinator would have let it go: no rule keeps it waiting"
    await hub.stop()


@in_virtual_time
async def test_who_waits_for_a_service_is_read_only_while_the_agbot_lists_a_service() -> None:
    hub = await shadow()
    let_in(hub, "n1")
    await hub.live("n1", "n2", "n3", seconds=60.0)
    assert "GET /workloadusage" not in hub.local_api.requests
    begin_service(hub, "n2")
    await hub.live("n1", "n2", "n3", seconds=60.0)
    assert "GET /workloadusage" in hub.local_api.requests
    await hub.stop()


@in_virtual_time
async def test_an_upgrade_that_began_before_the_start_is_not_compared() -> None:
    hub = Hub(shows_rows=True, is_shadow=True)
    hub.group(GROUP, "n1", "n2", "n3")
    seed.deployment_policy(hub.exchange, ORG, "dp", service="svc", versions=["1.1.0"])
    let_in(hub, "n1")
    begin_service(hub, "n2")
    await hub.start()
    await hub.live("n1", "n2", "n3", seconds=60.0)

    assert hub.coordinator.overview().compared == 0
    assert differences(hub) == []
    await hub.stop()


@in_virtual_time
async def test_a_difference_is_not_reported_again_after_a_restart() -> None:
    hub = await shadow()
    let_in(hub, "n1")
    await hub.live("n1", "n2", "n3", seconds=LOOKS)
    begin_service(hub, "n2")
    await hub.live("n1", "n2", "n3", seconds=LOOKS)
    await hub.crash()
    await hub.live("n1", "n2", "n3", seconds=60.0)

    assert len(differences(hub)) == 1
    await hub.stop()


@in_virtual_time
async def test_without_the_local_api_agents_that_begin_are_compared_by_what_they_report() -> None:
    hub = await shadow(shows_rows=False)
    hub.report("n1", "downloaded")
    await hub.live("n1", "n2", "n3", seconds=LOOKS)
    hub.report("n2", "downloaded")
    await hub.live("n1", "n2", "n3", seconds=LOOKS)

    assert hub.coordinator.overview().compared == 2
    [event] = differences(hub)
    assert event.did == f"the agbot let {ORG}/n2 begin the agent upgrade {ORG}/{NMP} (it reports 'downloaded')"
    await hub.stop()


@in_virtual_time
async def test_while_the_agbot_cannot_be_read_nothing_is_compared() -> None:
    hub = await shadow()
    hub.local_api.faults.add(Fault(kind=FaultKind.HANG))
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", "n3", seconds=KEPT + 100)

    assert hub.coordinator.overview().compared == 0
    assert differences(hub) == []
    await hub.stop()


@in_virtual_time
async def test_agents_that_ask_the_agbot_are_no_bypass() -> None:
    hub = await shadow()
    let_in(hub, "n1")
    await hub.live("n1", "n2", "n3", seconds=60.0)

    overview = hub.coordinator.overview()
    assert (overview.never_asked, overview.bypassing) == (0, 0)
    assert hub.events("gateway.bypassed") == []
    await hub.stop()


@in_virtual_time
async def test_nothing_is_granted_and_the_exchange_is_only_read() -> None:
    hub = await shadow()
    let_in(hub, "n1")
    hub.report("n2", "ha node waiting")
    hub.exchange.requests.clear()
    await asyncio.sleep(KEPT)

    written = {(key.method, key.template) for key in hub.exchange.requests if key.method != "GET"}
    assert written == {("POST", "/orgs/{org}/changes")}, "which is how the change feed is read"
    assert {request.split()[0] for request in hub.local_api.requests} == {"GET"}
    assert hub.events("lease.granted") == []
    await hub.stop()


@in_virtual_time
async def test_a_hold_says_that_it_stops_nothing() -> None:
    hub = await shadow()
    held = await hub.coordinator.hold(Hold(scope=f"{ORG}/{GROUP}", since=hub.clock.now(), by="eva", why="a test"))

    assert held == Done(
        text=f"{ORG}/{GROUP} is on hold, which stops nothing: in shadow mode the agbot decides; it takes effect once the "
        "coordinator grants"
    )
    await hub.stop()


@in_virtual_time
async def test_outside_shadow_mode_nothing_is_compared() -> None:
    hub = Hub(shows_rows=True)
    hub.group(GROUP, "n1", "n2", "n3")
    await hub.start()
    await asyncio.sleep(LOOKS)
    let_in(hub, "n1")
    await asyncio.sleep(LOOKS)

    overview = hub.coordinator.overview()
    assert (overview.mode, overview.compared) == ("gateway", 0)
    await hub.stop()


@in_virtual_time
async def test_a_difference_whose_write_fails_is_written_and_counted_by_a_later_look() -> None:
    hub = await shadow(store=Refusing("shadow.differs"))
    let_in(hub, "n1")
    await hub.live("n1", "n2", "n3", seconds=LOOKS)
    begin_service(hub, "n2")
    await hub.live("n1", "n2", "n3", seconds=2 * LOOKS)

    overview = hub.coordinator.overview()
    assert [event.difference for event in differences(hub)] == ["began"]
    assert (overview.compared, overview.differs) == (2, 1)
    await hub.stop()


@in_virtual_time
async def test_so_is_one_of_a_member_that_is_kept_waiting() -> None:
    limits = Limits(lease_seconds=120.0, dead_after_seconds=300.0)
    hub = await shadow(limits=limits, store=Refusing("shadow.differs"))
    seed.management_policy(hub.exchange, ORG, "up2")
    let_in(hub, "n1")
    await hub.live("n2", "n3", seconds=900.0)
    hub.report("n2", "ha node waiting", "up2")
    await hub.live("n2", "n3", seconds=60.0 + KEPT + 60.0)

    assert len(hub.events("store.failed")) == 1
    assert [event.difference for event in differences(hub)] == ["kept-waiting"]
    await hub.stop()
