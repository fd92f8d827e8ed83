"""A limit in percent is as many as a person would count."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest

from agbot.rules.decide import Wait, decide
from agbot.rules.ids import GroupId
from agbot.rules.limits import share_of
from agbot.rules.reasons import Code
from tests.support.values import ask, brake, case, group, limits
from tests.unit.rules.situations import codes


@pytest.mark.parametrize("tenths", range(0, 1001, 7))
def test_a_share_is_rounded_up_from_its_exact_value(tenths: int) -> None:
    exact = [ceil(Fraction(tenths, 10) * whole / 100) for whole in range(1, 1001)]

    assert [share_of(tenths / 10, whole) for whole in range(1, 1001)] == exact


def test_the_least_share_of_the_fewest_groups_is_one() -> None:
    """It is no limit at all if it is 0."""
    assert [share_of(percent, whole) for percent in (1e-9, 1e-300) for whole in (1, 1000)] == [1, 1, 1, 1]
    assert share_of(0.0, 1000) == share_of(50.0, 0) == 0


def test_seven_percent_of_a_hundred_groups_are_seven_failed_groups_and_not_eight() -> None:
    failed = tuple(replace(brake(), group=GroupId(f"o1/g{number}")) for number in range(7))
    facts = group(org_brakes=failed, org_groups=100, limits=limits(org_brake_groups=0, org_brake_percent=7.0))

    decision = decide(case(ask(), facts))

    assert isinstance(decision, Wait)
    assert Code.ORG_BRAKE in codes(decision)
