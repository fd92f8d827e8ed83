"""Drops waiters that no longer ask, have ended, have left their group, or ask too much.

A question for a service comes from an agbot, which has no way to take it back. It has lost its
meaning once its policy is gone or its node has unregistered, and does not wait for the silence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agbot.events import waits
from agbot.rules.facts import Ask, Node, Policy, Sight
from agbot.rules.group import Group
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.order import still_asks
from agbot.rules.presence import why_absent
from agbot.rules.records import Waiter
from agbot.rules.seen_time import Now
from agbot.rules.statuses import ENDINGS
from agbot.store.records import Key, waiter_key
from agbot.transitions.change import Change

_MOST_OF_A_NODE = 8
"""A node waits for one policy or a few. This limits the waiters of a node that asks about many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is certain about the questions of the waiters of a group."""

    nodes: Mapping[NodeId, Node | Sight]
    policies: Mapping[tuple[Kind, PolicyId], Policy | Sight]


def drop_gone(group: Group, asked: Asked, leaving: Collection[Key], now: Now) -> Change:
    """Drop the waiters of a group that no longer wait.

    Those in `leaving` are dropped by an uncommitted grant.
    """
    staying = [waiter for waiter in group.waiters if waiter_key(waiter.ask) not in leaving]
    crowded = _crowded(staying)
    over = [(each, why) for each in staying if (why := _why_gone(each, group, asked, now) or crowded.get(each.ask))]
    return Change(
        drop=tuple(waiter_key(waiter.ask) for waiter, _ in over),
        events=tuple(waits.ended(waiter, why, now) for waiter, why in over),
        at=now.wall,
    )


def _why_gone(waiter: Waiter, group: Group, asked: Asked, now: Now) -> str | None:
    if not still_asks(waiter, group, now):
        return "it has stopped asking"
    node, policy = asked.nodes[waiter.ask.node], asked.policies[waiter.ask.subject]
    return why_absent(node, group.id) or _why_void(waiter.ask, node, policy) or _why_over(waiter, group, now)


def _why_void(ask: Ask, node: Node | Sight, policy: Policy | Sight) -> str | None:
    """State that nothing can come of a question any more, whether or not it is asked again."""
    if policy is Sight.ABSENT:
        return f"{ask.claim.subject} was deleted from the Exchange"
    if isinstance(policy, Policy) and not policy.enabled:
        return f"{ask.claim.subject} was disabled"
    # An agent asks for itself, and falls silent. A service's agbot goes on to ask, and has no way
    # to take its question back.
    is_unregistered = isinstance(node, Node) and not node.registered
    return "the node has unregistered" if ask.is_service and is_unregistered else None


def _why_over(waiter: Waiter, group: Group, now: Now) -> str | None:
    """State that the upgrade has ended while the node waited, by a read after its last question."""
    member = group.members.get(waiter.ask.node) if waiter.ask.is_agent else None
    status = member.statuses.get(waiter.ask.claim.subject) if member is not None else None
    if member is None or status is None or status.phase not in ENDINGS:
        return None
    # An agent reports that it downloads before it asks again, so that a read after its question
    # shows no earlier end.
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
