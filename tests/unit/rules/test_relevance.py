"""What is kept of a group for the record of a decision: all that the rules read for the question, and nothing else.

That no rule answers otherwise by what is kept is shown for arbitrary groups in
`tests.properties.test_decision_record`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from agbot.rules.facts import Agreement, Sight
from agbot.rules.group import NEVER_READ, Group, ReadTimes, Rollout
from agbot.rules.ids import NodeId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Order
from agbot.rules.records import Allowance, Approval
from agbot.rules.relevance import relevant_to, relevant_to_review
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    DEPLOYMENT,
    NMP,
    NOW,
    OTHER_NMP,
    SERVICE,
    agreement,
    ask,
    at,
    brake,
    busy,
    claim,
    deployment,
    ended,
    group,
    held,
    limits,
    member,
    seen,
    seen_at,
    status,
    turn,
    waiter,
)

ASKED, OTHER = (Kind.AGENT, NMP), (Kind.AGENT, OTHER_NMP)
BY_CARL = waiter(CARL, question=ask(CARL, subject=OTHER_NMP))


def allowance(node: NodeId) -> Allowance:
    until = NOW.wall + timedelta(hours=1)
    return Allowance(node=node, subject=NMP, since=at(60), until=until, by="eva", why="tested")


def approval(kind: Kind) -> Approval:
    return Approval(scope="*", kind=kind, subject=NMP, since=at(60), by="eva", why="tested")


def crowded(**fields: object) -> Group:
    """Put a group of which Bert asks, and in which there is something of everybody."""
    default: dict[str, object] = {
        "brakes": (brake(), brake(OTHER_NMP), brake(kind=Kind.SERVICE)),
        "org_brakes": (brake(), brake(OTHER_NMP)),
        "turns": {ANNA: turn(ANNA, ago=50), BERT: turn(BERT, ago=60), CARL: turn(CARL, ago=70)},
        "rollouts": {ASKED: Rollout(), OTHER: Rollout()},
        "allowances": {ANNA: allowance(ANNA), BERT: allowance(BERT)},
        "approvals": (approval(Kind.AGENT), approval(Kind.SERVICE)),
        "busy": {ANNA: busy(ANNA), BERT: busy(BERT)},
        "reads": ReadTimes(feed=seen_at(1)),
    }
    return group(**(default | fields))


def test_of_a_question_that_no_one_competes_with_what_is_about_it_is_kept() -> None:
    kept = relevant_to(ask(BERT), crowded())

    assert kept.brakes == (brake(),)
    assert kept.org_brakes == (brake(),)
    assert list(kept.turns) == [BERT]
    assert list(kept.policies) == [ASKED]
    assert list(kept.rollouts) == [ASKED]
    assert list(kept.allowances) == [BERT]
    assert kept.approvals == (approval(Kind.AGENT),)
    assert list(kept.busy) == [BERT]
    assert kept.reads == NEVER_READ


def test_what_is_about_a_waiter_to_which_the_asker_may_yield_is_kept_too() -> None:
    mine = waiter(BERT)

    kept = relevant_to(ask(BERT), crowded(waiters=(mine, BY_CARL)))

    assert kept.waiters == (BY_CARL,)
    assert {each.subject for each in kept.brakes} == {NMP, OTHER_NMP}
    assert list(kept.turns) == [BERT, CARL]
    assert set(kept.policies) == {ASKED, OTHER}


@pytest.mark.parametrize(
    ("facts", "yields"),
    [
        (crowded(waiters=(BY_CARL,), turns={}), False),
        (crowded(waiters=(BY_CARL,)), True),
        (crowded(waiters=(BY_CARL,), turns={}, limits=limits(order=Order.NAME)), True),
    ],
    ids=["it has had no turn", "it has had its turn", "members go by name"],
)
def test_waiters_are_kept_only_for_a_node_that_may_have_to_yield(facts: Group, yields: bool) -> None:
    assert bool(relevant_to(ask(BERT), facts).waiters) is yields


def test_of_a_members_reports_those_are_kept_that_show_an_upgrade_or_what_a_brake_stops() -> None:
    reports = {NMP: status("download started"), OTHER_NMP: status("initiated"), DEPLOYMENT: status("successful")}
    facts = group(member(ANNA, reports), member(BERT, reports))

    def kept(of: Group) -> list[list[str]]:
        return [sorted(each.statuses) for each in relevant_to(ask(BERT), of).members.values()]

    assert kept(facts) == [[OTHER_NMP], [OTHER_NMP]]
    assert kept(structs.replace(facts, brakes=(brake(),))) == [[OTHER_NMP], sorted([NMP, OTHER_NMP])]
    assert kept(structs.replace(facts, org_brakes=(brake(),))) == [[OTHER_NMP], sorted([NMP, OTHER_NMP])]
    assert kept(structs.replace(facts, brakes=(brake(kind=Kind.SERVICE),))) == [[OTHER_NMP], [OTHER_NMP]]
    assert kept(structs.replace(facts, brakes=(brake(DEPLOYMENT),))) == [[OTHER_NMP], [OTHER_NMP]]


RUNS, STANDS = agreement("a1"), replace(agreement("a2", "1.0.0", "exited"), service="o1/other")
AFTER = ended(by=claim(ANNA, Kind.SERVICE))


def after(service: str) -> Lease:
    return replace(AFTER, last_end=AFTER.last_end and replace(AFTER.last_end, service=service))


@pytest.mark.parametrize(
    ("facts", "of_anna", "of_bert"),
    [
        (group(), (STANDS,), (RUNS, STANDS)),
        (group(limits=limits(services_must_run=False)), Sight.UNREAD, Sight.UNREAD),
        (group(lease=after(SERVICE)), (RUNS, STANDS), (RUNS, STANDS)),
        (group(lease=after(SERVICE), limits=limits(services_must_run=False)), (RUNS,), Sight.UNREAD),
        (group(lease=after("o1/third"), limits=limits(services_must_run=False)), (), Sight.UNREAD),
    ],
    ids=["peers", "services do not matter", "Anna's service rests", "and nothing else matters", "another one rests"],
)
def test_of_a_members_agreements_those_are_kept_that_show_what_stops_or_rests(
    facts: Group, of_anna: tuple[Agreement, ...] | Sight, of_bert: tuple[Agreement, ...] | Sight
) -> None:
    each: dict[str, Any] = {"agreements": (RUNS, STANDS), "agreements_read_at": seen_at(9)}
    two = structs.replace(facts, members={ANNA: member(ANNA, **each), BERT: member(BERT, **each)})

    kept = relevant_to(ask(BERT), two).members

    assert (kept[ANNA].agreements, kept[BERT].agreements) == (of_anna, of_bert)
    assert kept[BERT].agreements_read_at is None
    assert (kept[ANNA].agreements_read_at == seen_at(9)) is (facts.lease.last_end is not None)


def test_where_a_peer_has_lost_an_agreement_all_that_are_left_are_kept() -> None:
    lost = member(ANNA, agreements=(RUNS,), agreement_ended_at=at(30))
    careless = limits(services_must_run=False)

    assert relevant_to(ask(BERT), group(lost, member(BERT))).members[ANNA].agreements == (RUNS,)
    assert relevant_to(ask(BERT), group(lost, member(BERT))).members[ANNA].agreement_ended_at == at(30)
    assert relevant_to(ask(BERT), group(lost, member(BERT), limits=careless)).members[ANNA].agreement_ended_at is None
    running = member(ANNA, agreements=(RUNS,))
    assert relevant_to(ask(BERT), group(running, member(BERT))).members[ANNA].agreements is Sight.UNREAD


def test_of_a_members_properties_that_which_orders_is_kept() -> None:
    named = member(BERT, properties={"rank": "1", "place": "east"})
    ordered = limits(order="property:rank")

    assert relevant_to(ask(BERT), group(named)).members[BERT].properties == {}
    assert relevant_to(ask(BERT), group(named, limits=ordered)).members[BERT].properties == {"rank": "1"}


def test_a_review_of_a_service_is_by_its_agreements_and_that_of_an_agent_by_its_report() -> None:
    facts = seen(policy=deployment(), status=status("initiated"), agreements=(RUNS, STANDS))
    service = replace(held(claim(ANNA, Kind.SERVICE)), last_end=AFTER.last_end)

    lease, by_agreements = relevant_to_review(service, facts)
    _, by_report = relevant_to_review(held(), facts)
    unread = relevant_to_review(service, replace(facts, agreements=Sight.UNREAD))[1]

    assert lease.last_end is None
    assert (by_agreements.status, by_agreements.agreements) == (Sight.UNREAD, (RUNS,))
    assert (by_report.status, by_report.agreements) == (facts.status, Sight.UNREAD)
    assert unread.agreements is Sight.UNREAD
