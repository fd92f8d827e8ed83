"""Drops waiters that no longer ask, have ended, have left their group, or ask too much."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from agbot.events import waits
from agbot.rules.facts import Ask, Node, Sight
from agbot.rules.group import Group
from agbot.rules.ids import NodeId
from agbot.rules.order import still_asks
from agbot.rules.presence import why_absent
from agbot.rules.records import Waiter
from agbot.rules.seen_time import Now
from agbot.rules.statuses import ENDINGS
from agbot.store.records import Key, waiter_key
from agbot.transitions.change import Change

_MOST_OF_A_NODE = 8
"""A node waits for one policy or a few. This limits the waiters of a node that asks about many."""


def drop_gone(group: Group, nodes: Mapping[NodeId, Node | Sight], leaving: Collection[Key], now: Now) -> Change:
    """Drop the waiters of a group that no longer wait.

    `nodes` are their last known nodes. Those in `leaving` are dropped by an uncommitted grant.
    """
    staying = [waiter for waiter in group.waiters if waiter_key(waiter.ask) not in leaving]
    crowded = _crowded(staying)
    over = [(each, why) for each in staying if (why := _why_gone(each, group, nodes, now) or crowded.get(each.ask))]
    return Change(
        drop=tuple(waiter_key(waiter.ask) for waiter, _ in over),
        events=tuple(waits.ended(waiter, why, now) for waiter, why in over),
        at=now.wall,
    )


def _why_gone(waiter: Waiter, group: Group, nodes: Mapping[NodeId, Node | Sight], now: Now) -> str | None:
    if not still_asks(waiter, group, now):
        return "it has stopped asking"
    return why_absent(nodes[waiter.ask.node], group.id) or _why_over(waiter, group, now)


def _why_over(waiter: Waiter, group: Group, now: Now) -> str | None:
    """State that the upgrade has ended while the node waited, by a read after its last question.

    An agent reports that it downloads before it asks again, so such a read shows no earlier end.
    """
    member = group.members.get(waiter.ask.node) if waiter.ask.is_agent else None
    status = member.statuses.get(waiter.ask.claim.subject) if member is not None else None
    if member is None or status is None or status.phase not in ENDINGS:
        return None
    read_at, written_after = member.statuses_read_at, status.written_after
    is_later = written_after is not None and written_after > now.shown(waiter.since)
    return f"it reports {status.value}" if is_later and read_at is not None and read_at >= waiter.asked_at else None


def _crowded(waiters: Iterable[Waiter]) -> dict[Ask, str]:
    """Return the oldest questions of nodes that ask about too many policies, with the reason."""
    of_node: defaultdict[NodeId, list[Waiter]] = defaultdict(list)
    for waiter in sorted(waiters, key=lambda each: each.asked_at, reverse=True):
        of_node[waiter.ask.node].append(waiter)
    why = f"its node asks about more than {_MOST_OF_A_NODE} policies"
    return {waiter.ask: why for each in of_node.values() for waiter in each[_MOST_OF_A_NODE:]}
