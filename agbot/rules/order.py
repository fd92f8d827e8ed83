"""Whose turn it is among the members that ask and could upgrade now.

Without a set order the first member that asks gets a free lease, but no member goes twice while
another waits. With a set order, the asker yields to a waiter that comes before it: by name, by the
agent's version, or by a property of its node policy, such as a zone. A member whose last claim was
unconfirmed comes after all others, one whose heartbeat is old after those that are alive, and one
without the property after those that have it. No member yields to one that could not upgrade
anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agbot.rules import health
from agbot.rules.facts import Ask, Member
from agbot.rules.group import Group
from agbot.rules.limits import Limits, Order
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Waiter
from agbot.rules.rule import Case, Evidence
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.words import clock

_CouldGo = Callable[[Case], bool]
_Rank = tuple[bool, bool, bool, tuple[tuple[int, str], ...], str]

_ASKED = Order.ASKED
# a question may be lost once or twice, and its asker keeps its place
_SILENT_PERIODS = 3
_LONG_AGO = SeenTime(datetime.min.replace(tzinfo=UTC))
_NUMBER_OR_TEXT = re.compile(r"[0-9]+|[^0-9]+")


def turn(case: Case, could_go: _CouldGo) -> Reason | None:
    """Refuse while the asker has to yield to a waiter that only its turn keeps waiting."""
    ask, group, now = case.ask, case.group, case.at
    if ask.node not in group.turns and group.limits.order == _ASKED:
        return None  # who has had no turn yields to none: a free lease goes to whoever asks first
    for waiter in sorted(group.waiters, key=lambda each: each.since):
        # one that could not upgrade anyway would leave the group idle
        if _yields(ask, waiter, group, now) and could_go(Case(at=now, ask=waiter.ask, group=group)):
            text = f"{waiter.ask.node} has been waiting since {clock(now.shown(waiter.since))} and {_why(group)}"
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


def evidence(case: Case) -> Evidence:
    """Return the number of other waiters, the asker's last turn, and its ordering property."""
    group, asker, by = case.group, case.ask.node, case.group.limits.order_property
    waiting = {each.ask.node for each in group.waiters if still_asks(each, group, case.at)} - {asker}
    turn, member = group.turns.get(asker), group.members.get(asker)
    facts: dict[str, object] = {"waiting": len(waiting)}
    if turn is not None:
        facts["last_turn_ended"] = case.at.shown(turn.until)
    if not by or member is None:
        return Evidence(facts=facts)
    return Evidence(facts={**facts, by: member.properties.get(by)}, read_at=member.properties_read_at)


def still_asks(waiter: Waiter, group: Group, now: Now) -> bool:
    """Return whether a waiter still asks: it is gone after three silent periods."""
    return now.seen - waiter.asked_at <= silence(group.limits.ask_period_seconds)


def silence(ask_period_seconds: float) -> timedelta:
    """Return how long a waiter may be silent."""
    return timedelta(seconds=_SILENT_PERIODS * ask_period_seconds)


def _yields(ask: Ask, waiter: Waiter, group: Group, now: Now) -> bool:
    if waiter.ask.node == ask.node or not still_asks(waiter, group, now):
        return False
    if not {ask.node, waiter.ask.node} <= group.members.keys():
        return False  # a node that is no member has no place in the order and no turn
    if group.limits.order != Order.ASKED:
        return rank(waiter.ask, group, now) < rank(ask, group, now)
    return _had_its_turn_meanwhile(ask, waiter, group)


def _had_its_turn_meanwhile(ask: Ask, waiter: Waiter, group: Group) -> bool:
    """Whether the asker has had its turn since this waiter began to wait."""
    mine = group.turns.get(ask.node)
    if mine is None:
        return False
    theirs = group.turns.get(waiter.ask.node)
    # A strict order, so that two can never wait for each other. A claim that nothing confirmed goes
    # last, whenever that was: it may be repeated every three minutes, and starve the others (A8).
    my_rank = (mine.cause is Cause.UNCONFIRMED, mine.until)
    their_rank = (theirs.cause is Cause.UNCONFIRMED, theirs.until) if theirs else (False, _LONG_AGO)
    had_its_turn = mine.until >= waiter.since or mine.cause is Cause.UNCONFIRMED
    return had_its_turn and their_rank < my_rank


def rank(ask: Ask, group: Group, now: Now) -> _Rank:
    """Return a member's rank in the group's order; the lowest goes first."""
    member, mark = group.members[ask.node], group.turns.get(ask.node)
    is_offline = health.why_offline(member.node, group.limits, now) is not None
    means_nothing = mark is not None and mark.cause is Cause.UNCONFIRMED
    value = _value(member, group.limits)
    # the name at the end makes the order strict: of two members that ask, exactly one may go
    return means_nothing, is_offline, value is None, numbered(value or ""), ask.node


def _value(member: Member, limits: Limits) -> str | None:
    """Return the value by which the members are ordered, before their names.

    None if this member has no such value.
    """
    if limits.order_property:
        return member.properties.get(limits.order_property)
    return member.node.agent_version if limits.order == Order.OLDEST_VERSION else ""


def numbered(text: str) -> tuple[tuple[int, str], ...]:
    """Return a key for natural order: 2.9 comes before 2.31.

    Numbers compare by their value, everything else as it is written, and any text has a key.
    """
    return tuple(_part(part) for part in _NUMBER_OR_TEXT.findall(text))


def _part(part: str) -> tuple[int, str]:
    # ASCII only: `²` is a digit to `str.isdigit`, and `int` refuses it
    if not "0" <= part[0] <= "9":
        return (-1, part)
    # Not converted, because `int` refuses thousands of digits and the text is a node's own. Of two
    # numbers without leading zeros the longer one is larger.
    digits = part.lstrip("0")
    return (len(digits), digits)
