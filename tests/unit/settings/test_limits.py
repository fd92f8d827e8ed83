"""What holds for one group: `[rules]` and the scopes over it."""

from __future__ import annotations

from agbot.rules.ids import group_id
from agbot.rules.limits import Limits
from agbot.settings import windows
from agbot.settings.model import Scope, Settings
from agbot.settings.scopes import limits_of


def test_the_property_of_an_order_is_what_stands_after_the_first_colon() -> None:
    assert Limits(order="property:site:zone").order_property == "site:zone"
    assert Limits().order_property == ""


def test_each_group_gets_the_limits_of_its_scopes() -> None:
    settings = Settings(rules=Limits(min_available=3), scopes=(Scope(pattern="o1", values={"min_available": 2}),))
    of = limits_of(settings)

    assert of(group_id("o1", "g1")) == Limits(min_available=2)
    assert of(group_id("o2", "g1")) == Limits(min_available=3)


def test_a_group_s_limits_are_worked_out_once_for_all_its_questions() -> None:
    of = limits_of(Settings(rules=Limits(windows=(windows.parse("mon 01:00-02:00"),))))

    assert of(group_id("o1", "g1")) is of(group_id("o1", "g1"))
