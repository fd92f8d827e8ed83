"""Upgrades start only while a maintenance window is open, if any are configured."""

from __future__ import annotations

from agbot.rules import window
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import NO_EVIDENCE, Case, Evidence, Rule
from agbot.rules.words import clock


def outside_window(case: Case) -> Reason | None:
    """Refuse while no window is open, or while the date is in doubt."""
    windows, now = case.group.limits.windows, case.at
    if not windows:
        return None
    if not now.is_steady:
        text = "the date was changed a moment ago, so it is uncertain whether a maintenance window is open"
        return Reason(code=Code.OUTSIDE_WINDOW, text=text)
    if any(window.is_open(each, now.wall) for each in windows):
        return None
    opening = window.next_opening(windows, now.wall)
    return Reason(
        code=Code.OUTSIDE_WINDOW,
        text=f"no maintenance window is open; the next opens at {clock(opening)}"
        if opening
        else "no maintenance window ever opens",
        until=opening,
    )


def _windows(case: Case) -> Evidence:
    windows = case.group.limits.windows
    return Evidence(facts={"windows": [str(each) for each in windows]}) if windows else NO_EVIDENCE


WINDOW_OPEN = Rule(
    name="window-open",
    passes="upgrades may start at this time",
    unblocks={Code.OUTSIDE_WINDOW: "wait for the next maintenance window"},
    is_allowable=True,
    check=outside_window,
    evidence=_windows,
)
