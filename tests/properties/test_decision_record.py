"""A decision can be derived again from what is kept of it, for arbitrary groups and questions."""

from __future__ import annotations

import json
from datetime import timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec import structs

from agbot.coordinator import decision_record
from agbot.rules.decide import decide
from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.holder import Seen
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits, Order
from agbot.rules.relevance import relevant_to, relevant_to_review
from agbot.rules.review import review
from agbot.rules.rulebook import RULES
from tests.properties import strategies as facts
from tests.properties.test_decide import questions
from tests.support.examples import examples
from tests.support.values import NOW, case, review_of, why_not

MANY = settings(max_examples=examples(150))


@MANY
@given(questions(), st.booleans())
def test_a_decision_record_that_went_through_json_gives_the_same_decision(
    question: tuple[Ask, Group], is_steady: bool
) -> None:
    ask, group = question
    now = structs.replace(NOW, is_steady=is_steady)
    read = decision_record.read(json.loads(json.dumps(decision_record.write(case(ask, group, now)))))

    before, after = decide(case(ask, group, now)), decide(read)
    event(type(before).__name__)
    assert read.at == now
    assert after == before
    assert why_not(read.ask, read.group, read.at) == why_not(ask, group, now)


@MANY
@given(questions(), st.integers(-90_000, 90_000))
def test_from_what_bears_on_a_question_every_rule_says_at_any_time_what_it_says_from_everything(
    question: tuple[Ask, Group], seconds: int
) -> None:
    ask, group = question
    reduced, now = relevant_to(ask, group), NOW + timedelta(seconds=seconds)

    for rule in RULES:
        assert rule.check(case(ask, reduced, now)) == rule.check(case(ask, group, now)), rule.name


@MANY
@given(facts.occupied, facts.seens | facts.present_seens, facts.limits)
def test_a_review_that_went_through_json_says_the_same(lease: Lease, seen: Seen, limits: Limits) -> None:
    made = review_of(lease, seen, limits=limits)
    read = decision_record.read_review(json.loads(json.dumps(decision_record.write_review(made))))

    before, after = review(made), review(read)
    event(str(getattr(before, "cause", type(before).__name__)))
    assert after == before


@MANY
@given(facts.occupied, facts.seens | facts.present_seens, facts.limits, st.integers(-90_000, 90_000))
def test_from_what_bears_on_a_review_it_says_at_any_time_what_it_says_from_everything(
    lease: Lease, seen: Seen, limits: Limits, seconds: int
) -> None:
    reduced, now = relevant_to_review(lease, seen), NOW + timedelta(seconds=seconds)

    assert review(review_of(*reduced, limits=limits, now=now)) == review(review_of(lease, seen, limits=limits, now=now))


@MANY
@given(facts.asks, facts.groups)
def test_what_is_left_out_is_left_out_of_what_is_written(ask: Ask, group: Group) -> None:
    """Nothing that no one reads costs room: no reasons of waiters, no past brakes, no policies that no one asks for."""
    reduced = relevant_to(ask, group)
    asked = {ask.subject, *(waiter.ask.subject for waiter in reduced.waiters)}

    assert not any(waiter.reasons for waiter in reduced.waiters)
    assert ask.node in group.turns or group.limits.order != Order.ASKED or not reduced.waiters
    assert {(brake.kind, brake.subject) for brake in reduced.brakes} <= asked
    assert set(reduced.policies) <= asked
    assert list(reduced.members) == list(group.members)
