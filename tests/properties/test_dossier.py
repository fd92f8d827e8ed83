"""A decision can be derived again from what is kept of it, for arbitrary groups and questions."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from agbot.coordinator import dossier
from agbot.coordinator.dossier import Review
from agbot.rules.bearing import bearing_on, bearing_on_review
from agbot.rules.decide import RULES, decide, why_not
from agbot.rules.facts import Ask, Group
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits, Order
from agbot.rules.review import Seen, review
from tests.properties import strategies as facts
from tests.properties.test_decide import questions
from tests.support.values import NOW

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(questions(), st.booleans())
def test_a_dossier_that_went_through_json_gives_the_same_decision(question: tuple[Ask, Group], is_steady: bool) -> None:
    ask, group = question
    now = replace(NOW, is_steady=is_steady)
    read = dossier.read(json.loads(json.dumps(dossier.write(ask, group, now))))

    before, after = decide(ask, group, now), decide(read.ask, read.group, read.at)
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
    reduced, now = bearing_on(ask, group), NOW + timedelta(seconds=seconds)

    for rule in RULES:
        assert rule(ask, reduced, now) == rule(ask, group, now), rule.__name__


@MANY
@given(facts.occupied, facts.seens | facts.present_seens, facts.limits)
def test_a_review_that_went_through_json_says_the_same(lease: Lease, seen: Seen, limits: Limits) -> None:
    made = Review(at=NOW, lease=lease, seen=seen, limits=limits)
    read = dossier.read_review(json.loads(json.dumps(dossier.write_review(made))))

    before, after = review(lease, seen, limits, NOW), review(read.lease, read.seen, read.limits, read.at)
    event(str(getattr(before, "cause", type(before).__name__)))
    assert after == before


@MANY
@given(facts.occupied, facts.seens | facts.present_seens, facts.limits, st.integers(-90_000, 90_000))
def test_from_what_bears_on_a_review_it_says_at_any_time_what_it_says_from_everything(
    lease: Lease, seen: Seen, limits: Limits, seconds: int
) -> None:
    reduced, now = bearing_on_review(lease, seen), NOW + timedelta(seconds=seconds)

    assert review(*reduced, limits, now) == review(lease, seen, limits, now)


@MANY
@given(facts.asks, facts.groups)
def test_what_is_left_out_is_left_out_of_what_is_written(ask: Ask, group: Group) -> None:
    """Nothing that nobody reads costs room: no reasons of waiters, no past brakes, no policies that nobody asks for."""
    reduced = bearing_on(ask, group)
    asked = {ask.subject, *(waiter.ask.subject for waiter in reduced.waiters)}

    assert not any(waiter.reasons for waiter in reduced.waiters)
    assert ask.node in group.served or group.limits.order != Order.ASKED or not reduced.waiters
    assert {(brake.kind, brake.subject) for brake in reduced.brakes} <= asked
    assert set(reduced.policies) <= asked
    assert list(reduced.members) == list(group.members)
