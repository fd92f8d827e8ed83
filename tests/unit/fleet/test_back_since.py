"""A node that comes back is known by the pause between two of its heartbeats."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from agbot.fleet import heartbeats
from agbot.rules.facts import Node, Sight
from tests.support.values import ANNA, at, node

UNREAD_FOR = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("before", "interval_seconds", "back_ago"),
    [
        (node(ANNA, ago=175), 0, None),
        (node(ANNA, ago=176), 0, 10),
        (node(ANNA, ago=600), 600, None),
        (node(ANNA, ago=700), 600, 10),
        (node(ANNA, ago=100), 20, 10),
        (node(ANNA, ago=9000, back_at=at(9999)), 0, 10),
        (node(ANNA, ago=40, back_at=at(70)), 0, 70),
        (node(ANNA, ago=None), 0, None),
        (Sight.UNREAD, 0, None),
    ],
    ids=[
        "no pause",
        "a pause",
        "within its long interval",
        "longer than its long interval",
        "longer than its short interval",
        "another pause",
        "back already",
        "its first heartbeat",
        "its first read",
    ],
)
def test_a_heartbeat_that_comes_much_later_than_by_the_interval_is_the_first_after_a_pause(
    before: Node | Sight, interval_seconds: float, back_ago: float | None
) -> None:
    after = structs.replace(node(ANNA, ago=10), heartbeat_interval_seconds=interval_seconds)

    found = heartbeats.back_since(before, after, UNREAD_FOR)

    assert found == (None if back_ago is None else at(back_ago))


def test_heartbeats_that_could_not_be_seen_between_two_reads_make_no_pause() -> None:
    assert heartbeats.back_since(node(ANNA, ago=9000), node(ANNA, ago=10), timedelta(seconds=9000)) is None


def test_a_node_without_a_heartbeat_is_not_back() -> None:
    assert (
        heartbeats.back_since(node(ANNA, ago=500), structs.replace(node(ANNA), heartbeat_at=None), UNREAD_FOR) is None
    )
