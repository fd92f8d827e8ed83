"""What the operator writes under [rules] and in scopes is what the rules measure against."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from agbot.rules.ids import group_id
from agbot.rules.limits import Limits, Order
from agbot.settings import windows
from agbot.settings.limits import limits, limits_of
from agbot.settings.model import RuleSettings, Scope, Settings


def test_the_defaults_are_the_same_on_both_sides() -> None:
    assert limits(RuleSettings()) == Limits()
    assert [*(each.name for each in fields(RuleSettings)), "order_property"] == [each.name for each in fields(Limits)]


@pytest.mark.parametrize(
    "name", [each.name for each in fields(Limits) if each.name not in {"windows", "order", "order_property"}]
)
def test_every_number_arrives(name: str) -> None:
    number: Any = {name: 77}

    assert getattr(limits(replace(RuleSettings(), **number)), name) == 77


def test_the_order_arrives_as_its_word() -> None:
    assert limits(RuleSettings(order="oldest-version")).order is Order.OLDEST_VERSION


def test_an_order_by_property_arrives_with_the_name_of_the_property() -> None:
    by_zone = limits(RuleSettings(order="property:site:zone"))

    assert (by_zone.order, by_zone.order_property) == (Order.PROPERTY, "site:zone")


def test_windows_arrive_parsed() -> None:
    text = "sat 22:00-04:00 Europe/Berlin"

    assert limits(RuleSettings(windows=(text,))).windows == (windows.parse(text),)


def test_each_group_gets_the_limits_of_its_scopes() -> None:
    settings = Settings(rules=RuleSettings(min_available=3), scopes=(Scope(pattern="o1", values={"min_available": 2}),))
    of = limits_of(settings)

    assert of(group_id("o1", "g1")) == Limits(min_available=2)
    assert of(group_id("o2", "g1")) == Limits(min_available=3)


def test_a_group_s_limits_are_worked_out_once_for_all_its_questions() -> None:
    of = limits_of(Settings(rules=RuleSettings(windows=("mon 01:00-02:00",))))

    assert of(group_id("o1", "g1")) is of(group_id("o1", "g1"))
