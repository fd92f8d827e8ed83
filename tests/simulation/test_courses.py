"""The courses of events that are laid out: the product keeps every promise in them, and the fault that each is for is found."""

from __future__ import annotations

import pytest

from tests.simulation import defects
from tests.simulation.courses import Course
from tests.simulation.defects import Defect
from tests.simulation.run import play
from tests.simulation.story import Promise
from tests.support.examples import some

_SEEDS = range(4)
"""With all of them `make simulate` plays every course; the faults show in the first or in one of
the others."""


@pytest.mark.parametrize("course", some(Course, every=4))
def test_the_product_keeps_every_promise_in_a_course(course: Course) -> None:
    outcome = play(_SEEDS[0], course=course)

    assert outcome.broken is None
    assert outcome.grants


@pytest.mark.parametrize(
    ("defect", "course", "promises"),
    some(
        [
            (defects.a_new_revision_alone_lifts_a_brake, Course.OLD_DOWNLOAD, {Promise.WORDS}),
            (defects.a_policy_that_is_deleted_ends_the_installation, Course.CUT_OFF, {Promise.ONE_HOLDER}),
            (defects.an_end_that_proves_nothing_opens_the_canary, Course.UNPROVEN, {Promise.CONTROLS}),
            (defects.what_no_row_reports_of_is_not_looked_for, Course.NO_ROW, {Promise.REASONS}),
            (defects.the_feed_is_read_from_the_newest_number, Course.LATE_ROW, {Promise.ONE_HOLDER}),
            (defects.an_exempt_yes_rests_on_an_old_report, Course.FROZEN, {Promise.ONE_HOLDER}),
            (defects.what_is_down_is_not_held, Course.DOWN, {Promise.ONE_HOLDER}),
            (defects.no_one_looks_while_the_store_fails, Course.STORE_FAILS, {Promise.OFFLINE_PEERS}),
        ],
        every=4,
    ),
)
def test_the_fault_that_a_course_is_for_is_found(defect: Defect, course: Course, promises: set[Promise]) -> None:
    with defect():
        broken = next((each for seed in _SEEDS if (each := play(seed, course=course).broken) is not None), None)

    assert broken is not None
    assert broken.promise in promises
