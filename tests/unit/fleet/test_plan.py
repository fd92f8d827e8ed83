"""What is read, why, and how old it may be: each reason of the plan for itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agbot.exchange import resources
from agbot.fleet import plan
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.plan import Activity
from agbot.fleet.reads import AT_ONCE, NEVER, Ages, Wanted, Why, next_due_at
from agbot.rules.facts import Node, NodeType, Sight
from agbot.rules.ids import OrgId
from agbot.rules.lease import Kind, Lease
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import Now
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    DEPLOYMENT,
    GROUP,
    LIMITS,
    NEW,
    NMP,
    NOW,
    OLD,
    agreement,
    ask,
    brake,
    claim,
    deferral,
    deployment,
    ended,
    held,
    limits,
    node,
    policy,
    seen_at,
    service_deferral,
    status,
    waiter,
)

AGES = Ages(
    heartbeat=timedelta(seconds=30),
    statuses=timedelta(seconds=60),
    services=timedelta(seconds=300),
    rest=timedelta(seconds=3),
)
NOBODY_ELSE = limits(services_must_run=False)


def read_all(picture: Picture, *nodes: Node, now: Now = NOW) -> Picture:
    """Read everything about a group of these nodes, none of which reports anything or runs a service."""
    members = [each.id for each in nodes if each.group == GROUP]
    picture.learn_org(OrgId("o1"), {GROUP: members}, {n.id: n for n in nodes}, begun=picture.begin(), now=now)
    for each in nodes:
        picture.learn_statuses(each.id, {}, begun=picture.begin(), now=now)
        picture.learn_agreements(each.id, (), begun=picture.begin(), now=now)
    for read, found in ((What.MANAGEMENT_POLICY, policy(NMP)), (What.DEPLOYMENT_POLICY, deployment())):
        picture.policies.learn(Read(what=read, id=found.id), found, begun=picture.begin(), now=now)
    return picture


def pair(*, now: Now = NOW) -> Picture:
    return read_all(Picture(), node(ANNA), node(BERT), now=now)


def going_on(**fields: Any) -> Activity:
    default: dict[str, Any] = {"group": GROUP, "limits": LIMITS, "lease": Lease(group=GROUP)}
    return Activity(**(default | fields))


def due(activity: Activity, picture: Picture, now: Now = NOW) -> set[tuple[Why, Read]]:
    found = plan.of_group(activity, picture, AGES, now)
    return {(each.why, each.read) for each in found if each.is_due(picture, now.seen)}


def because(why: Why, found: Iterable[Wanted]) -> dict[tuple[What, str], timedelta | None]:
    return {(each.read.what, each.read.id): each.max_age for each in found if each.why is why}


def planned(why: Why, activity: Activity, picture: Picture, now: Now = NOW) -> dict[tuple[What, str], timedelta | None]:
    return because(why, plan.of_group(activity, picture, AGES, now))


def test_a_group_in_which_nothing_goes_on_needs_nothing() -> None:
    assert plan.of_group(going_on(), Picture(), AGES, NOW) == []
    assert plan.of_group(going_on(), pair(), AGES, NOW) == []


def test_where_everything_was_read_in_this_moment_nothing_is_due() -> None:
    activity = going_on(lease=held(claim(ANNA)), waiters=[waiter(BERT)], deferrals=[deferral(BERT)])

    assert due(activity, pair()) == set()


def test_a_group_of_which_nothing_was_read_is_read_before_anything_else() -> None:
    assert due(going_on(waiters=[waiter()]), Picture()) == {
        (Why.GROUP, Read(what=What.GROUP, id=GROUP)),
        (Why.SUBJECT, Read(what=What.MANAGEMENT_POLICY, id=NMP)),
    }


def test_with_an_order_by_a_property_the_policies_of_the_nodes_are_read_as_well() -> None:
    activity = going_on(waiters=[waiter()], limits=limits(order="property:zone"))

    found = due(activity, pair())

    assert {read for why, read in found if why is Why.GROUP} == {
        Read(what=What.PROPERTIES, id=each) for each in (ANNA, BERT)
    }


def test_heartbeats_are_read_again_where_somebody_waits_because_no_row_reports_of_them() -> None:
    assert planned(Why.HEARTBEAT, going_on(waiters=[waiter()]), pair()) == {
        (What.NODE, ANNA): AGES.heartbeat,
        (What.NODE, BERT): AGES.heartbeat,
    }


def test_what_the_holder_and_the_waiters_upgrade_to_is_read_again_because_it_may_end_without_a_row() -> None:
    service = waiter(BERT, question=ask(BERT, Kind.SERVICE))
    activity = going_on(lease=held(claim(ANNA)), waiters=[service])

    assert planned(Why.SUBJECT, activity, pair()) == {
        (What.MANAGEMENT_POLICY, NMP): 2 * AGES.heartbeat,
        (What.DEPLOYMENT_POLICY, DEPLOYMENT): 2 * AGES.heartbeat,
    }


@pytest.mark.parametrize(
    ("kind", "report", "age"),
    [
        (Kind.AGENT, (What.STATUSES, ANNA), AGES.statuses),
        (Kind.SERVICE, (What.AGREEMENTS, ANNA), AGES.quick),
    ],
)
def test_a_holder_is_read_with_the_report_that_ends_its_lease(
    kind: Kind, report: tuple[What, str], age: timedelta
) -> None:
    found = planned(Why.HOLDER, going_on(lease=held(claim(ANNA, kind))), pair())

    assert found[What.NODE, ANNA] == AGES.heartbeat
    assert found[report] == age


def test_an_agent_that_has_downloaded_is_expected_to_ask_and_its_policy_is_read_ahead() -> None:
    picture = pair()
    picture.learn_statuses(ANNA, {NMP: status("download started")}, begun=picture.begin(), now=NOW)

    expected = list(plan.asks_of(ANNA, picture))

    assert expected == [ask(ANNA)]
    assert planned(Why.REPORT, going_on(expected=expected), picture) == {(What.MANAGEMENT_POLICY, NMP): None}


def test_a_cluster_node_and_one_past_the_gate_are_not_expected_to_ask() -> None:
    picture = read_all(Picture(), node(ANNA, node_type=NodeType.CLUSTER), node(BERT))
    picture.learn_statuses(ANNA, {NMP: status("download started")}, begun=picture.begin(), now=NOW)
    picture.learn_statuses(BERT, {NMP: status("initiated")}, begun=picture.begin(), now=NOW)

    assert [*plan.asks_of(ANNA, picture), *plan.asks_of(BERT, picture)] == []


def test_what_devices_run_is_read_for_waiters_a_little_before_their_next_question_needs_it() -> None:
    picture = read_all(Picture(), node(ANNA), node(BERT), node(CARL, node_type=NodeType.CLUSTER))

    found = planned(Why.SERVICES, going_on(waiters=[waiter(ANNA), waiter(BERT)]), picture)

    assert found == {(What.AGREEMENTS, each): AGES.services * 0.8 for each in (ANNA, BERT)}


def test_what_the_only_waiter_runs_itself_is_read_if_a_peer_lacks_a_service() -> None:
    picture, waits = pair(), going_on(waiters=[waiter(BERT)])
    assert set(planned(Why.SERVICES, waits, picture)) == {(What.AGREEMENTS, ANNA)}

    picture.learn_agreements(ANNA, (agreement("a1", "1.0.0", "exited"),), begun=picture.begin(), now=NOW)

    assert set(planned(Why.SERVICES, waits, picture)) == {(What.AGREEMENTS, ANNA), (What.AGREEMENTS, BERT)}


@pytest.mark.parametrize(
    "activity",
    [
        going_on(waiters=[waiter(BERT)], limits=NOBODY_ELSE),
        going_on(waiters=[waiter(BERT)], limits=limits(min_available=0)),
        going_on(waiters=[waiter(BERT, question=ask(BERT, Kind.SERVICE))]),
    ],
    ids=["services need not run", "no peers are needed", "a service upgrade"],
)
def test_what_members_run_is_not_read_where_it_decides_nothing(activity: Activity) -> None:
    assert planned(Why.SERVICES, activity, pair()) == {}


def test_a_service_that_keeps_a_waiter_waiting_is_looked_at_soon() -> None:
    picture = pair()
    stopped = agreement("a1", "1.0.0", "exited")
    picture.learn_agreements(ANNA, (stopped,), begun=picture.begin(), now=NOW)
    waits = replace(waiter(BERT), reasons=(Reason(code=Code.PEERS_UNAVAILABLE, text="too few"),))

    assert planned(Why.BLOCKER, going_on(waiters=[waits]), picture) == {(What.AGREEMENTS, ANNA): AGES.quick}
    assert planned(Why.BLOCKER, going_on(waiters=[waiter(BERT)]), picture) == {}


def test_reports_that_keep_peers_waiting_are_read_again_because_they_may_end_without_a_row() -> None:
    picture = pair()
    picture.learn_statuses(ANNA, {NMP: status("initiated", ago=60)}, begun=picture.begin(), now=NOW)

    assert planned(Why.DEFERRAL, going_on(waiters=[waiter(BERT)]), picture) == {(What.STATUSES, ANNA): AGES.heartbeat}
    assert planned(Why.DEFERRAL, going_on(deferrals=[deferral(BERT)]), picture) == {
        (What.STATUSES, each): AGES.heartbeat for each in (ANNA, BERT)
    }


def test_the_services_of_a_member_that_joined_without_them_are_read_often() -> None:
    activity = going_on(deferrals=[service_deferral(ANNA)])

    assert planned(Why.DEFERRAL, activity, pair()) == {(What.AGREEMENTS, ANNA): AGES.quick}


def test_a_resting_group_looks_for_the_heartbeat_and_the_services_that_prove_the_upgraded_member() -> None:
    activity = going_on(lease=ended(ago=10, by=claim(ANNA)))

    assert planned(Why.REST, activity, pair(now=NOW - timedelta(seconds=20))) == {
        (What.NODE, ANNA): AGES.quick,
        (What.AGREEMENTS, ANNA): AGES.quick,
    }


def test_while_the_time_of_a_rest_lasts_a_crash_is_looked_for_at_every_look_at_the_feed() -> None:
    activity = going_on(lease=ended(ago=10, by=claim(ANNA)), limits=limits(agent_soak_seconds=60))

    found = plan.of_group(activity, pair(now=NOW - timedelta(seconds=20)), AGES, NOW)

    services = next(each for each in found if each.read.what is What.AGREEMENTS)
    assert (services.max_age, services.not_before) == (AGES.rest, NOW.seen + timedelta(seconds=50))


def test_services_that_were_read_before_a_rest_was_over_are_read_when_it_is() -> None:
    picture = pair(now=NOW - timedelta(seconds=1))
    proof = Wanted(read=Read(what=What.AGREEMENTS, id=ANNA), why=Why.REST, max_age=AGES.quick, not_before=NOW.seen)

    assert proof.due_at(picture) == NOW.seen
    assert not proof.is_due(picture, seen_at(0.5))
    assert proof.is_due(picture, NOW.seen)


def test_services_that_run_after_a_rest_are_not_read_again_while_a_heartbeat_is_waited_for() -> None:
    activity = going_on(lease=ended(ago=10, by=claim(ANNA)))
    picture = read_all(Picture(), node(ANNA, ago=15), node(BERT))
    services = (What.AGREEMENTS, ANNA)
    picture.learn_agreements(ANNA, (agreement("a1", "1.0.0", "running"),), begun=picture.begin(), now=NOW)
    assert planned(Why.REST, activity, picture) == {(What.NODE, ANNA): AGES.quick, services: None}

    picture.learn_agreements(ANNA, (agreement("a1", "1.0.0", "exited"),), begun=picture.begin(), now=NOW)
    assert planned(Why.REST, activity, picture)[services] == AGES.quick


def test_a_rest_that_is_proven_needs_nothing_more() -> None:
    activity = going_on(lease=ended(ago=10, by=claim(ANNA)))

    assert plan.of_group(activity, read_all(Picture(), node(ANNA, ago=5), node(BERT)), AGES, NOW) == []


def test_a_brake_is_looked_at_when_its_policy_has_changed() -> None:
    picture, activity = pair(), going_on(brakes=[brake()])
    subject = Read(what=What.MANAGEMENT_POLICY, id=NMP)
    assert due(activity, picture) == set()

    picture.apply(resources.change(OrgId("o1"), "mgmtpolicy", "agent-2.32", "modified"), NOW)

    assert due(activity, picture) == {(Why.BRAKE, subject)}


def test_a_braked_group_that_is_missing_is_gone_at_the_second_look_and_looked_at_no_more() -> None:
    picture, look, activity = Picture(), Read(what=What.GROUP, id=GROUP), going_on(brakes=[brake()])
    picture.learn_org(OrgId("o1"), {}, {}, begun=picture.begin(), now=NOW)
    assert (Why.BRAKE, look) in due(activity, picture)
    picture.learn_group(GROUP, Sight.ABSENT, begun=picture.begin(), now=NOW)
    second = NOW + CONFIRM_AFTER

    assert (Why.BRAKE, look) not in due(activity, picture)
    assert picture.second_reads(second.seen) == [look]
    assert not picture.is_gone(GROUP)
    picture.learn_group(GROUP, Sight.ABSENT, begun=picture.begin(), now=second)
    assert picture.is_gone(GROUP)
    assert (Why.BRAKE, look) not in due(activity, picture, second + CONFIRM_AFTER)
    assert picture.second_reads((second + CONFIRM_AFTER).seen) == []


@pytest.mark.parametrize(
    ("max_age", "due_at"),
    [
        (timedelta(seconds=30), NOW.seen + timedelta(seconds=30)),
        (timedelta(), AT_ONCE),
        (None, NEVER),
    ],
    ids=["of an age", "of this moment", "of any age"],
)
def test_what_was_read_is_due_again_when_it_is_as_old_as_it_may_be(max_age: timedelta | None, due_at: object) -> None:
    wanted = Wanted(read=Read(what=What.NODE, id=ANNA), why=Why.HEARTBEAT, max_age=max_age)

    assert wanted.due_at(pair()) == due_at
    assert wanted.due_at(Picture()) == AT_ONCE


def test_a_change_makes_a_read_due_at_once_whatever_its_age() -> None:
    picture, wanted = pair(), Wanted(read=Read(what=What.NODE, id=ANNA), why=Why.HEARTBEAT)

    picture.apply(resources.change(OrgId("o1"), "node", "anna", "modified"), NOW)

    assert wanted.due_at(picture) == AT_ONCE


def test_the_next_read_of_a_group_is_due_with_the_first_of_its_plan() -> None:
    picture = pair()

    assert next_due_at([], picture) == NEVER
    assert next_due_at(plan.of_group(going_on(lease=held(claim(ANNA, Kind.SERVICE))), picture, AGES, NOW), picture) == (
        NOW.seen + AGES.quick
    )


def test_while_the_lease_is_held_the_services_of_members_keep_no_asker_waiting_and_are_not_read() -> None:
    picture = pair()
    picture.learn_statuses(BERT, {NMP: status("download started")}, begun=picture.begin(), now=NOW)
    expected = list(plan.asks_of(BERT, picture))
    free, taken = ({"lease": lease} for lease in (Lease(group=GROUP), held(claim(ANNA))))

    for more in ({"waiters": [waiter(BERT)]}, {"expected": expected}):
        assert planned(Why.SERVICES, going_on(**more, **free), picture) != {}
        assert planned(Why.SERVICES, going_on(**more, **taken), picture) == {}


def test_the_statuses_of_a_holder_past_the_gate_are_read_for_its_lease_and_those_of_others_for_their_own_sake() -> None:
    picture = pair()
    for each in (ANNA, BERT):
        picture.learn_statuses(each, {NMP: status("initiated")}, begun=picture.begin(), now=NOW)

    activity = going_on(lease=held(claim(ANNA)))

    assert planned(Why.DEFERRAL, activity, picture) == {(What.STATUSES, BERT): AGES.heartbeat}
    assert planned(Why.HOLDER, activity, picture)[What.STATUSES, ANNA] == AGES.statuses


def test_the_status_of_a_holder_that_runs_another_version_is_read_soon_however_many_leases_there_are() -> None:
    ages, activity = replace(AGES, statuses=timedelta(minutes=17)), going_on(lease=held(claim(ANNA)))
    for version, age in ((OLD, ages.statuses), (NEW, ages.heartbeat)):
        picture = read_all(Picture(), node(ANNA, agent_version=version), node(BERT))
        found = because(Why.HOLDER, plan.of_group(activity, picture, ages, NOW))
        assert found[What.STATUSES, ANNA] == age
