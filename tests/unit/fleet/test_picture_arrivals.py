"""Who joins is noticed wherever that is learnt, and what was seen of its agreements then is kept apart from what was not read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agbot.exchange import resources
from agbot.fleet import changes
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.rules.facts import Member, Node
from agbot.rules.ids import GroupId, OrgId, name_of
from tests.support.values import ANNA, BERT, CARL, GROUP, NOW, agreement, at, node

ORG = OrgId("o1")
FANS = GroupId("o1/fans")
ITS_AGREEMENTS = Read(what=What.AGREEMENTS, id=ANNA)


def read_whole(picture: Picture, *members: Node) -> None:
    groups = {each.group: [other.id for other in members if other.group == each.group] for each in members}
    listed = {group: nodes for group, nodes in groups.items() if group is not None}
    picture.learn_org(ORG, listed, {each.id: each for each in members}, begun=picture.begin(), now=NOW)


def known() -> Picture:
    """Make a picture of an organisation in which Bert is the only member, and Anna in no group."""
    picture = Picture()
    read_whole(picture, node(BERT), node(ANNA, group=None))
    return picture


def report(picture: Picture, resource: str, operation: str, ago: float = 0) -> None:
    picture.apply(resources.change(ORG, resource, name_of(ANNA), operation, at=at(ago)), NOW)


def by_list(picture: Picture) -> None:
    picture.learn_group(GROUP, (ANNA, BERT), begun=picture.begin(), now=NOW)


def by_node(picture: Picture) -> None:
    picture.learn_node(ANNA, node(ANNA), begun=picture.begin(), now=NOW)


def by_org(picture: Picture) -> None:
    read_whole(picture, node(ANNA), node(BERT))


JOINS = pytest.mark.parametrize("join", [by_list, by_node, by_org])


def lost_at(picture: Picture) -> object:
    member = picture.member(ANNA)
    assert isinstance(member, Member)
    return member.service_lost_at


@JOINS
def test_a_join_is_reported_once_wherever_it_is_learnt(join: Callable[[Picture], None]) -> None:
    picture = known()

    join(picture)
    by_node(picture)

    assert picture.take_arrivals() == (ANNA,)
    assert picture.take_arrivals() == ()


@JOINS
def test_who_is_there_at_the_first_look_has_not_joined(join: Callable[[Picture], None]) -> None:
    picture = Picture()

    join(picture)

    assert picture.take_arrivals() == ()


def test_who_comes_from_another_group_has_joined() -> None:
    picture = Picture()
    read_whole(picture, node(ANNA, group=FANS), node(BERT))

    by_list(picture)

    assert picture.take_arrivals() == (ANNA,)


def test_who_has_left_again_has_not_joined() -> None:
    picture = known()
    by_list(picture)

    picture.apply(resources.change(ORG, "ha_group", name_of(GROUP), "modified", at=at(0)), NOW)
    picture.learn_group(GROUP, (BERT,), begun=picture.begin(), now=NOW)

    assert picture.take_arrivals() == ()


@JOINS
def test_the_agreements_of_one_that_joins_after_a_loss_have_to_be_read(join: Callable[[Picture], None]) -> None:
    picture = known()
    report(picture, "nodeagreements", "deleted", ago=5)
    join(picture)
    by_node(picture)

    assert ITS_AGREEMENTS in picture.unread(GROUP)
    assert ITS_AGREEMENTS in picture.eager()
    assert lost_at(picture) is None

    picture.learn_agreements(ANNA, (), begun=picture.begin(), now=NOW)

    assert ITS_AGREEMENTS not in picture.unread(GROUP)
    assert picture.eager() == ()
    assert lost_at(picture) == at(5)


def test_a_loss_that_is_reported_after_the_join_outdates_what_was_read() -> None:
    picture = known()
    by_node(picture)
    picture.learn_agreements(ANNA, (agreement("old"),), begun=picture.begin(), now=NOW)

    report(picture, "nodeagreements", "deleted")

    assert ITS_AGREEMENTS in picture.eager()
    assert lost_at(picture) is None


def test_who_joins_in_peace_costs_no_look_at_its_agreements() -> None:
    picture = known()
    by_node(picture)

    assert ITS_AGREEMENTS not in (*picture.unread(GROUP), *picture.eager())


def test_a_new_node_of_the_same_name_has_lost_nothing() -> None:
    picture = known()
    report(picture, "nodeagreements", "deleted")
    report(picture, "node", "created")
    by_node(picture)

    assert ITS_AGREEMENTS not in picture.eager()


def test_a_node_that_was_unregistered_has_lost_nothing_to_an_upgrade() -> None:
    picture = known()
    report(picture, "nodeagreements", "deleted")
    picture.learn_node(ANNA, node(ANNA, registered=False), begun=picture.begin(), now=NOW)
    by_node(picture)

    assert ITS_AGREEMENTS not in picture.eager()


def test_a_late_list_moves_no_one() -> None:
    picture = known()
    early = picture.begin()
    picture.learn_group(GROUP, (BERT, CARL), begun=picture.begin(), now=NOW)
    picture.take_arrivals()

    picture.learn_group(GROUP, (ANNA, BERT), begun=early, now=NOW)

    assert picture.take_arrivals() == ()


@pytest.mark.parametrize(
    ("resource", "operation", "is_lost"),
    [
        ("nodeagreements", "deleted", True),
        ("nodeagreements", "created/modified", False),
        ("agbotagreements", "deleted", False),
        ("node", "deleted", False),
    ],
)
def test_only_the_end_of_a_nodes_agreement_is_a_loss(*, resource: str, operation: str, is_lost: bool) -> None:
    change = resources.change(ORG, resource, "x", operation)

    assert changes.is_lost_agreement(change) is is_lost
