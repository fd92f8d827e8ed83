"""A heartbeat that follows another is no change of its group; anything else that a read shows is one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from agbot.fleet.picture import Picture
from agbot.rules.facts import Member, Node, NodeType, Sight
from agbot.rules.seen_time import Now
from tests.support.values import ANNA, BERT, GROUP, NOW, node


def known(**fields: Any) -> Node:
    return structs.replace(node(ANNA), **fields)


def learnt(*seen: Node | Sight) -> tuple[Picture, Now]:
    """Return a picture that has learnt these reads of Anna, ten seconds apart, and the time of the last."""
    picture, at = Picture(), NOW
    picture.learn_group(GROUP, (ANNA, BERT), begun=picture.begin(), now=at)
    for each in seen:
        picture.take_changed()
        at += timedelta(seconds=10)
        picture.learn_node(ANNA, each, begun=picture.begin(), now=at)
    return picture, at


def test_the_next_heartbeat_is_no_change_and_is_known_at_once() -> None:
    second = known(heartbeat_at=NOW.wall + timedelta(seconds=15))

    picture, at = learnt(known(heartbeat_at=NOW.wall), second)

    assert picture.take_changed() == ((), False)
    assert picture.node(ANNA) == second
    member = picture.read_members(GROUP)[ANNA]
    assert isinstance(member, Member)
    assert (member.node, member.read_at) == (second, at.seen)


@pytest.mark.parametrize(
    "changed",
    [
        {"registered": False},
        {"agent_version": "9.9"},
        {"heartbeat_interval_seconds": 7.0},
        {"pattern": "o1/p"},
        {"arch": "arm64"},
        {"node_type": NodeType.CLUSTER},
        {"heartbeat_at": None},
        {"heartbeat_at": NOW.wall + timedelta(minutes=2)},
        {"group": None},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_anything_else_is_a_change(changed: dict[str, Any]) -> None:
    picture, _ = learnt(known(heartbeat_at=NOW.wall), structs.replace(known(heartbeat_at=NOW.wall), **changed))

    assert picture.take_changed() == ((GROUP,), False)


def test_a_node_that_is_missing_is_a_change() -> None:
    picture, _ = learnt(known(heartbeat_at=NOW.wall), Sight.ABSENT)

    assert picture.take_changed() == ((GROUP,), False)


def test_a_read_of_what_a_change_had_outdated_is_a_change_whatever_it_shows() -> None:
    picture, at = learnt(known(heartbeat_at=NOW.wall))
    picture.outdate_everything()
    picture.take_changed()

    picture.learn_node(ANNA, known(heartbeat_at=NOW.wall), begun=picture.begin(), now=at)

    assert picture.take_changed() == ((GROUP,), False)
