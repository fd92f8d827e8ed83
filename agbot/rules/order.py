"""Whose turn it is, among those who ask and could go now.

Without a set order a free lease goes to whoever asks first, but nobody is served twice while another waits. With one, the asker yields to a
waiter who comes before it: by name, by the agent's version, or by a property of its node policy, such as a zone. A member whose last claim
meant nothing comes after all others, one whose heartbeat is old after those that are alive, one without the property after those that have
it. Nobody yields to one who could not go anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agbot.rules import health
from agbot.rules.facts import Ask, Group, Member, Waiter
from agbot.rules.limits import Limits, Order
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.words import clock

CouldGo = Callable[[Ask, Group, Now], bool]
Rank = tuple[bool, bool, bool, tuple[tuple[int, str], ...], str]

_SILENT_PERIODS = 3
_LONG_AGO = SeenTime(datetime.min.replace(tzinfo=UTC))
_NUMBER_OR_TEXT = re.compile(r"[0-9]+|[^0-9]+")


def turn(ask: Ask, group: Group, now: Now, could_go: CouldGo) -> Reason | None:
    """Name the waiter to whom the asker yields."""
    for waiter in sorted(group.waiters, key=lambda each: each.since):
        if _yields(ask, waiter, group, now) and could_go(waiter.ask, group, now):
            text = f"{waiter.ask.node} waits since {clock(now.shown(waiter.since))} and {_why(group)}"
            return Reason(
                code=Code.TURN, text=text, facts={"waiter": waiter.ask.node, "order": str(group.limits.order)}
            )
    return None


def _why(group: Group) -> str:
    return (
        "has not had its turn"
        if group.limits.order == Order.ASKED
        else f"comes first in the order {group.limits.order}"
    )


def still_asks(waiter: Waiter, group: Group, now: Now) -> bool:
    """Tell whether a waiter still asks: silent for three of its periods means gone."""
    return now.seen - waiter.asked_at <= timedelta(seconds=_SILENT_PERIODS * group.limits.ask_period_seconds)


def _yields(ask: Ask, waiter: Waiter, group: Group, now: Now) -> bool:
    if waiter.ask.node == ask.node or not still_asks(waiter, group, now):
        return False
    if not {ask.node, waiter.ask.node} <= group.members.keys():
        return False  # who is no member has no place in the order, and no turn
    if group.limits.order != Order.ASKED:
        return rank(waiter.ask, group, now) < rank(ask, group, now)
    return _was_served_meanwhile(ask, waiter, group)


def _was_served_meanwhile(ask: Ask, waiter: Waiter, group: Group) -> bool:
    """Whether the asker has been served since this waiter began to wait.

    Served members yield along a strict order (unconfirmed ones last, then by the time they were last served), so that two can never wait
    for each other.
    """
    mine = group.served.get(ask.node)
    if mine is None:
        return False
    theirs = group.served.get(waiter.ask.node)
    my_rank = (mine.cause is Cause.UNCONFIRMED, mine.until)
    their_rank = (theirs.cause is Cause.UNCONFIRMED, theirs.until) if theirs else (False, _LONG_AGO)
    served_meanwhile = mine.until >= waiter.since or mine.cause is Cause.UNCONFIRMED
    return served_meanwhile and their_rank < my_rank


def rank(ask: Ask, group: Group, now: Now) -> Rank:
    """Return where a member stands in the group's order; the lower goes first. A strict order, since names differ."""
    member, mark = group.members[ask.node], group.served.get(ask.node)
    is_offline = health.why_offline(member.node, group.limits, now) is not None
    means_nothing = mark is not None and mark.cause is Cause.UNCONFIRMED
    value = _value(member, group.limits)
    return means_nothing, is_offline, value is None, numbered(value or ""), ask.node


def _value(member: Member, limits: Limits) -> str | None:
    """Return what the members are put in order by, beside their names; None where this one has no such thing."""
    if limits.order_property:
        return member.properties.get(limits.order_property)
    return member.node.agent_version if limits.order == Order.OLDEST_VERSION else ""


def numbered(text: str) -> tuple[tuple[int, str], ...]:
    """Return a key by which 2.9 comes before 2.31: numbers by their value, all else as it is written. Any text has one.

    Only ASCII digits make numbers: `²` is a digit to Python and no number. Nor is any number converted, which thousands of digits would
    refuse: of two without leading zeros the longer one is larger.
    """
    return tuple(_part(part) for part in _NUMBER_OR_TEXT.findall(text))


def _part(part: str) -> tuple[int, str]:
    if not "0" <= part[0] <= "9":
        return (-1, part)
    digits = part.lstrip("0")
    return (len(digits), digits)
