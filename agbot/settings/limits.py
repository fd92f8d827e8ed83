"""From what the operator wrote under `[rules]` to what the rules measure against."""

from __future__ import annotations

from dataclasses import fields

from agbot.rules.limits import Limits, Order
from agbot.settings import windows
from agbot.settings.model import RuleSettings


def limits(rules: RuleSettings) -> Limits:
    """Give the rules' limits. The fields have the same names and defaults on both sides; a test holds that.

    Raises:
        WindowError: a window is not one (checked settings never raise it).
    """
    read = {"windows", "order"}
    numbers = {each.name: getattr(rules, each.name) for each in fields(Limits) if each.name not in read}
    return Limits(**numbers, order=Order(rules.order), windows=tuple(windows.parse(each) for each in rules.windows))
