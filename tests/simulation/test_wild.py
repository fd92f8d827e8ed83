"""The wild things of the simulation: that they are drawn, and that the faults which they once showed are found when they are planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from agbot.fleet.absence import Absences
from agbot.fleet.changes import Read
from agbot.rules.seen_time import SeenTime
from tests.simulation import controls, wild
from tests.simulation.plan import draw
from tests.simulation.run import play
from tests.simulation.story import Promise
from tests.simulation.wild import Kind

Defect = Callable[[], AbstractContextManager[None]]


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


@contextmanager
def one_absence_is_believed() -> Iterator[None]:
    def confirms(self: Absences, read: Read, *, begun: int, now: SeenTime) -> bool:
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Absences, "confirms", confirms)
        yield


def first_broken(kind: Kind, seeds: range) -> Promise | None:
    for seed in seeds:
        broken = play(seed, only=frozenset({kind})).broken
        if broken is not None:
            return broken.promise
    return None


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("defect", "kind", "promises"),
    [(one_absence_is_believed, Kind.ABSENCE, {Promise.UNKNOWN_IS_NOT_DONE, Promise.ONE_HOLDER})],
)
def test_a_planted_defect_is_found(defect: Defect, kind: Kind, promises: set[Promise]) -> None:
    with defect():
        assert first_broken(kind, range(40)) in promises
