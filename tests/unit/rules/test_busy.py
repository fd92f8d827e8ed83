"""A node's own word that it is busy: what it stops, for how long, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from agbot.rules import busy as rules
from agbot.rules.busy import NotNow, noted
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code
from agbot.rules.records import BusyState
from agbot.rules.rule import Case
from tests.support.values import ANNA, BERT, NOW, ask, at, busy, case, group, limits

HOUR = 3600.0


def test_an_agent_upgrade_waits_until_the_stated_time_with_the_node_s_own_text() -> None:
    decision = decide(case(ask(BERT), group(busy={BERT: busy(left=300)})))

    assert isinstance(decision, Wait)
    (reason,) = decision.reasons
    assert (reason.code, reason.until) == (Code.NODE_BUSY, at(-300))
    assert reason.text.startswith(f"{BERT} has asked for its agent not to be upgraded until ")
    assert reason.text.endswith(": a batch runs")


def test_neither_a_service_upgrade_nor_another_member_waits_for_it() -> None:
    facts = group(busy={BERT: busy()})

    assert decide(case(ask(BERT, Kind.SERVICE), facts)) == Grant()
    assert decide(case(ask(ANNA), facts)) == Grant()


@pytest.mark.parametrize(("since", "left"), [(600, 0), (600, -1), (4 * HOUR, 600), (9 * HOUR, 600)])
def test_what_is_over_or_lasts_longer_than_the_bound_stops_nothing(since: float, left: float) -> None:
    facts = group(busy={BERT: busy(since=since, left=left)}, limits=limits(max_busy_seconds=4 * HOUR))

    assert decide(case(ask(BERT), facts)) == Grant()


def test_with_a_bound_of_zero_it_is_always_ignored_and_the_bound_is_the_end_if_it_comes_first() -> None:
    never = group(busy={BERT: busy(since=0)}, limits=limits(max_busy_seconds=0))
    soon = group(busy={BERT: busy(since=60, left=HOUR)}, limits=limits(max_busy_seconds=100))

    assert decide(case(ask(BERT), never)) == Grant()
    decision = decide(case(ask(BERT), soon))
    assert isinstance(decision, Wait)
    assert decision.reasons[0].until == at(-40)


def test_while_the_date_is_in_doubt_it_goes_on() -> None:
    unsure = structs.replace(NOW, is_steady=False)

    assert isinstance(decide(case(ask(BERT), group(busy={BERT: busy(left=-1)}), unsure)), Wait)


def test_what_is_ignored_is_among_the_facts_of_the_rule() -> None:
    facts = group(busy={BERT: busy(since=200)}, limits=limits(max_busy_seconds=100))
    evidence = rules.NOT_BUSY.evidence(Case(at=NOW, ask=ask(BERT), group=facts))

    assert evidence.facts["ignored_since"] == at(100)
    assert evidence.facts["says"] == "a batch runs"


def test_the_bound_is_counted_from_the_first_word_over_renewals_and_short_pauses() -> None:
    first = noted(BERT, NotNow(for_seconds=600), None, at(5000))
    assert first is not None
    renewed = noted(BERT, NotNow(for_seconds=600, reason="still"), first, at(4500))
    ended = noted(BERT, None, renewed, at(4400))
    again = noted(BERT, NotNow(until=at(-60)), ended, at(4000))
    later = noted(BERT, NotNow(until=at(-60)), ended, at(4400) + rules.PAUSE)

    assert renewed is not None
    assert ended is not None
    assert again is not None
    assert later is not None
    assert (first.since, first.until) == (at(5000), at(4400))
    assert (renewed.since, renewed.until, renewed.why) == (at(5000), at(3900), "still")
    assert (ended.since, ended.until, ended.state) == (at(5000), at(4400), BusyState.OVER)
    assert (again.since, again.state) == (at(5000), BusyState.BUSY)
    assert later.since == at(4400) + rules.PAUSE


def test_the_end_of_what_never_began_is_nothing_and_a_time_in_the_past_is_an_end() -> None:
    assert noted(BERT, None, None, NOW.wall) is None
    assert noted(BERT, NotNow(until=at(1)), None, NOW.wall) is None
    ended = noted(BERT, NotNow(until=at(1)), busy(), NOW.wall)
    assert ended is not None
    assert ended.state is BusyState.OVER


def test_no_word_counts_for_more_than_a_week_and_one_that_is_ignored_stays_so_when_renewed() -> None:
    ignored = replace(busy(), state=BusyState.IGNORED)
    found = noted(BERT, NotNow(until=NOW.wall + timedelta(days=300)), ignored, NOW.wall)

    assert found is not None
    assert (found.until, found.state) == (NOW.wall + timedelta(days=7), BusyState.IGNORED)
