"""Who is in which group, reported by nodes and by groups, in whatever order the answers come."""

from __future__ import annotations

import pytest

from agbot.fleet.membership import Membership
from agbot.rules.ids import GroupId, OrgId
from tests.support.values import ANNA, BERT, CARL, GROUP

FANS = GroupId("o1/fans")


def test_nothing_is_known_of_a_node_that_was_never_seen() -> None:
    empty = Membership()

    assert empty.group_of(ANNA) is None
    assert not empty.has_seen(ANNA)
    assert empty.of_group(GROUP) == ()


def test_a_groups_list_and_a_nodes_own_word_say_the_same() -> None:
    by_group, by_node = Membership(), Membership()
    by_group.set_members(GROUP, [BERT, ANNA], begun=1)
    by_node.set_group(ANNA, GROUP, begun=1)
    by_node.set_group(BERT, GROUP, begun=2)

    assert by_group.of_group(GROUP) == by_node.of_group(GROUP) == (ANNA, BERT)
    assert by_group.group_of(ANNA) == by_node.group_of(ANNA) == GROUP


def test_a_node_is_in_one_group_at_most() -> None:
    known = Membership()
    known.set_members(GROUP, [ANNA, BERT], begun=1)
    known.set_members(FANS, [ANNA, CARL], begun=2)

    assert known.of_group(GROUP) == (BERT,)
    assert known.of_group(FANS) == (ANNA, CARL)


@pytest.mark.parametrize(("node_begun", "group_begun", "in_group"), [(1, 2, True), (2, 1, False), (2, 2, True)])
def test_the_reading_that_began_later_is_right(*, node_begun: int, group_begun: int, in_group: bool) -> None:
    """The node says that it is in no group, the group's list has it.

    At the same time both come from one look at an organisation.
    """
    known = Membership()
    known.set_group(ANNA, None, begun=node_begun)
    known.set_members(GROUP, [ANNA], begun=group_begun)

    assert (ANNA in known.of_group(GROUP)) is in_group


def test_a_late_list_without_a_node_does_not_take_it_out() -> None:
    known = Membership()
    known.set_members(GROUP, [ANNA, BERT], begun=1)
    known.set_group(ANNA, GROUP, begun=5)
    known.set_members(GROUP, [], begun=3)

    assert known.of_group(GROUP) == (ANNA,)


def test_a_node_that_has_left_is_still_known() -> None:
    known = Membership()
    known.set_group(ANNA, GROUP, begun=1)
    known.set_group(ANNA, None, begun=2)

    assert known.has_seen(ANNA)
    assert tuple(known.of_org(OrgId("o1"))) == (ANNA,)
    assert known.of_group(GROUP) == ()


def test_an_empty_group_takes_no_memory() -> None:
    known = Membership()
    known.set_members(GROUP, [ANNA], begun=1)
    known.set_members(GROUP, [], begun=2)

    assert known._members == {}  # noqa: SLF001 - memory is the point here
