"""Agents that ask somebody else, or no one: their upgrades are seen by what they report, in every mode."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agbot.cli import screen
from agbot.coordinator.operators import history
from agbot.coordinator.permission import Granted
from agbot.rules.ids import node_id
from agbot.rules.lease import Kind, State
from agbot.rules.reasons import Cause
from agbot.rules.records import Contact
from agbot.rules.words import clock
from agbot.sim.agbot_rows import AgentRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.store.contract import Writes
from tests.membership.living import CYCLE, GROUP, IDLE_CYCLE
from tests.support.hub import AGBOT, NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

SECOND_LOOK = 10.0
STATUSES = ("GET", "/orgs/{org}/nodes/{node}/managementStatus")
MODES = pytest.mark.parametrize("shows_rows", [True, False], ids=["with the agbot's API", "without"])


async def quiet(*, shows_rows: bool = False) -> Hub:
    hub = Hub(shows_rows=shows_rows)
    hub.group(GROUP, "n1", "n2", "n3")
    await hub.start()
    return hub


@MODES
@in_virtual_time
async def test_a_member_past_the_gate_that_has_not_asked_holds_the_lease_until_its_final_status(
    shows_rows: bool,
) -> None:
    hub = await quiet(shows_rows=shows_rows)
    hub.report("n1", "downloaded")
    await asyncio.sleep(IDLE_CYCLE)

    tenure = hub.lease(GROUP).tenure
    assert tenure is not None
    assert (tenure.claim.holder, tenure.claim.kind, tenure.claim.subject) == (f"{ORG}/n1", Kind.AGENT, f"{ORG}/{NMP}")
    view = hub.coordinator.group(hub.lease(GROUP).group)
    assert view is not None
    assert "agent upgrade o1/up1, begun unasked" in screen.lease(view.lease, hub.clock.now())
    assert codes(await hub.ask("n2", GROUP))[0] == "lease-held"
    hub.report("n1", "successful")
    await asyncio.sleep(CYCLE)

    assert hub.lease(GROUP).state is State.FREE
    end = hub.lease(GROUP).last_end
    assert end is not None
    assert end.cause is Cause.SUCCEEDED
    (emitted,) = hub.events("lease.observed")
    assert emitted.facts["kind"] == "agent"
    await hub.stop()


@in_virtual_time
async def test_a_peer_that_asks_in_the_very_moment_is_refused() -> None:
    """The statuses that the feed reports of are read before the yes, so there is no gap until the next cycle."""
    hub = await quiet()
    await asyncio.sleep(IDLE_CYCLE)
    hub.report("n1", "downloaded")
    await asyncio.sleep(1.01)

    assert codes(await hub.ask("n2", GROUP))[0] == "lease-held"
    await hub.stop()


@in_virtual_time
async def test_who_downloads_or_waits_takes_nothing() -> None:
    hub = await quiet()
    for value in ("waiting", "download started", "ha node waiting"):
        hub.report("n1", value)
        await asyncio.sleep(IDLE_CYCLE)

    assert hub.lease(GROUP).token == 0
    assert isinstance(await hub.ask("n2", GROUP), Granted)
    await hub.stop()


@in_virtual_time
async def test_beside_the_lease_of_another_it_is_an_overlap_that_is_waited_for() -> None:
    hub = await quiet()
    assert isinstance(await hub.ask("n1", GROUP), Granted)
    hub.report("n1", "initiated")
    hub.report("n2", "initiated")
    await asyncio.sleep(CYCLE)

    (emitted,) = hub.events("lease.overlapped")
    assert (emitted.node, emitted.facts["others"]) == (f"{ORG}/n2", {f"{ORG}/n1": f"{ORG}/{NMP}"})
    hub.report("n1", "successful")
    await asyncio.sleep(CYCLE)
    assert "overlap" in codes(await hub.ask("n3", GROUP))
    hub.report("n2", "successful")
    await asyncio.sleep(CYCLE)
    assert "overlap" not in codes(await hub.ask("n3", GROUP))
    await hub.stop()


@in_virtual_time
async def test_a_failed_one_sets_the_brake_like_any_other() -> None:
    hub = await quiet()
    hub.report("n1", "initiated")
    await asyncio.sleep(IDLE_CYCLE)
    hub.report("n1", "rollback successful")
    await asyncio.sleep(CYCLE)

    assert codes(await hub.ask("n2", GROUP)) == ["brake"]
    await hub.stop()


@in_virtual_time
async def test_that_it_does_not_ask_is_reported_once_for_each_node_and_until_it_asks() -> None:
    hub = await quiet()
    for value in ("downloaded", "initiated", "successful", "waiting", "downloaded", "successful"):
        hub.report("n1", value)
        await asyncio.sleep(IDLE_CYCLE)
    assert [(entry.node, entry.subject) for entry in hub.events("gateway.bypassed")] == [(f"{ORG}/n1", f"{ORG}/{NMP}")]
    assert hub.coordinator.overview().bypassing_named == (f"{ORG}/n1",)

    await hub.crash()
    hub.report("n1", "initiated")
    await asyncio.sleep(IDLE_CYCLE)
    assert len(hub.events("gateway.bypassed")) == 1, "the store remembers it"

    hub.report("n1", "successful")
    await asyncio.sleep(IDLE_CYCLE)
    await hub.ask("n1", GROUP)
    await asyncio.sleep(IDLE_CYCLE)
    assert hub.coordinator.overview().bypassing == 0
    await hub.stop()


@in_virtual_time
async def test_status_names_the_members_that_have_never_asked_here() -> None:
    hub = await quiet()
    await hub.ask("n2", GROUP)
    await asyncio.sleep(IDLE_CYCLE)
    assert hub.coordinator.overview().never_asked_named == (f"{ORG}/n1", f"{ORG}/n3")

    await hub.crash()
    await asyncio.sleep(IDLE_CYCLE)
    assert hub.coordinator.overview().never_asked_named == (f"{ORG}/n1", f"{ORG}/n3")
    await hub.stop()


@in_virtual_time
async def test_the_statuses_of_members_where_nothing_goes_on_are_shown_when_the_feed_has_reported_of_them() -> None:
    hub = await quiet()
    hub.report("n1", "download started")
    await asyncio.sleep(IDLE_CYCLE)

    view = next(each for each in hub.coordinator.groups() if each.id == f"{ORG}/{GROUP}")
    assert next(each for each in view.members if each.node == f"{ORG}/n1").statuses == {
        f"{ORG}/{NMP}": "download started"
    }
    await hub.stop()


@in_virtual_time
async def test_who_waits_for_a_permission_that_it_has_not_asked_for_here_is_explained_by_where_it_may_ask() -> None:
    hub = await quiet()
    hub.report("n1", "ha node waiting")
    await asyncio.sleep(IDLE_CYCLE)

    explanation = hub.coordinator.explain(node_id(ORG, "n1"))
    assert explanation is not None
    assert explanation.answer.endswith("if that lasts for minutes, its `HZN_AGBOT_URL` names another agbot.")
    await hub.stop()


@in_virtual_time
async def test_a_question_under_a_date_that_is_still_to_come_hides_no_bypass() -> None:
    hub = await quiet()
    later = hub.clock.now() + timedelta(days=300)
    await hub.store.write(Writes(put=[Contact(node=node_id(ORG, "n1"), asked_at=later)]))
    await hub.crash()
    hub.report("n1", "initiated")
    await asyncio.sleep(IDLE_CYCLE)

    assert [entry.node for entry in hub.events("gateway.bypassed")] == [f"{ORG}/n1"]
    await hub.stop()


@in_virtual_time
async def test_what_began_before_our_own_start_is_seen_in_the_first_cycle_although_no_one_asks() -> None:
    hub = Hub()
    hub.group(GROUP, "n1", "n2", "n3")
    hub.group("quiet", "m1", "m2", "m3")
    hub.report("n1", "initiated")
    hub.report("n2", "successful")
    await hub.start()
    await asyncio.sleep(CYCLE)

    tenure = hub.lease(GROUP).tenure
    assert tenure is not None
    assert (tenure.claim.holder, tenure.claim.kind) == (f"{ORG}/n1", Kind.AGENT)
    assert [entry.node for entry in hub.events("gateway.bypassed")] == [f"{ORG}/n1"]
    assert hub.transport.requests[STATUSES] == 3, (
        "of those that have reported, and of the holder's peers, but of nobody else"
    )
    await hub.stop()


@in_virtual_time
async def test_what_began_while_we_were_away_is_seen_in_the_first_cycle_and_a_busy_hub_is_not_asked_for_all_at_once() -> (
    None
):
    hub = Hub()
    for number in range(150):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    await asyncio.sleep(IDLE_CYCLE)

    async def later() -> None:
        await asyncio.sleep(60)
        for number in range(150):
            hub.report(f"a{number}", "successful")
        hub.report("b7", "initiated")

    begin = asyncio.create_task(later())
    await hub.away(120)
    assert hub.transport.requests[STATUSES] <= 101
    tenure = hub.lease("g7").tenure
    assert tenure is not None
    assert tenure.claim.holder == f"{ORG}/b7", "the latest report is read first"
    await asyncio.sleep(IDLE_CYCLE)
    assert hub.transport.requests[STATUSES] >= 151
    await begin
    await hub.stop()


@in_virtual_time
async def test_reports_from_before_our_start_are_looked_for_again_when_the_exchange_could_not_be_read() -> None:
    hub = Hub()
    hub.group(GROUP, "n1", "n2")
    hub.report("n1", "initiated")
    broken = hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path="/(hagroups|managementStatus)$"))
    await hub.start()
    await asyncio.sleep(IDLE_CYCLE)
    hub.exchange.faults.remove(broken)
    await asyncio.sleep(60)

    tenure = hub.lease(GROUP).tenure
    assert tenure is not None
    assert tenure.claim.holder == f"{ORG}/n1"
    await hub.stop()


@in_virtual_time
async def test_an_agent_that_the_agbot_lets_go_beside_our_lease_is_one_overlap_from_its_row_to_its_end() -> None:
    hub = await quiet(shows_rows=True)
    assert isinstance(await hub.ask("n1", GROUP), Granted)
    hub.report("n1", "initiated")
    hub.report("n2", "ha node waiting")
    hub.rows.agents.append(AgentRow(org=ORG, group=GROUP, node="n2", nmp=NMP))
    for value in ("ha node waiting", "downloaded", "initiated"):
        hub.report("n2", value)
        await hub.live("n1", "n2", "n3", seconds=20)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=20)
    assert codes(await hub.ask("n3", GROUP))[0] == "overlap"
    hub.report("n2", "successful")
    hub.rows.delete_agents()
    await hub.live("n1", "n2", "n3", seconds=20)

    emitted = [entry.event for entry in hub.emitted if entry.node == f"{ORG}/n2"]
    assert emitted == ["lease.overlapped", "deferral.begun", "gateway.bypassed", "deferral.ended"]
    assert isinstance(await hub.ask("n3", GROUP), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_row_beside_our_lease_that_nothing_comes_of_is_waited_for_as_long_as_a_lease_lasts() -> None:
    hub = await quiet(shows_rows=True)
    assert isinstance(await hub.ask("n1", GROUP), Granted)
    hub.report("n1", "initiated")
    hub.rows.agents.append(AgentRow(org=ORG, group=GROUP, node="n2", nmp=NMP))
    await hub.live("n1", "n2", "n3", seconds=500)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=60)
    assert codes(await hub.ask("n3", GROUP)) == ["overlap"]
    await hub.live("n1", "n2", "n3", seconds=300)

    assert [entry.node for entry in hub.events("lease.overlapped")] == [f"{ORG}/n2"]
    assert [entry.node for entry in hub.events("agbot.stuck")] == [f"{ORG}/n2"]
    assert isinstance(await hub.ask("n3", GROUP), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_row_of_an_agent_that_has_never_asked_here_reports_that_it_bypasses_us() -> None:
    hub = await quiet(shows_rows=True)
    hub.rows.agents.append(AgentRow(org=ORG, group=GROUP, node="n1", nmp=NMP))
    await asyncio.sleep(IDLE_CYCLE + CYCLE)

    assert [entry.node for entry in hub.events("gateway.bypassed")] == [f"{ORG}/n1"]
    await hub.stop()


@in_virtual_time
async def test_reports_that_cannot_be_read_hold_up_no_other_one() -> None:
    hub = Hub()
    for number in range(110):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    hub.report("b7", "initiated")
    for number in range(110):
        hub.report(f"a{number}", "initiated")
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path="/nodes/a[0-9]*/managementStatus$"))
    await hub.start()
    await asyncio.sleep(2 * IDLE_CYCLE)

    tenure = hub.lease("g7").tenure
    assert tenure is not None
    assert tenure.claim.holder == f"{ORG}/b7"
    await hub.stop()


@pytest.mark.parametrize("is_listed", [False, True], ids=["has left", "is missing in the first list alone"])
@in_virtual_time
async def test_a_former_member_past_the_gate_takes_no_lease_after_a_restart_and_a_member_that_one_list_lacks_does(
    *, is_listed: bool
) -> None:
    """The store remembers for a while who was a member.

    Until that is known again, nothing is granted and nothing is stated of it.
    """
    hub = await quiet()
    assert isinstance(await hub.ask("n3", GROUP), Granted)
    hub.report("n3", "successful")
    await asyncio.sleep(CYCLE)
    hub.admin("DELETE", f"/hagroups/{GROUP}/nodes/n3")
    await asyncio.sleep(IDLE_CYCLE)
    hub.report("n3", "initiated", target="2.99.0")
    await hub.live("n1", "n2", "n3", seconds=60)
    await hub.crash()
    if is_listed:
        hub.admin("POST", f"/hagroups/{GROUP}/nodes/n3")

    assert not isinstance(await hub.ask("n1", GROUP), Granted)
    await hub.live("n1", "n2", "n3", seconds=SECOND_LOOK + IDLE_CYCLE)
    assert [entry.node for entry in hub.events("lease.observed")] == ([f"{ORG}/n3"] if is_listed else [])
    assert isinstance(await hub.ask("n1", GROUP), Granted) is not is_listed
    await hub.stop()


@in_virtual_time
async def test_an_upgrade_that_goes_on_after_a_person_released_its_lease_is_not_said_to_be_unasked() -> None:
    hub = await quiet()
    assert isinstance(await hub.ask("n1", GROUP), Granted)
    hub.report("n1", "download started")
    await asyncio.sleep(CYCLE)
    released_at = hub.clock.now()
    await hub.coordinator.release(hub.lease(GROUP).group, token=None, reason="it hangs", who="ada")
    await asyncio.sleep(CYCLE)
    hub.report("n1", "initiated")
    await asyncio.sleep(IDLE_CYCLE)

    (entry,) = hub.events("lease.observed")
    assert entry.facts["released_at"] == f"{released_at:%Y-%m-%dT%H:%M:%S}.000Z"
    assert history.view(entry).what == (
        f"o1/n1 is upgrading o1/up1, whose lease a person released at {clock(released_at)}: "
        "it now holds the group's lease"
    )
    explained = hub.coordinator.explain(node_id(ORG, "n1"))
    assert explained is not None
    assert f"upgrade o1/up1, whose lease a person released at {clock(released_at)}: it holds" in explained.answer

    hub.report("n1", "successful")
    await asyncio.sleep(CYCLE)
    hub.report("n2", "initiated")
    await asyncio.sleep(IDLE_CYCLE)
    later = hub.events("lease.observed")[-1]
    assert (later.node, "released_at" in later.facts) == (f"{ORG}/n2", False), "the last lease was of another upgrade"
    await hub.stop()


@pytest.mark.parametrize("kind", [Kind.AGENT, Kind.SERVICE])
@in_virtual_time
async def test_who_has_begun_another_upgrade_than_the_one_it_was_granted_holds_the_lease_for_that_one(
    kind: Kind,
) -> None:
    hub = await quiet()
    seed.management_policy(hub.exchange, ORG, "up2")
    seed.deployment_policy(hub.exchange, ORG, NMP, service=f"{ORG}/svc", versions=["1.0.0"])
    asked = hub.question("n1", GROUP, NMP, kind)
    answer = await (hub.ask("n1", GROUP) if kind is Kind.AGENT else hub.ask_as_agbot(asked))
    assert isinstance(answer, Granted)
    hub.report("n1", "initiated", "up2")
    await hub.live("n1", "n2", "n3", seconds=300)
    if hub.lease(GROUP).is_held_for(asked.claim):
        await hub.coordinator.release(hub.lease(GROUP).group, token=None, reason="it has not begun", who="ada")

    assert codes(await hub.ask("n2", GROUP))[0] == "lease-held"
    tenure = hub.lease(GROUP).tenure
    assert tenure is not None
    assert (tenure.claim.holder, tenure.claim.subject) == (f"{ORG}/n1", f"{ORG}/up2")
    await hub.stop()


@in_virtual_time
async def test_an_upgrade_that_ends_while_its_policy_is_read_takes_no_lease() -> None:
    hub = await quiet()
    await asyncio.sleep(IDLE_CYCLE)
    slow = Fault(kind=FaultKind.LATENCY, seconds=8, path=f"/managementpolicies/{NMP}$", caller=f"IBM/{AGBOT}")
    hub.exchange.faults.add(slow)
    hub.report("n1", "downloaded")
    await asyncio.sleep(IDLE_CYCLE)
    hub.report("n1", "successful")
    await asyncio.sleep(4 * CYCLE)

    assert hub.lease(GROUP).token == 0
    assert hub.events("lease.observed") == []
    await hub.stop()
