"""A node that comes back is known by the pause between two of its heartbeats."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.fleet import heartbeats
from agbot.rules.facts import Node, Sight
from tests.support.values import ANNA, at, node


@pytest.mark.parametrize(
    ("before", "back_ago"),
    [
        (node(ANNA, ago=129), None),
        (node(ANNA, ago=130), 10),
        (node(ANNA, ago=9000, back_at=at(9999)), 10),
        (node(ANNA, ago=40, back_at=at(70)), 70),
        (node(ANNA, ago=None), None),
        (Sight.UNREAD, None),
    ],
    ids=["no pause", "a pause", "another pause", "back already", "its first heartbeat", "its first read"],
)
def test_a_pause_of_two_minutes_is_one(before: Node | Sight, back_ago: float | None) -> None:
    found = heartbeats.back_since(before, node(ANNA, ago=10))

    assert found == (None if back_ago is None else at(back_ago))


def test_a_node_without_a_heartbeat_is_not_back() -> None:
    assert heartbeats.back_since(node(ANNA, ago=500), replace(node(ANNA), heartbeat_at=None)) is None
