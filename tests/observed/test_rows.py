"""What the agbot lists of its own upgrades is what is known of them: who, for which policy, and until when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agbot.coordinator.permission import Granted
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, State
from agbot.rules.reasons import Cause
from agbot.settings.model import ExchangeSettings
from agbot.sim.agbot_rows import AgentRow, ServiceRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE, Living, living
from tests.observed.upgrading import (
    AFTER,
    BRISK,
    LATEST,
    SLOW_START,
    deploy,
    members,
    serve,
    serves,
    unasked,
    until_observed,
)
from tests.support.examples import thorough
from tests.support.hub import AGBOT, AGBOT_URL, NEW, NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

STUCK = 200.0
DP = PolicyId(f"{ORG}/dp")


def list_service(hub: Hub, node: str, policy: str = f"{ORG}/dp", group: str = GROUP) -> None:
    hub.rows.services.append(ServiceRow(org=ORG, group=group, policy=policy, node=f"{ORG}/{node}"))


def list_agent(hub: Hub, node: str, nmp: str = NMP, group: str = GROUP) -> None:
    hub.rows.agents.append(AgentRow(org=ORG, group=group, node=node, nmp=nmp))


def fail(hub: Hub, kind: FaultKind, text: str = "") -> int:
    return hub.local_api.faults.add(Fault(kind=kind, text=text))


def keep_rows(hub: Hub) -> None:
    """Let the agbot keep its rows of services, whatever it has seen."""
    setattr(hub.rows, "end_service", lambda *_: None)  # noqa: B010 - of this one only


async def quiet(*nodes: str) -> Hub:
    """A hub with one group whose members do nothing by themselves, and an agbot that shows its rows."""
    hub = Hub(shows_rows=True)
    hub.group(GROUP, *nodes)
    seed.deployment_policy(hub.exchange, ORG, "dp", service="svc", versions=["1.1.0"])
    await hub.start()
    return hub


@asynccontextmanager
async def asking() -> AsyncIterator[Living]:
    """Run a hub whose agbot asks before it begins, and shows its rows as well."""
    async with living(2, habits=BRISK, has_agbot=True, shows_rows=True) as hub:
        await serve(hub, *members(hub))
        await asyncio.sleep(IDLE_CYCLE + CYCLE)
        yield hub


@in_virtual_time
async def test_a_peer_s_agent_is_not_granted_once_between_the_begin_and_the_next_cycle() -> None:
    """A10: asked a second after the agbot has written its row, whenever that was, the answer is no.

    Without the row it is yes.
    """
    for delay in (0.0, 0.5, 1.5, 3.0, 7.0):
        hub = await quiet("n1", "n2")
        await asyncio.sleep(IDLE_CYCLE + delay)
        list_service(hub, "n1")
        await asyncio.sleep(1.01)  # what was read less than a second ago is read again for no one

        assert codes(await hub.ask("n2", GROUP))[0] == "lease-held"

        assert [entry.node for entry in hub.events("lease.observed")] == [f"{ORG}/n1"]
        await hub.stop()
    hub = await quiet("n1", "n2")
    assert isinstance(await hub.ask("n2", GROUP), Granted)
    await hub.stop()


@thorough
@in_virtual_time
async def test_of_fifty_random_moments_between_the_begin_and_the_next_cycle_none_is_granted() -> None:
    """At the busy pace, where a look is never older than two seconds: what was looked at a moment before is looked at again."""
    chance = random.Random(7)
    hub = Hub(shows_rows=True)
    hub.group("busy", "b1", "b2")
    for number in range(50):
        hub.group(f"g{number}", f"a{number}", f"peer{number}")
    seed.deployment_policy(hub.exchange, ORG, "dp", service="svc", versions=["1.1.0"])
    await hub.start()
    assert isinstance(await hub.ask("b1", "busy"), Granted)
    for number in range(50):
        # all in all less than nodes may be silent for
        await asyncio.sleep(chance.uniform(2.5, 4.0))
        list_service(hub, f"a{number}", group=f"g{number}")
        await asyncio.sleep(chance.uniform(0.21, 2.0))

        assert codes(await hub.ask(f"peer{number}", f"g{number}"))[0] == "lease-held"
    await hub.stop()


@in_virtual_time
async def test_one_look_serves_all_grants_of_the_same_moment() -> None:
    hub = Hub(shows_rows=True)
    for number in range(20):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    await asyncio.sleep(IDLE_CYCLE / 2)
    before = len(hub.local_api.requests)

    answers = await asyncio.gather(*(hub.ask(f"a{number}", f"g{number}") for number in range(20)))

    assert all(isinstance(answer, Granted) for answer in answers)
    assert len(hub.local_api.requests) - before <= 4, (
        "two lists, and two more for those whose way took longer than a second"
    )
    await hub.stop()


@in_virtual_time
async def test_each_cycle_reads_each_list_once() -> None:
    hub = Hub(shows_rows=True)
    hub.group(GROUP, "n1", "n2")
    await hub.start()
    before = len(hub.local_api.requests)
    await asyncio.sleep(100)

    assert len(hub.local_api.requests) - before == 20
    await hub.stop()


@in_virtual_time
async def test_the_lease_has_the_policy_of_the_row_and_ends_with_the_row_and_the_new_version() -> None:
    async with unasked(3) as hub:
        deploy(hub, AFTER, policy="elsewhere")
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        tenure = hub.lease(GROUP).tenure
        assert tenure is not None
        assert tenure.claim.subject == f"{ORG}/dp"

        await hub.until(lambda: serves(AFTER, holder), 60)
        await hub.until(lambda: not any(row.node == holder.name for row in hub.rows.services), 60)
        await hub.until(lambda: hub.holder() is not holder, 2 * CYCLE)
        await hub.until(lambda: serves(AFTER, *members(hub)) and hub.is_free(), 300)

        assert [cause for _, cause in await hub.causes()] == ["succeeded"] * 3
        assert await hub.journal("lease.overlapped", "brake.set", "agbot.stuck") == []


@in_virtual_time
async def test_while_the_row_stands_the_lease_is_kept_although_the_node_is_done() -> None:
    async with unasked(2) as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        keep_rows(hub)
        await hub.until(lambda: serves(AFTER, holder), 100)
        await asyncio.sleep(60)
        assert hub.holder() is holder

        hub.rows.delete_services()
        await hub.until(hub.is_free, 2 * CYCLE)
        assert hub.ended() is Cause.SUCCEEDED


@in_virtual_time
async def test_a_row_that_stays_although_its_node_is_done_is_reported_once_with_the_cure_and_keeps_no_lease() -> None:
    """W2: the policy was published twice."""
    async with unasked(2, SLOW_START) as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        await hub.until(lambda: any(one.service.version == AFTER for one in holder.services.instances.values()), 60)
        deploy(hub, LATEST)
        await hub.until(lambda: serves(AFTER, holder), 200)

        await hub.until(hub.is_free, STUCK + 60)
        await hub.live(seconds=600)

        assert hub.ended() is Cause.SUCCEEDED
        (emitted,) = await hub.journal("agbot.stuck")
        assert (emitted.node, emitted.subject, emitted.facts["defect"]) == (holder.name, f"{ORG}/dp", "W2")
        assert emitted.facts["cure"] == f"curl -X DELETE '{AGBOT_URL}/ha/upgradingwlu/{ORG}/{GROUP}'"
        assert hub.is_free()
        view = hub.coordinator.group(hub.lease(GROUP).group)
        assert view is not None
        assert [(each.node, each.defect, each.cure) for each in view.stuck] == [
            (holder.name, "W2", emitted.facts["cure"])
        ]
        assert hub.coordinator.overview().stuck == 1
        for node in members(hub):
            explained = hub.coordinator.explain(NodeId(node.name))
            assert explained is not None
            assert str(emitted.facts["cure"]) in explained.answer

        hub.rows.delete_services()
        await asyncio.sleep(2 * IDLE_CYCLE)
        after = hub.coordinator.group(view.id)
        assert after is not None
        assert (hub.coordinator.overview().stuck, list(after.stuck)) == (0, [])
        hub.publish()
        await hub.until(lambda: hub.runs(NEW, *members(hub)), 2000)


@in_virtual_time
async def test_the_row_of_a_node_that_has_died_is_stuck_when_its_lease_has_ended_and_takes_it_never_again() -> None:
    """W1."""
    async with unasked() as hub:
        deploy(hub, AFTER)
        holder = await until_observed(hub)
        holder.die()
        await hub.until(lambda: hub.lease(GROUP).state is State.SUSPECT, 700)
        await hub.until(hub.is_free, 1900)
        await hub.live(seconds=STUCK)

        assert hub.ended() is Cause.EXPIRED
        (emitted,) = hub.events("agbot.stuck")
        assert (emitted.node, emitted.facts["defect"]) == (holder.name, "W1")
        assert hub.is_free()
        assert len(await hub.journal("lease.observed")) == 1


@in_virtual_time
async def test_agents_that_the_agbot_permitted_by_itself_hold_the_lease_until_their_final_status() -> None:
    hub = await quiet("n1", "n2")
    list_agent(hub, "n1")
    hub.report("n1", "ha node waiting")
    await asyncio.sleep(IDLE_CYCLE)
    tenure = hub.lease(GROUP).tenure
    assert tenure is not None
    assert (tenure.claim.holder, tenure.claim.kind, tenure.claim.subject) == (f"{ORG}/n1", "agent", f"{ORG}/{NMP}")
    assert codes(await hub.ask("n2", GROUP))[0] == "lease-held"

    hub.report("n1", "initiated")
    await asyncio.sleep(CYCLE)
    hub.report("n1", "successful")
    await asyncio.sleep(2 * CYCLE)
    assert hub.lease(GROUP).state is State.HELD, "the agbot has not seen it yet"
    hub.rows.delete_agents()
    await asyncio.sleep(2 * CYCLE)

    assert hub.lease(GROUP).state is State.FREE
    await hub.stop()


@in_virtual_time
async def test_rows_of_agents_that_never_end_are_reported_by_their_defect() -> None:
    hub = Hub(shows_rows=True)
    for name in ("done", "gone", "bogus"):
        hub.group(name, f"{name}1", f"{name}2")
    await hub.start()
    list_agent(hub, "done1", group="done")
    hub.report("done1", "successful")
    list_agent(hub, "never", group="gone")
    list_agent(hub, "bogus1", "no-such-policy", group="bogus")
    await hub.live(seconds=STUCK + 2 * IDLE_CYCLE)

    emitted = {str(entry.group).partition("/")[2]: entry.facts["defect"] for entry in hub.events("agbot.stuck")}
    assert emitted == {"done": "", "gone": "A2", "bogus": "A3"}
    assert {hub.lease(name).token for name in emitted} == {0}
    await hub.stop()


@in_virtual_time
async def test_the_row_of_the_very_upgrade_that_was_granted_here_is_no_other_one() -> None:
    hub = await quiet("n1", "n2")
    assert isinstance(await hub.ask("n1", GROUP), Granted)
    list_agent(hub, "n1")
    hub.report("n1", "initiated")
    await asyncio.sleep(IDLE_CYCLE)

    assert hub.lease(GROUP).token == 1
    assert [*hub.events("lease.observed"), *hub.events("lease.overlapped")] == []
    await hub.stop()


@in_virtual_time
async def test_a_row_beside_somebody_else_s_lease_is_an_overlap() -> None:
    hub = await quiet("n1", "n2", "n3")
    assert isinstance(await hub.ask("n1", GROUP), Granted)
    hub.report("n1", "initiated")
    list_service(hub, "n2")
    await asyncio.sleep(CYCLE)

    (emitted,) = hub.events("lease.overlapped")
    assert (emitted.node, emitted.facts["others"]) == (f"{ORG}/n2", {f"{ORG}/n1": f"{ORG}/{NMP}"})
    assert codes(await hub.ask("n3", GROUP))[:2] == ["lease-held", "overlap"]
    await hub.stop()


@in_virtual_time
async def test_rows_that_concern_no_one_here_do_nothing() -> None:
    hub = await quiet("n1", "n2")
    hub.group("other", "m1", "m2")
    list_service(hub, "m1", group=GROUP)
    list_service(hub, "x1", group="unheard-of")
    hub.rows.services.append(ServiceRow(org="nowhere", group=GROUP, policy="nowhere/dp", node="nowhere/n1"))
    await asyncio.sleep(3 * IDLE_CYCLE)

    assert hub.lease(GROUP).token == 0
    assert isinstance(await hub.ask("n1", GROUP), Granted)
    await hub.stop()


@in_virtual_time
async def test_an_agbot_that_hangs_or_talks_invalid_text_keeps_agents_waiting_and_is_reported_once() -> None:
    hub = await quiet("n1", "n2")
    for kind, text in ((FaultKind.HANG, ""), (FaultKind.GARBAGE, "null"), (FaultKind.GARBAGE, "<html>")):
        broken = fail(hub, kind, text)
        await asyncio.sleep(1.01)
        began = asyncio.get_running_loop().time()
        assert codes(await hub.ask("n2", GROUP))[0] == "agbot-unavailable"
        assert asyncio.get_running_loop().time() - began < 2.5
        await asyncio.sleep(3 * IDLE_CYCLE)
        hub.local_api.faults.remove(broken)
        await asyncio.sleep(IDLE_CYCLE)

    assert len(hub.events("agbot.failed")) == len(hub.events("agbot.recovered")) == 3
    assert isinstance(await hub.ask("n2", GROUP), Granted)
    await hub.stop()


@in_virtual_time
async def test_an_agbot_that_is_not_there_begins_nothing_and_keeps_no_one_waiting() -> None:
    hub = await quiet("n1", "n2")
    await asyncio.sleep(IDLE_CYCLE)
    fail(hub, FaultKind.REFUSE)
    await asyncio.sleep(3 * IDLE_CYCLE)

    assert isinstance(await hub.ask("n2", GROUP), Granted)
    (emitted,) = hub.events("agbot.failed")
    assert emitted.facts["agbot"] == "not-running"
    await hub.stop()


@in_virtual_time
async def test_what_was_last_seen_holds_while_no_one_is_there() -> None:
    hub = await quiet("n1", "n2")
    list_service(hub, "n1")
    await asyncio.sleep(IDLE_CYCLE)
    fail(hub, FaultKind.REFUSE)
    await asyncio.sleep(60)

    assert codes(await hub.ask("n2", GROUP))[0] == "lease-held"
    assert hub.events("agbot.stuck") == []
    await hub.stop()


@in_virtual_time
async def test_the_deployment_route_does_not_wait_for_an_agbot_that_hangs() -> None:
    async with asking() as hub:
        fail(hub, FaultKind.HANG)
        hub.fleet.deploy(ORG, "dp", "svc-dp", AFTER)

        await hub.until(lambda: serves(AFTER, *members(hub)), 400)
        assert len(await hub.journal("lease.granted")) == 2


@in_virtual_time
async def test_an_agbot_that_has_written_its_row_before_it_asks_is_granted_its_own_upgrade() -> None:
    async with asking() as hub:
        node = members(hub)[0]
        hub.fleet.deploy(ORG, "dp", "svc-dp", AFTER)
        list_service(hub, node.spec.id)
        await asyncio.sleep(0.1)
        ask = Ask(group=GroupId(f"{ORG}/{GROUP}"), claim=Claim(holder=NodeId(node.name), kind=Kind.SERVICE, subject=DP))

        assert isinstance(await hub.ask_as_agbot(ask), Granted)
        assert [entry.token for entry in hub.events("lease.observed")] == [1]
        await hub.until(lambda: serves(AFTER, *members(hub)), 300)
        assert hub.events("lease.overlapped") == []


@thorough
@in_virtual_time
async def test_the_row_of_an_agent_whose_node_has_died_is_stuck_when_its_lease_has_ended() -> None:
    """A1: the agbot goes by the status alone, which no one changes any more."""
    hub = await quiet("n1", "n2")
    list_agent(hub, "n1")
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=30)
    assert hub.lease(GROUP).state is State.HELD
    await hub.live("n2", seconds=900)
    assert hub.lease(GROUP).state is State.SUSPECT
    await hub.live("n2", seconds=1800)

    end = hub.lease(GROUP).last_end
    assert end is not None
    assert (hub.lease(GROUP).state, end.cause) == (State.FREE, Cause.EXPIRED)
    (emitted,) = hub.events("agbot.stuck")
    assert (emitted.node, emitted.facts["defect"]) == (f"{ORG}/n1", "A1")
    await hub.stop()


@in_virtual_time
async def test_a_row_whose_policy_was_deleted_is_stuck_for_that_reason_and_not_for_a_dead_node() -> None:
    hub = await quiet("n1", "n2")
    list_service(hub, "n1")
    await asyncio.sleep(IDLE_CYCLE)
    hub.admin("DELETE", "/business/policies/dp")
    await hub.live("n1", "n2", seconds=STUCK + 2 * IDLE_CYCLE)

    (emitted,) = hub.events("agbot.stuck")
    assert (emitted.facts["defect"], emitted.facts["why"]) == ("", f"{ORG}/dp does not exist")
    await hub.stop()


@in_virtual_time
async def test_rows_and_groups_of_an_organisation_that_is_not_looked_after_cost_no_read() -> None:
    settings = ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", organisations=(ORG,))
    hub = Hub(shows_rows=True, settings=settings)
    hub.group(GROUP, "n1", "n2")
    await hub.start()
    seed.org(hub.exchange, "o2")
    for name in ("x1", "x2"):
        seed.node(hub.exchange, "o2", name)
    seed.group(hub.exchange, "o2", "gx", ["x1", "x2"])
    hub.rows.services.append(ServiceRow(org="o2", group="gx", policy="o2/dp", node="o2/x1"))
    before = hub.transport.requests.copy()
    await asyncio.sleep(60)

    assert set(hub.transport.requests - before) == {("POST", "/orgs/{org}/changes")}
    await hub.stop()


@in_virtual_time
async def test_a_node_in_a_service_upgrade_and_an_agent_upgrade_is_waited_for_until_both_have_ended() -> None:
    hub = await quiet("n1", "n2")
    list_service(hub, "n1")
    list_agent(hub, "n1")
    hub.report("n1", "initiated")
    await asyncio.sleep(IDLE_CYCLE)
    assert codes(await hub.ask("n2", GROUP))[:2] == ["lease-held", "overlap"]

    hub.report("n1", "successful")
    hub.rows.delete_agents()
    await asyncio.sleep(2 * CYCLE)
    assert hub.lease(GROUP).state is State.FREE
    assert codes(await hub.ask("n2", GROUP))[0] == "overlap"
    assert hub.events("lease.overlapped") == [], "no second member was down"
    await hub.stop()


@in_virtual_time
async def test_a_service_that_the_agbot_lists_no_more_overlaps_with_no_one_although_its_policy_cannot_be_read() -> None:
    hub = await quiet("n1", "n2")
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path="/business/policies/dp$"))
    list_service(hub, "n1")
    await asyncio.sleep(IDLE_CYCLE)
    hub.rows.services.clear()
    list_service(hub, "n2")
    await asyncio.sleep(IDLE_CYCLE)

    tenure = hub.lease(GROUP).tenure
    assert tenure is not None
    assert tenure.claim.holder == f"{ORG}/n1", "nobody could see how it ended"
    assert [entry.node for entry in hub.events("deferral.begun")] == [f"{ORG}/n2"]
    assert hub.events("lease.overlapped") == [], "the agbot went on from one to the other"
    await hub.stop()


@in_virtual_time
async def test_an_agent_that_never_had_a_row_overlaps_with_the_service_that_takes_its_suspect_lease_over() -> None:
    hub = await quiet("n1", "n2")
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=IDLE_CYCLE)
    await hub.live("n2", seconds=900)
    assert hub.lease(GROUP).state is State.SUSPECT
    list_service(hub, "n2")
    await hub.live("n2", seconds=IDLE_CYCLE)

    tenure = hub.lease(GROUP).tenure
    assert tenure is not None
    assert tenure.claim.holder == f"{ORG}/n2"
    (emitted,) = hub.events("lease.overlapped")
    assert (emitted.node, emitted.facts["others"]) == (f"{ORG}/n2", {f"{ORG}/n1": f"{ORG}/{NMP}"})
    await hub.stop()
