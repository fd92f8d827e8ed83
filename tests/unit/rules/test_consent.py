"""What a person's word lets past, and what it never does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code
from agbot.rules.records import Allowance, Approval
from agbot.rules.rulebook import RULES
from agbot.rules.words import clock
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    DEPLOYMENT,
    GROUP,
    NMP,
    NOW,
    OTHER_NMP,
    ask,
    at,
    brake,
    case,
    claim,
    group,
    held,
    limits,
    member,
    policy,
    turn,
    waiter,
)
from tests.unit.rules.test_decide import ONE_REASON

ALLOWABLE = {
    Code.PEERS_UNAVAILABLE,
    Code.OUTSIDE_WINDOW,
    Code.NODE_BUSY,
    Code.BRAKE,
    Code.ORG_BRAKE,
    Code.NOT_APPROVED,
    Code.CANARY,
    Code.PACED,
    Code.TURN,
}


def allowance(node: NodeId = BERT, subject: str = "", hours: float = 1) -> Allowance:
    until = NOW.wall + timedelta(hours=hours)
    return Allowance(node=node, subject=PolicyId(subject), since=at(60), until=until, by="ada", why="urgent")


def with_allowance(facts: Group, given: Allowance) -> Group:
    return structs.replace(facts, allowances={given.node: given})


@pytest.mark.parametrize(("question", "facts", "code"), ONE_REASON.values(), ids=ONE_REASON)
def test_an_allowance_lets_an_upgrade_past_these_reasons_and_no_other(question: Ask, facts: Group, code: Code) -> None:
    given = allowance(question.node)
    decision = decide(case(question, with_allowance(facts, given)))

    if code in ALLOWABLE:
        assert decision == Grant(allowed=given)
    else:
        assert isinstance(decision, Wait)
        assert [reason.code for reason in decision.reasons] == [code]


def test_a_holder_of_a_store_that_was_replaced_keeps_its_lease_with_an_allowance() -> None:
    lonely = group(member(ANNA, ago=900), member(BERT), lease=held(claim(BERT)), token_floor=held(claim(BERT)).token)

    assert isinstance(decide(case(ask(), lonely)), Wait)
    assert decide(case(ask(), with_allowance(lonely, allowance()))) == Grant(repeated=True, restored=True)


def test_what_it_lets_past_is_stated() -> None:
    assert {code for rule in RULES if rule.is_allowable for code in rule.unblocks} == ALLOWABLE


def test_a_grant_that_needs_no_allowance_uses_none_up() -> None:
    assert decide(case(ask(), with_allowance(group(), allowance()))) == Grant()


@pytest.mark.parametrize(
    "given",
    [allowance(CARL), allowance(subject=DEPLOYMENT), allowance(hours=0)],
    ids=["another node's", "another policy's", "lapsed"],
)
def test_an_allowance_is_for_one_node_one_policy_and_a_time(given: Allowance) -> None:
    lonely = group(member(ANNA, ago=900), member(BERT), member(CARL, ago=900))

    assert isinstance(decide(case(ask(), with_allowance(lonely, given))), Wait)
    assert isinstance(decide(case(ask(), with_allowance(lonely, allowance(subject=NMP)))), Grant)


def test_an_approval_whose_time_is_in_the_future_approves_nothing() -> None:
    """Our clock was wrong when it was given: it would cover every revision until then."""
    limits_with = limits(approval=True)
    stated = Approval(
        scope="*", kind=Kind.AGENT, subject=NMP, since=NOW.wall + timedelta(hours=2), by="eva", why="tested"
    )

    policies = {(Kind.AGENT, NMP): policy(revised_at=at(60))}

    early = decide(case(ask(), group(limits=limits_with, approvals=(stated,), policies=policies)))
    late = decide(
        case(ask(), group(limits=limits_with, approvals=(stated,), policies=policies), NOW + timedelta(hours=3))
    )

    assert isinstance(early, Wait)
    assert Code.NOT_APPROVED in [reason.code for reason in early.reasons]
    assert Code.NOT_APPROVED not in [reason.code for reason in getattr(late, "reasons", ())]


@pytest.mark.parametrize(
    ("approval", "revised_ago", "is_enough"),
    [
        ({"scope": "*"}, 60, True),
        ({"scope": "o1"}, 60, True),
        ({"scope": GROUP}, 60, True),
        ({"scope": "o2"}, 60, False),
        ({"scope": "o1/fans"}, 60, False),
        ({"subject": OTHER_NMP}, 60, False),
        ({"kind": Kind.SERVICE}, 60, False),
        ({}, 30, True),
        ({}, 29, False),
        ({}, None, False),
        ({"since": at(-10)}, 60, True),
        ({"since": at(-11)}, 60, False),
    ],
)
def test_an_approval_is_for_one_release_in_its_scope(
    approval: dict[str, Any], revised_ago: float | None, is_enough: bool
) -> None:
    usual: dict[str, Any] = {"scope": "*", "kind": Kind.AGENT, "subject": NMP, "since": at(30)}
    given = Approval(**(usual | approval), by="eva", why="tested")
    policies = {(Kind.AGENT, NMP): policy(revised_at=None if revised_ago is None else at(revised_ago))}
    facts = group(limits=limits(approval=True), approvals=(given,), policies=policies)

    decision = decide(case(ask(), facts))

    assert decision == Grant() if is_enough else isinstance(decision, Wait)


def braked_at(*ago: float, limit: int = 3) -> Group:
    """Put a group whose upgrade failed in it, or in these other groups of its organisation, so long ago."""
    if len(ago) == 1:
        return group(brakes=(replace(brake(), since=at(ago[0])),))
    failed = [replace(brake(), group=GroupId(f"o1/g{number}"), since=at(each)) for number, each in enumerate(ago)]
    return group(org_brakes=tuple(failed), org_groups=40, limits=limits(org_brake_groups=limit))


@pytest.mark.parametrize(
    ("before", "after"),
    [((61,), (59,)), ((300, 200, 61), (300, 200, 59)), ((300, 200, 100, 61), (300, 200, 100, 59))],
    ids=["in the group", "the last of too many groups", "one more than too many groups"],
)
def test_an_allowance_overrides_a_failure_that_was_known_and_none_that_came_later(
    before: tuple[float, ...], after: tuple[float, ...]
) -> None:
    given = allowance()

    assert decide(case(ask(), with_allowance(braked_at(*before), given))) == Grant(allowed=given)
    later = decide(case(ask(), with_allowance(braked_at(*after), given)))
    assert isinstance(later, Wait)
    assert [reason.code for reason in later.reasons] == [Code.BRAKE if len(after) == 1 else Code.ORG_BRAKE]
    assert later.reasons[0].text.endswith(
        f"ada allowed this upgrade at {clock(at(60))}, before it failed: that does not override the failure"
    )


def test_an_allowance_from_the_future_overrides_no_failure() -> None:
    given = replace(allowance(), since=at(-60))

    assert isinstance(decide(case(ask(), with_allowance(braked_at(90), given))), Wait)


def test_who_has_an_allowance_from_before_a_failure_lets_others_go_first() -> None:
    """A member that cannot go itself must not keep the next one waiting for its turn."""
    waiting = waiter(CARL, since=300, asked=10)
    served = turn(BERT, ago=60)
    stuck = structs.replace(braked_at(59), waiters=(waiting,), turns={BERT: served})
    other = replace(ask(), claim=replace(ask().claim, subject=OTHER_NMP))

    facts = structs.replace(
        with_allowance(stuck, allowance(CARL)), policies={**stuck.policies, other.subject: policy()}
    )
    assert decide(case(other, facts)) == Grant()
    known = structs.replace(facts, brakes=braked_at(61).brakes)
    assert [reason.code for reason in getattr(decide(case(other, known)), "reasons", ())] == [Code.TURN]
