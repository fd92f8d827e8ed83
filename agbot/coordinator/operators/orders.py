"""What operators have ordered or are to order, and the windows with their next change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from agbot.coordinator.listings import AwaitedApproval, Orders, WindowView
from agbot.coordinator.situation import Situation
from agbot.rules.ids import GroupId, PolicyId, org_of
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code
from agbot.rules.records import Waiter
from agbot.rules.seen_time import Now
from agbot.rules.window import Window, is_open, next_opening

_AHEAD = timedelta(days=8)
_NOT_APPROVED = Code.NOT_APPROVED  # an attribute of an enumeration takes longer


def orders(situation: Situation, *, with_windows: bool) -> Orders:
    """Return all of it; the windows only on request, since they go through all groups."""
    ledger, now = situation.ledger, situation.now().wall
    return Orders(
        holds=sorted(ledger.holds.values(), key=lambda each: each.scope),
        allowances=sorted(ledger.allowances.values(), key=lambda each: each.until),
        approvals=sorted(ledger.approvals.values(), key=lambda each: (each.subject, each.scope)),
        brakes=[brake for of_group in ledger.brakes.values() for brake in of_group.values()],
        windows=_windows(situation, now) if with_windows else (),
        awaited=_awaited(situation),
    )


def _awaited(situation: Situation) -> list[AwaitedApproval]:
    """Return the approvals that members wait for, also beside other reasons.

    Every view of what needs a person asks for it, also while all groups wait.
    """
    found: dict[tuple[Kind, PolicyId], dict[GroupId, None]] = {}
    given: dict[tuple[Kind, PolicyId], dict[str, datetime]] = {}
    for approval in situation.ledger.approvals.values():
        given.setdefault((approval.kind, approval.subject), {})[approval.scope] = approval.since
    waiters, now = situation.ledger.waiters, situation.now()
    for group in situation.ledger.tally.waited_in:
        for waiter in waiters[group].values():
            if _NOT_APPROVED in [reason.code for reason in waiter.reasons]:
                subject = waiter.ask.subject
                if subject not in given or not _is_approved_since(waiter, given[subject], now):
                    found.setdefault(subject, {})[group] = None
    return [
        AwaitedApproval(kind=kind, subject=subject, groups=len(groups), example=min(groups))
        for (kind, subject), groups in sorted(found.items())
    ]


def _is_approved_since(waiter: Waiter, given: Mapping[str, datetime], now: Now) -> bool:
    """Whether its upgrade was approved since it last asked, which it does once a minute.

    `given` are the approvals of that upgrade by scope: as many as there are groups, and asked by as
    many waiters.
    """
    group = waiter.ask.group
    moments = [given[scope] for scope in ("*", org_of(group), group) if scope in given]
    return bool(moments) and max(moments) >= now.shown(waiter.asked_at)


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
