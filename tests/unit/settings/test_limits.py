"""What the operator writes under [rules] is what the rules measure against."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from agbot.rules.limits import Limits, Order
from agbot.settings import windows
from agbot.settings.limits import limits
from agbot.settings.model import RuleSettings


def test_the_defaults_are_the_same_on_both_sides() -> None:
    assert limits(RuleSettings()) == Limits()
    assert [each.name for each in fields(RuleSettings)] == [each.name for each in fields(Limits)]


@pytest.mark.parametrize("name", [each.name for each in fields(Limits) if each.name not in {"windows", "order"}])
def test_every_number_arrives(name: str) -> None:
    number: Any = {name: 77}

    assert getattr(limits(replace(RuleSettings(), **number)), name) == 77


def test_the_order_arrives_as_its_word() -> None:
    assert limits(RuleSettings(order="oldest-version")).order is Order.OLDEST_VERSION


def test_windows_arrive_parsed() -> None:
    text = "sat 22:00-04:00 Europe/Berlin"

    assert limits(RuleSettings(windows=(text,))).windows == (windows.parse(text),)
