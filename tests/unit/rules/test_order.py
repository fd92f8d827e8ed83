"""The order of members, where an operator has set one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.group import Group
from agbot.rules.ids import NodeId
from agbot.rules.limits import Order
from agbot.rules.order import numbered
from agbot.rules.reasons import Cause
from tests.support.values import ANNA, BERT, CARL, ask, case, group, limits, member, turn, waiter

EVERYBODY_WAITS = (waiter(ANNA), waiter(BERT), waiter(CARL))


def goes_first(facts: Group) -> list[NodeId]:
    return [node for node in facts.members if isinstance(decide(case(ask(node), facts)), Grant)]


def test_by_name_exactly_the_first_name_goes() -> None:
    facts = group(waiters=EVERYBODY_WAITS, limits=limits(order=Order.NAME))

    assert goes_first(facts) == [ANNA]


def test_by_version_the_oldest_agent_goes_and_2_9_is_older_than_2_31() -> None:
    members = (
        member(ANNA, agent_version="2.31.0"),
        member(BERT, agent_version="2.9.0"),
        member(CARL, agent_version="2.31.0-1"),
    )
    facts = group(*members, waiters=EVERYBODY_WAITS, limits=limits(order=Order.OLDEST_VERSION))

    assert goes_first(facts) == [BERT]


def test_by_a_property_the_lowest_zone_goes_first_and_nodes_without_one_go_last() -> None:
    by_zone = limits(order="property:zone")
    zones = {ANNA: {"rack": "1"}, BERT: {"zone": "10"}, CARL: {"zone": "9"}}
    members = tuple(member(name, properties=zones[name]) for name in (ANNA, BERT, CARL))
    facts = group(*members, waiters=EVERYBODY_WAITS, limits=by_zone)

    assert goes_first(facts) == [CARL]
    assert goes_first(structs.replace(facts, waiters=(waiter(ANNA), waiter(BERT)))) == [BERT, CARL]
    assert goes_first(structs.replace(facts, waiters=(waiter(ANNA),))) == [ANNA, BERT, CARL]


def test_within_a_zone_the_name_decides_and_the_reason_names_the_property() -> None:
    by_zone = limits(order="property:zone")
    members = tuple(member(name, properties={"zone": "east"}) for name in (ANNA, BERT, CARL))
    facts = group(*members, waiters=EVERYBODY_WAITS, limits=by_zone)

    decision = decide(case(ask(BERT), facts))

    assert goes_first(facts) == [ANNA]
    assert isinstance(decision, Wait)
    assert decision.reasons[0].text.endswith("and comes first in the order property:zone")
    assert decision.reasons[0].facts == {"waiter": ANNA, "order": "property:zone"}


@pytest.mark.parametrize("order", Order)
def test_a_waiter_that_has_left_the_group_has_no_place_in_the_order(order: Order) -> None:
    facts = group(member(BERT), member(CARL), waiters=(waiter(ANNA),), limits=limits(order=order))

    assert goes_first(facts) == [BERT, CARL]
    assert isinstance(decide(case(ask(ANNA), structs.replace(facts, waiters=(waiter(BERT),)))), Wait)


def test_one_whose_heartbeat_is_old_comes_after_those_that_are_alive() -> None:
    members = (member(ANNA, ago=301), member(BERT), member(CARL))
    facts = group(*members, waiters=EVERYBODY_WAITS, limits=limits(order=Order.NAME))

    assert goes_first(facts) == [BERT]


def test_one_whose_last_claim_meant_nothing_comes_last() -> None:
    marks = {ANNA: turn(ANNA, ago=200, cause=Cause.UNCONFIRMED)}
    facts = group(waiters=EVERYBODY_WAITS, turns=marks, limits=limits(order=Order.NAME))

    assert goes_first(facts) == [BERT]


def test_no_one_yields_to_one_that_does_not_ask_or_cannot_go() -> None:
    silent = group(waiters=(waiter(ANNA, asked=200),), limits=limits(order=Order.NAME))
    alone = group(
        member(ANNA), member(BERT), member(CARL, ago=900), waiters=(waiter(ANNA),), limits=limits(order=Order.NAME)
    )

    assert isinstance(decide(case(ask(CARL), silent)), Grant)
    assert goes_first(alone) == [ANNA]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("2.9", "2.31"),
        ("2.31.0", "2.31.1"),
        ("", "1"),
        ("2.31.0", "2.31.0-2"),
        ("1.10", "2.0"),
        ("1." + "9" * 5000, "2.0"),
    ],
)
def test_versions_are_compared_by_their_numbers(older: str, newer: str) -> None:
    assert numbered(older) < numbered(newer)


@given(st.permutations([ANNA, BERT, CARL]), st.sampled_from([Order.NAME, Order.OLDEST_VERSION]))
def test_in_every_order_exactly_one_of_those_who_wait_may_go(names: list[NodeId], order: Order) -> None:
    members = [member(name, agent_version=f"2.{place}") for place, name in enumerate(names)]
    facts = group(*members, waiters=EVERYBODY_WAITS, limits=limits(order=order))

    assert len(goes_first(facts)) == 1


@pytest.mark.parametrize("text", ["\u00b2", "2.\u00b2", "\u0663", "\u2460", "9" * 5000, "\ud800", "\u09f4", ""])
def test_any_text_has_a_place_in_the_order(text: str) -> None:
    assert sorted([numbered(text), numbered("2.31.0"), numbered("zone a")])
    assert numbered(text) == numbered(text)


def test_leading_zeros_make_no_difference() -> None:
    assert numbered("2.007") == numbered("2.7") < numbered("2.10")
