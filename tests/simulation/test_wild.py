"""The wild things of the simulation: that they are drawn, and that the faults which they once showed are found when they are planted."""

from __future__ import annotations

import pytest

from tests.simulation import controls, defects, wild
from tests.simulation.defects import Defect
from tests.simulation.plan import draw
from tests.simulation.run import play
from tests.simulation.story import Promise
from tests.simulation.wild import Kind
from tests.support.examples import some


def test_every_kind_that_the_product_stands_is_drawn_in_many_seeds() -> None:
    plans = [wild.added(controls.added(draw(seed))) for seed in range(300)]

    for kind in wild.DRAWN:
        assert sum(kind in plan.wild for plan in plans) > 20, kind
    assert not any(kind in plan.wild for plan in plans for kind in frozenset(Kind) - wild.DRAWN)
    assert not any(plan.wild for plan in plans if plan.is_controlled)


def test_some_outages_are_longer_than_a_lease_and_some_clocks_step_by_a_day() -> None:
    plans = [wild.added(draw(seed), frozenset(Kind), share=1.0) for seed in range(60)]
    outages = [
        event.seconds / plan.limits.lease_seconds
        for plan in plans
        for event in plan.events
        if event.fault and event.fault.kind in {"drop", "status"}
    ]

    assert sum(share > 1 for share in outages) > 20
    assert any(abs(event.pick) == 86_400 for plan in plans for event in plan.events)


def first_broken(kind: Kind, seeds: range) -> Promise | None:
    for seed in seeds:
        broken = play(seed, only=frozenset({kind})).broken
        if broken is not None:
            return broken.promise
    return None


@pytest.mark.parametrize(
    ("defect", "kind", "first", "promises"),
    some(
        [
            (defects.one_absence_is_believed, Kind.ABSENCE, 8, {Promise.UNKNOWN_IS_NOT_DONE, Promise.ONE_HOLDER}),
            (defects.blindness_counts_as_silence, Kind.OUTAGE, 10, {Promise.NO_TRUST_NO_GRANT}),
            (defects.a_step_of_the_date_is_believed, Kind.OUR_CLOCK, 42, {Promise.NO_TRUST_NO_GRANT}),
            (defects.the_agbots_lists_are_read_by_the_cycle_alone, Kind.ROWS, 3, {Promise.NO_TRUST_NO_GRANT}),
            (
                defects.a_policy_is_guessed_from_the_feed,
                Kind.CONSTRAINTS,
                9,
                {Promise.WORDS, Promise.UNKNOWN_IS_NOT_DONE},
            ),
            (defects.who_asks_no_one_is_not_seen, Kind.BYPASS, 4, {Promise.ONE_HOLDER}),
            (defects.a_replaced_store_goes_on_granting, Kind.STORE, 10, {Promise.NO_TRUST_NO_GRANT}),
        ],
        every=4,
    ),
)
def test_a_planted_defect_is_found(defect: Defect, kind: Kind, first: int, promises: set[Promise]) -> None:
    """Each begins at a seed that is known to show it; if that changes, it only takes longer."""
    with defect():
        assert first_broken(kind, range(first, first + 12)) in promises
