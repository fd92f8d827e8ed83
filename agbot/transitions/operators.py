"""Orders of operators: holds, allowances, approvals. A hold and an allowance can expire."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from agbot.events import operators as events
from agbot.events.event import Event
from agbot.rules.records import Allowance, Approval, Hold
from agbot.rules.seen_time import Now
from agbot.store.records import Key, key_of
from agbot.transitions.change import NO_CHANGE, Change


def hold(hold: Hold, now: Now) -> Change:
    """Stop new grants; running upgrades go on."""
    return Change(put=[hold], events=[events.hold_set(hold)], at=now.wall)


def end_hold(hold: Hold, why: str, now: Now, who: str) -> Change:
    """Let grants resume."""
    return Change(drop=[key_of(hold)], events=[events.hold_ended(hold, why, who)], at=now.wall)


def allow(allowance: Allowance, now: Now) -> Change:
    """Let one upgrade of a node past the rules that allow it (`Rule.is_allowable`)."""
    return Change(put=[allowance], events=[events.allowance_given(allowance)], at=now.wall)


def approve(approval: Approval, now: Now) -> Change:
    """Let the upgrades by one policy begin."""
    return Change(put=[approval], events=[events.approval_given(approval)], at=now.wall)


def withdraw(order: Allowance | Approval, why: str, now: Now, who: str) -> Change:
    """Take an allowance or an approval back."""
    if isinstance(order, Allowance):
        ended: Event = events.allowance_ended(order, why, who)
    else:
        ended = events.approval_withdrawn(order, why, who)
    return Change(drop=[key_of(order)], events=[ended], at=now.wall)


def expire_holds(holds: Iterable[Hold], now: Now) -> Change:
    """End the holds that have expired."""
    over = [each for each in holds if each.until is not None and each.until <= now.wall]
    if not over:
        return NO_CHANGE
    ended = [events.hold_ended(hold, "its time is over") for hold in over]
    return Change(drop=[key_of(hold) for hold in over], events=ended, at=now.wall)


def expire_allowances(allowances: Iterable[Allowance], spending: Collection[Key], now: Now) -> Change:
    """End the allowances that have expired, except those that an uncommitted grant uses."""
    over = {key_of(each): each for each in allowances if each.until <= now.wall}
    # a grant that is on its way to the store ends it with its own event
    over = {key: each for key, each in over.items() if key not in spending}
    ended = [events.allowance_ended(each, "its time is over and it was not used") for each in over.values()]
    return Change(drop=tuple(over), events=ended, at=now.wall)
