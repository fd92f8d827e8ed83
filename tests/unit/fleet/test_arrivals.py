"""Joins and ended agreements: which of them belong together, and that nothing is kept for long."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from agbot.fleet.arrivals import Arrivals
from agbot.rules.ids import NodeId
from tests.support.values import ANNA, BERT, NOW


def after(seconds: float) -> datetime:
    return NOW.wall + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("joined", "belongs"), [(0, True), (600, True), (601, False), (-15, True), (-15.1, False)], ids=str
)
def test_a_loss_belongs_to_a_join_within_ten_minutes_or_to_one_moments_before(joined: float, *, belongs: bool) -> None:
    arrivals = Arrivals()
    arrivals.note_loss(ANNA, NOW.wall)
    arrivals.join(ANNA, after(joined))

    assert arrivals.lost_at(ANNA) == (NOW.wall if belongs else None)
    assert arrivals.joined_without_service() == ((ANNA,) if belongs else ())


def test_a_loss_alone_and_a_join_alone_mean_nothing() -> None:
    arrivals = Arrivals()
    arrivals.note_loss(ANNA, NOW.wall)
    arrivals.join(BERT, NOW.wall)

    assert arrivals.lost_at(ANNA) is None
    assert arrivals.lost_at(BERT) is None


def test_who_leaves_has_not_joined() -> None:
    arrivals = Arrivals()
    arrivals.note_loss(ANNA, NOW.wall)
    arrivals.join(ANNA, NOW.wall)
    arrivals.leave(ANNA)
    arrivals.leave(BERT)

    assert arrivals.lost_at(ANNA) is None
    assert arrivals.take_new() == ()


def test_a_loss_that_is_forgiven_is_forgotten() -> None:
    arrivals = Arrivals()
    arrivals.join(ANNA, NOW.wall)
    arrivals.note_loss(ANNA, NOW.wall)
    arrivals.forget_loss(ANNA)
    arrivals.forget_loss(BERT)

    assert arrivals.lost_at(ANNA) is None


def test_an_earlier_loss_that_is_shown_later_changes_nothing() -> None:
    arrivals = Arrivals()
    arrivals.note_loss(ANNA, after(60))
    arrivals.take_losses()
    arrivals.note_loss(ANNA, NOW.wall)

    assert arrivals.ended_at(ANNA) == after(60)
    assert arrivals.take_losses() == {}


def test_the_last_loss_counts() -> None:
    arrivals = Arrivals()
    arrivals.join(ANNA, NOW.wall)
    arrivals.note_loss(ANNA, NOW.wall)
    arrivals.note_loss(ANNA, after(10))
    assert arrivals.lost_at(ANNA) == after(10)

    arrivals.note_loss(ANNA, after(20))
    assert arrivals.lost_at(ANNA) is None


def test_each_arrival_is_reported_once() -> None:
    arrivals = Arrivals()
    arrivals.join(ANNA, NOW.wall)
    arrivals.join(BERT, NOW.wall)

    assert arrivals.take_new() == (ANNA, BERT)
    assert arrivals.take_new() == ()


def test_what_is_older_than_ten_minutes_is_not_kept() -> None:
    arrivals = Arrivals()
    for second in range(2000):
        arrivals.note_loss(NodeId(f"o1/n{second}"), after(second))
        arrivals.join(NodeId(f"o1/n{second}"), after(second))

    assert len(arrivals.joined_without_service()) == 601


def test_a_time_that_goes_back_drops_nothing() -> None:
    arrivals = Arrivals()
    arrivals.note_loss(ANNA, after(1000))
    arrivals.note_loss(BERT, NOW.wall)
    arrivals.join(ANNA, after(1000))

    assert arrivals.lost_at(ANNA) == after(1000)


def test_a_loss_is_reported_once_although_the_feed_repeats_its_last_rows() -> None:
    arrivals = Arrivals()
    arrivals.note_loss(ANNA, NOW.wall)

    assert arrivals.take_losses() == {ANNA: NOW.wall}
    arrivals.note_loss(ANNA, NOW.wall)
    assert arrivals.take_losses() == {}
    arrivals.note_loss(ANNA, after(1))
    arrivals.note_loss(BERT, after(1))
    arrivals.forget_loss(BERT)
    assert arrivals.take_losses() == {ANNA: after(1)}
