"""The answers to a question that are not a plain yes or no: the same yes again, exemptions, and what a refusal says and when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta

import pytest
from msgspec import structs

from agbot.rules import holds
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Ask, NodeType, Sight
from agbot.rules.group import Group
from agbot.rules.ids import NodeId
from agbot.rules.lease import End, Kind
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Hold
from agbot.rules.window import Window
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    GROUP,
    NMP,
    NOW,
    OLD,
    OTHER_NMP,
    ask,
    at,
    brake,
    case,
    claim,
    deferral,
    doubt,
    ended,
    group,
    held,
    limits,
    member,
    policy,
    service_ask,
    status,
    suspected,
    under_way,
    why_not,
)
from tests.unit.rules.situations import CLOSED, NOBODY, codes, everything, paused


def fallen(name: NodeId, cause: Cause = Cause.SUPERSEDED, revision: str = "r1") -> End:
    """Build the end of a service upgrade of this release, before the present hold."""
    return End(claim=claim(name, Kind.SERVICE), token=6, cause=cause, at=at(1000), revision=revision)


@pytest.mark.parametrize("lease", [held(claim(BERT)), suspected(claim(BERT))], ids=["held", "suspect"])
def test_the_holder_gets_the_same_yes_again_whatever_has_come_up_since(lease: object) -> None:
    _, facts = everything()

    assert decide(case(ask(), structs.replace(facts, lease=lease))) == Grant(repeated=True)


def test_a_holder_of_a_store_that_was_replaced_gets_its_yes_again_only_where_nothing_speaks_against_it() -> None:
    lease = held(claim(BERT))
    now, replaced = group(lease=lease), group(lease=lease, token_floor=lease.token)
    doubtful = Reason(code=Code.STORE_CHANGED, text="an older copy")

    assert decide(case(ask(), replaced)) == Grant(repeated=True, restored=True)
    assert codes(decide(case(ask(), structs.replace(replaced, doubts=(doubtful,))))) == [Code.STORE_CHANGED]
    assert codes(decide(case(ask(), structs.replace(replaced, holds=(paused(),))))) == [Code.PAUSED]
    assert decide(case(ask(), structs.replace(now, holds=(paused(),)))) == Grant(repeated=True)


@pytest.mark.parametrize(
    "facts",
    [
        group(member(ANNA), member(CARL), lease=held(claim(BERT))),
        group(lease=held(claim(BERT)), policies={(Kind.AGENT, NMP): Sight.ABSENT}),
        group(lease=held(claim(BERT)), policies={(Kind.AGENT, NMP): policy(enabled=False)}),
    ],
    ids=["left the group", "policy gone", "policy disabled"],
)
def test_a_holder_that_may_not_ask_at_all_gets_no_yes_again(facts: Group) -> None:
    assert isinstance(decide(case(ask(), facts)), Wait)


BUSY = group(member(ANNA), member(BERT, node_type=NodeType.CLUSTER), member(CARL), lease=held(), brakes=(brake(),))


def test_a_cluster_node_goes_without_a_lease_although_another_holds_it() -> None:
    decision = decide(case(ask(), BUSY))

    assert isinstance(decision, Grant)
    assert decision.exempt is not None
    assert decision.exempt.code is Code.CLUSTER_NODE


def test_a_deferred_node_goes_on_with_the_upgrade_it_came_with() -> None:
    facts = group(lease=held(claim(CARL)), deferrals={ANNA: deferral()}, holds=(paused(),))

    decision = decide(case(ask(ANNA), facts))

    assert isinstance(decision, Grant)
    assert decision.exempt is not None
    assert decision.exempt.code is Code.DEFERRED


def test_a_deferral_exempts_no_service_of_the_same_name() -> None:
    question = ask(ANNA, Kind.SERVICE, NMP, bound=True)
    facts = group(deferrals={ANNA: deferral()}, policies={question.subject: policy()})

    assert codes(decide(case(question, facts))) == [Code.DEFERRED]


@pytest.mark.parametrize(
    ("question", "facts"),
    [(ask(), BUSY), (ask(ANNA), group(deferrals={ANNA: deferral()}))],
    ids=["cluster node", "deferred"],
)
def test_no_one_is_exempt_while_the_view_cannot_be_trusted(question: Ask, facts: Group) -> None:
    """The type of a node, and its deferral, are read from that very view."""
    assert isinstance(decide(case(question, structs.replace(facts, doubts=(doubt(),)))), Wait)


def test_a_cluster_node_with_an_invented_policy_is_refused() -> None:
    facts = structs.replace(BUSY, policies={(Kind.AGENT, NMP): Sight.ABSENT})

    assert Code.UNKNOWN_POLICY in codes(decide(case(ask(), facts)))


def test_a_brake_holds_while_no_one_has_read_whether_the_policy_changed() -> None:
    facts = group(brakes=(brake(),), policies={(Kind.AGENT, NMP): Sight.UNREAD})

    assert codes(decide(case(ask(), facts))) == [Code.VIEW_STALE, Code.BRAKE]


def test_the_reasons_report_when_they_end_by_themselves() -> None:
    resting = group(lease=ended(ago=20, by=claim(kind=Kind.SERVICE)))
    unproven = group(member(ANNA, ago=999), member(BERT), lease=ended(ago=20))
    shut = group(limits=limits(windows=CLOSED))
    pausing = group(holds=(paused(until=77),))

    def until(facts: Group) -> object:
        return why_not(ask(), facts, NOW)[0].until

    assert until(resting) == at(-70)
    assert until(unproven) == at(20) + timedelta(seconds=900)
    assert until(shut) == NOW.wall + timedelta(hours=1)
    assert until(pausing) == at(-77)


def test_a_refusal_names_the_holder_its_subject_and_its_token() -> None:
    (reason,) = why_not(ask(), group(lease=held(progress=under_way("initiated"))), NOW)

    assert (ANNA in reason.text, NMP in reason.text) == (True, True)
    assert reason.facts == {"holder": ANNA, "kind": "agent", "subject": NMP, "token": 7, "status": "initiated"}


def test_a_refusal_for_missing_peers_names_each_of_them_and_why() -> None:
    (reason,) = why_not(ask(ANNA), NOBODY, NOW)

    assert "o1/bert (last heartbeat 2 hours ago)" in reason.text
    assert "o1/carl (has never sent a heartbeat)" in reason.text
    assert reason.facts == {"available": 0, "required": 1, "others": 2}


def test_a_window_that_never_opens_says_so() -> None:
    never = limits(windows=(Window(weekdays=frozenset(), opens=time(1), closes=time(2)),))

    (reason,) = why_not(ask(), group(limits=never), NOW)

    assert "no maintenance window ever opens" in reason.text


@pytest.mark.parametrize(
    ("available", "wanted", "free"), [(2, 2, True), (1, 2, False), (1, 1, True), (2, 9, True), (1, 9, False)]
)
def test_more_peers_than_there_are_cannot_be_demanded(*, available: int, wanted: int, free: bool) -> None:
    carl = member(CARL, ago=10 if available == 2 else 999)
    facts = group(member(ANNA), member(BERT), carl, limits=limits(min_available=wanted))

    assert isinstance(decide(case(ask(ANNA), facts)), Grant) is free


def test_the_soak_of_a_member_in_its_next_upgrade_waits_for_that_too() -> None:
    busy_again = member(ANNA, {OTHER_NMP: status("initiated", target_version="9")}, agent_version=OLD)

    assert codes(decide(case(ask(), group(busy_again, member(BERT), member(CARL), lease=ended(ago=30))))) == [
        Code.SOAKING
    ]


def test_the_upgraded_member_itself_waits_for_the_time_and_for_no_proof() -> None:
    """It is asking: that is proof enough that its agent lives."""
    unseen = group(member(ANNA, ago=31), member(BERT), member(CARL), lease=ended(ago=30))

    assert decide(case(ask(ANNA), unseen)) == Grant()
    assert codes(decide(case(ask(ANNA), structs.replace(unseen, limits=limits(agent_soak_seconds=60))))) == [
        Code.SOAKING
    ]


def test_of_several_pauses_all_have_to_end() -> None:
    fleet, own, bert = paused(until=1), paused(GROUP, until=60), paused(f"node:{BERT}")

    def wait(*each: Hold) -> Reason:
        reason = holds.paused(case(ask(), group(holds=each)))
        assert reason is not None
        return reason

    assert wait(fleet, own).until == own.until
    assert wait(own, fleet).text.count("on hold until") == 2
    assert wait(fleet, bert).until is None


@pytest.mark.parametrize(
    ("before", "taken_over"),
    [
        (None, True),
        (fallen(CARL), False),
        (fallen(ANNA), True),
        (fallen(CARL, cause=Cause.SUCCEEDED), True),
        (fallen(CARL, revision="r0"), True),
    ],
    ids=[
        "nobody",
        "another in the same release",
        "the same node",
        "another that was done",
        "another in the release before",
    ],
)
def test_a_third_member_does_not_begin_a_release_in_which_two_fell_silent_in_a_row(
    before: End | None, *, taken_over: bool
) -> None:
    service = claim(ANNA, Kind.SERVICE)
    lease = replace(suspected(service, progress=under_way(ago=900, revision="r1")), last_end=before)
    facts = group(member(ANNA, ago=9000), member(BERT), member(CARL), lease=lease)

    answer = decide(case(service_ask(BERT), facts))

    assert isinstance(answer, Grant) is taken_over
    other = structs.replace(facts, policies={**facts.policies, (Kind.SERVICE, OTHER_NMP): policy(OTHER_NMP)})
    assert isinstance(decide(case(ask(BERT, Kind.SERVICE, OTHER_NMP, bound=True), other)), Grant), "another release may"
