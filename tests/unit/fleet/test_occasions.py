"""What is read once: for a question, a grant, a row of the agbot, a lost agreement, a second upgrade."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from agbot.fleet import occasions
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.reads import NOW as THIS_MOMENT
from agbot.fleet.reads import Why
from agbot.rules.decide import Grant, Wait
from agbot.rules.facts import Row, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.loss import Loss
from agbot.rules.reasons import Code, Reason
from agbot.rules.rows import RowState, Standing
from tests.support.values import (
    ANNA,
    BERT,
    DEPLOYMENT,
    GROUP,
    LIMITS,
    NMP,
    NOW,
    agreement,
    ask,
    at,
    claim,
    ended,
    group,
    held,
    member,
    node,
    status,
)
from tests.unit.fleet.test_plan import AGES, NOBODY_ELSE, because, pair, read_all


def wait(*codes: Code) -> Wait:
    return Wait(reasons=tuple(Reason(code=code, text="because") for code in codes))


@pytest.mark.parametrize("codes", [(Code.LEASE_HELD,), (Code.LEASE_HELD, Code.PEERS_UNAVAILABLE, Code.SOAKING)])
def test_a_refusal_that_no_unannounced_change_could_turn_rests_on_no_read(codes: tuple[Code, ...]) -> None:
    """The holder is unavailable to its peers while it upgrades; that does not end by a heartbeat."""
    assert occasions.of_wait(wait(*codes), group(), pair(), AGES, NOW) == []


@pytest.mark.parametrize(
    ("codes", "age"),
    [
        ((Code.PEERS_UNAVAILABLE,), AGES.heartbeat),
        ((Code.SOAKING,), AGES.rest),
        ((Code.PEERS_UNAVAILABLE, Code.SOAKING), AGES.rest),
    ],
)
def test_heartbeats_that_keep_an_asker_waiting_are_read_again(codes: tuple[Code, ...], age: timedelta) -> None:
    found = because(Why.BLOCKER, occasions.of_wait(wait(*codes), group(), pair(), AGES, NOW))

    assert found == {(What.NODE, ANNA): age, (What.NODE, BERT): age}


def test_the_report_that_ends_a_rest_is_read_for_the_question_that_waits_for_it() -> None:
    resting = group(lease=ended(ago=10, by=claim(ANNA)))

    services, soaking = [Read(what=What.AGREEMENTS, id=ANNA)], wait(Code.SOAKING)

    assert [each.read for each in occasions.proof_of_rest(soaking, resting, NOW)] == services
    assert occasions.proof_of_rest(wait(Code.LEASE_HELD), resting, NOW) == []
    assert occasions.proof_of_rest(soaking, structs.replace(resting, limits=NOBODY_ELSE), NOW) == []

    seen = {ANNA: member(agreements=(agreement("a1", "1.0.0", "running"),), agreements_read_at=NOW.seen)}
    assert occasions.proof_of_rest(soaking, structs.replace(resting, members=seen), NOW) == []
    end = resting.lease.last_end
    assert end is not None
    upgraded = replace(end, claim=claim(ANNA, Kind.SERVICE), service="o1/web")
    crashes = structs.replace(resting, members=seen, lease=replace(resting.lease, last_end=upgraded))
    assert [each.read for each in occasions.proof_of_rest(soaking, crashes, NOW)] == services


REPORTED = member(BERT, {NMP: status("ha node waiting")})
OWN_REPORT = Read(what=What.STATUSES, id=BERT)
EXEMPT = {code: Grant(exempt=Reason(code=code, text="")) for code in (Code.DEFERRED, Code.CLUSTER_NODE)}


@pytest.mark.parametrize(
    ("grant", "lease", "asker", "reads"),
    [
        (Grant(), Lease(group=GROUP), REPORTED, []),
        (Grant(), Lease(group=GROUP), member(BERT), [OWN_REPORT]),
        (Grant(), Lease(group=GROUP), member(BERT, {NMP: status("successful")}), [OWN_REPORT]),
        (Grant(), held(claim(ANNA)), REPORTED, [Read(what=What.NODE, id=ANNA)]),
        (Grant(repeated=True), held(claim(BERT)), member(BERT), []),
        (EXEMPT[Code.DEFERRED], Lease(group=GROUP), member(BERT), [OWN_REPORT]),
        (EXEMPT[Code.CLUSTER_NODE], Lease(group=GROUP), member(BERT), []),
    ],
    ids=["reported", "not reported", "an old report", "taken over", "repeated", "deferred", "a cluster node"],
)
def test_a_grant_rests_on_what_no_row_may_have_reported(
    grant: Grant, lease: Lease, asker: Any, reads: list[Read]
) -> None:
    found = occasions.of_grant(ask(BERT), group(member(ANNA), asker, lease=lease), grant)

    assert [each.read for each in found] == reads
    assert all(each.is_due(pair(), NOW.seen) for each in found)


def test_a_question_about_a_service_rests_on_no_report_of_an_agent() -> None:
    assert occasions.of_grant(ask(BERT, Kind.SERVICE), group(), Grant()) == []


def test_a_question_needs_no_report_of_services_while_all_of_them_are_fresh() -> None:
    picture = pair()

    assert occasions.services_for(ask(BERT), Lease(group=GROUP), picture, LIMITS, ages=AGES, now=NOW) == []
    found = occasions.services_for(ask(BERT), Lease(group=GROUP), picture, LIMITS, ages=AGES, now=NOW + AGES.services)
    assert {each.read for each in found} == {Read(what=What.AGREEMENTS, id=ANNA)}
    assert all(each.is_optional for each in found)


@pytest.mark.parametrize(
    ("standing", "is_new", "age"),
    [
        (Standing.UNDER_WAY, True, THIS_MOMENT),
        (Standing.UNDER_WAY, False, timedelta(seconds=10)),
        (Standing.STUCK, False, timedelta(seconds=10)),
        (Standing.FOREIGN, False, None),
    ],
)
def test_a_node_that_the_agbot_lists_is_read_at_once_and_then_often_unless_its_row_is_of_no_concern(
    standing: Standing, age: timedelta | None, *, is_new: bool
) -> None:
    row = Row(kind=Kind.SERVICE, group=GROUP, node=ANNA, subject=DEPLOYMENT)
    state = RowState(row=row, not_before=at(100), standing=standing)

    found = because(Why.LISTED, occasions.of_row(state, is_new=is_new))

    assert found == {(What.NODE, ANNA): age, (What.AGREEMENTS, ANNA): age}


def test_a_row_of_an_agent_is_followed_by_the_report_of_its_node() -> None:
    state = RowState(row=Row(kind=Kind.AGENT, group=GROUP, node=ANNA, subject=NMP), not_before=at(100))

    assert {each.read.what for each in occasions.of_row(state, is_new=True)} == {What.NODE, What.STATUSES}


@pytest.mark.parametrize(
    ("subject", "pattern", "reads"),
    [
        (DEPLOYMENT, "", [Read(what=What.DEPLOYMENT_POLICY, id=DEPLOYMENT)]),
        (PolicyId("line_meter_o1_amd64"), "o1/line", [Read(what=What.PATTERN, id="o1/line")]),
        (PolicyId("line_meter_o1_amd64"), "", []),
    ],
    ids=["a policy", "of a pattern", "of a pattern that the node does not name"],
)
def test_what_a_row_upgrades_to_is_read_as_a_policy_or_with_its_pattern(
    subject: PolicyId, pattern: str, reads: list[Read]
) -> None:
    picture = read_all(Picture(), node(ANNA, pattern=pattern), node(BERT))
    row = Row(kind=Kind.SERVICE, group=GROUP, node=ANNA, subject=subject)

    assert [each.read for each in occasions.policy_of_row(row, picture)] == reads


def test_when_the_row_of_a_service_has_gone_its_node_is_looked_at_and_that_of_an_agent_is_announced_by_the_feed() -> (
    None
):
    service = Row(kind=Kind.SERVICE, group=GROUP, node=ANNA, subject=DEPLOYMENT)

    assert [each.read for each in occasions.of_ended_row(service)] == [Read(what=What.AGREEMENTS, id=ANNA)]
    assert occasions.of_ended_row(replace(service, kind=Kind.AGENT, subject=NMP)) == []


def test_where_nothing_was_known_of_a_member_that_lost_an_agreement_its_peers_report_what_it_ran() -> None:
    picture = Picture()
    for each in (ANNA, BERT):
        picture.learn_node(each, node(each), begun=picture.begin(), now=NOW)
    own = {Read(what=what, id=ANNA) for what in (What.NODE, What.AGREEMENTS)}
    unknown, known = Loss(at=at(5), before=Sight.UNREAD), Loss(at=at(5), before=(agreement("a1"),))

    assert {each.read for each in occasions.of_loss(ANNA, known, picture)} == own
    assert {each.read for each in occasions.of_loss(ANNA, unknown, picture)} == {
        *own,
        Read(what=What.AGREEMENTS, id=BERT),
    }
    picture.learn_agreements(BERT, (), begun=picture.begin(), now=NOW)
    assert {each.read for each in occasions.of_loss(ANNA, unknown, picture)} == own


def test_where_another_upgrade_has_begun_everything_is_read_of_those_who_were_busy() -> None:
    found = because(Why.TAKEOVER, occasions.of_takeover([ANNA]))

    assert found == {(what, ANNA): THIS_MOMENT for what in (What.NODE, What.STATUSES, What.AGREEMENTS)}
