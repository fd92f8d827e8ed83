"""From what the operator wrote under `[rules]` and in scopes to what the rules measure against."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Final

from agbot.rules.ids import GroupId
from agbot.rules.limits import Limits, LimitsOf, Order
from agbot.settings import windows
from agbot.settings.model import RuleSettings, Settings
from agbot.settings.scopes import effective

_GROUPS_REMEMBERED: Final = 65_536
"""More than a hub has. A bound all the same: a question may name a group that does not exist."""


def limits_of(settings: Settings) -> LimitsOf:
    """Give the way to each group's limits. Each is worked out once, as every question needs them; other settings are another way.

    Raises:
        WindowError: (on the way) a window is not one; checked settings never raise it.
    """

    @functools.lru_cache(maxsize=_GROUPS_REMEMBERED)
    def of(group: GroupId) -> Limits:
        return limits(effective(settings, group).rules)

    return of


def limits(rules: RuleSettings) -> Limits:
    """Give the rules' limits. The fields have the same names and defaults on both sides; a test holds that.

    Raises:
        WindowError: a window is not one (checked settings never raise it).
    """
    read = {"windows", "order", "order_property"}
    numbers = {each.name: getattr(rules, each.name) for each in fields(Limits) if each.name not in read}
    order, _, named = rules.order.partition(":")
    parsed = tuple(windows.parse(each) for each in rules.windows)
    return Limits(**numbers, order=Order(order), order_property=named, windows=parsed)
