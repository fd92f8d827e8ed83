"""A guarded hub in which everything fails upgrades one member at a time, and the judges notice a guard or a coordinator that is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from agbot.rules import service_progress
from agbot.rules.holder import Review
from agbot.rules.verdict import Verdict
from tests.simulation import guard_courses, guarded
from tests.simulation.guard_courses import Course
from tests.simulation.guard_deeds import GROUPS, MEMBERS
from tests.simulation.guard_site import guard_sql
from tests.support.examples import ALL_EXAMPLES, thorough
from tests.support.postgres import Postgres

SEED = 0
Plant = Callable[[pytest.MonkeyPatch], str]


def test_whatever_fails_around_the_guard_one_member_upgrades_at_a_time_and_all_get_there(
    postgres_server: Postgres,
) -> None:
    outcome = guarded.play(SEED, postgres_server)
    assert outcome.broken == []
    assert outcome.upgrades >= GROUPS * MEMBERS
    assert len(outcome.deeds) >= 6, "this proves little"


def triggers_ignore_the_lease(_patch: pytest.MonkeyPatch) -> str:
    sql = guard_sql()
    for right, wrong in (
        ("RETURN CASE WHEN decided.granted THEN new END", "RETURN new"),
        ("IF decided.granted THEN", "IF true THEN"),
    ):
        assert right in sql
        sql = sql.replace(right, wrong)
    return sql


def rows_of_dead_members_stay(patch: pytest.MonkeyPatch) -> str:
    patch.setattr("agbot.coordinator.guarded.guarded.why_deleted", lambda *_args, **_more: None)
    return guard_sql()


def who_is_not_silent_counts_as_alive(patch: pytest.MonkeyPatch) -> str:
    """After a start no one is silent, because silence was not counted before it."""
    right = service_progress.review_service
    settled_at: Any = Review.settled_at

    def reviewed(case: Review) -> Verdict:
        with patch.context() as within:
            within.setattr(Review, "settled_at", property(lambda case: settled_at.fget(case) and case.now.seen))
            return right(case)

    patch.setattr("agbot.rules.review.review_service", reviewed)
    return guard_sql()


DEFECTS: dict[Plant, tuple[str, Course | None]] = {
    triggers_ignore_the_lease: ("one at a time", None),
    who_is_not_silent_counts_as_alive: ("one at a time", guard_courses.dies_with_its_service_down),
    rows_of_dead_members_stay: ("has not got its service", guard_courses.dies_in_its_service_upgrade),
}
_HAS_ALL = bool(os.environ.get(ALL_EXAMPLES))
PLAYED = list(DEFECTS.items())[: None if _HAS_ALL else 2]
"""`make simulate` plays all: the last one is noticed only after everything had its time."""
DEATHS = [guard_courses.dies_with_its_service_down, guard_courses.dies_in_its_service_upgrade]
PROMOTIONS = [
    guard_courses.a_replica_is_promoted_that_lacks_the_grant,
    guard_courses.a_replica_is_promoted_before_its_holder_begins,
]


@pytest.mark.parametrize(("plant", "noticed"), PLAYED)
def test_the_judges_notice_what_is_wrong_with_the_guard(
    postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch, plant: Plant, noticed: tuple[str, Course | None]
) -> None:
    text, course = noticed
    outcome = guarded.play(SEED, postgres_server, plant(monkeypatch), course)
    assert any(text in each for each in outcome.broken)


@thorough
@pytest.mark.parametrize("course", DEATHS)
def test_after_the_death_of_a_member_in_its_service_upgrade_the_others_get_there_one_at_a_time(
    postgres_server: Postgres, course: Course
) -> None:
    assert guarded.play(SEED, postgres_server, course=course).broken == []


@pytest.mark.parametrize("course", PROMOTIONS if _HAS_ALL else PROMOTIONS[:1])
def test_after_a_replica_was_promoted_all_get_there_one_at_a_time(postgres_server: Postgres, course: Course) -> None:
    outcome = guarded.play(SEED, postgres_server, course=course)
    assert outcome.broken == []
    assert outcome.upgrades >= GROUPS * MEMBERS
