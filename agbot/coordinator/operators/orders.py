"""What operators have ordered, and the windows of the settings with their next change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from agbot.coordinator.listings import Orders, WindowView
from agbot.coordinator.situation import Situation
from agbot.rules.ids import GroupId
from agbot.rules.window import Window, is_open, next_opening

_AHEAD = timedelta(days=8)


def orders(situation: Situation, *, with_windows: bool) -> Orders:
    """Return all of it; the windows only on request, since they go through all groups."""
    ledger, now = situation.ledger, situation.now().wall
    return Orders(
        holds=sorted(ledger.holds.values(), key=lambda each: each.scope),
        allowances=sorted(ledger.allowances.values(), key=lambda each: each.until),
        approvals=sorted(ledger.approvals.values(), key=lambda each: (each.subject, each.scope)),
        brakes=[brake for of_group in ledger.brakes.values() for brake in of_group.values()],
        windows=_windows(situation, now) if with_windows else (),
    )


def _windows(situation: Situation, now: datetime) -> list[WindowView]:
    groups: dict[tuple[Window, ...], list[GroupId]] = {}
    for group in situation.picture.groups():
        groups.setdefault(situation.limits_of(group).windows, []).append(group)
    return [
        WindowView(
            windows=[str(each) for each in windows],
            groups=len(found),
            example=found[0],
            is_open=any(is_open(each, now) for each in windows),
            changes_at=next_change(windows, now),
        )
        for windows, found in groups.items()
        if windows
    ]


def next_change(windows: Sequence[Window], now: datetime) -> datetime | None:
    """Return when these windows open, or the last open one closes, to the minute.

    None if they stay as they are for a week.
    """
    if not any(is_open(each, now) for each in windows):
        return next_opening(tuple(windows), now)
    moment, end = now.replace(second=0, microsecond=0), now + _AHEAD
    closings = sorted({close for each in windows for close in _closings(each, moment, end)})
    return next((each for each in closings if each > now and not any(is_open(w, each) for w in windows)), None)


def _closings(window: Window, start: datetime, end: datetime) -> list[datetime]:
    """Return the moments at which a window may close, on each of the coming days."""
    today = start.astimezone(window.zone).date()
    days = (today + timedelta(days=ahead) for ahead in range(_AHEAD.days + 1))
    found = (datetime.combine(day, window.closes, window.zone).astimezone(start.tzinfo) for day in days)
    return [each for each in found if start < each < end]
