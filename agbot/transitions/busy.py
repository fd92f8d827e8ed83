"""What follows from a node's word that it is busy: its record and its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agbot.events.busy import BusyBegun, BusyEnded, BusyIgnored
from agbot.events.event import Event
from agbot.rules import busy as rules
from agbot.rules.busy import NotNow
from agbot.rules.ids import NodeId
from agbot.rules.limits import Limits
from agbot.rules.records import Busy, BusyState
from agbot.rules.seen_time import Now
from agbot.store.records import Key, Record, key_of
from agbot.transitions.change import Change


def take_in(words: Mapping[NodeId, NotNow | None], known: Mapping[NodeId, Busy], now: Now) -> Change:
    """Note these words. A longer time alone is no event."""
    put: list[Record] = []
    events: list[Event] = []
    for node, word in words.items():
        before = known.get(node)
        after = rules.noted(node, word, before, now.wall)
        if after is None or after == before:
            continue
        put.append(after)
        reported = before.why if before is not None and before.state is not BusyState.OVER else None
        # a node that renews its word every minute is one event; another reason is another one
        if after.state is not BusyState.OVER and after.why != reported:
            events.append(BusyBegun(node=node, until=after.until, why=after.why))
        elif after.state is BusyState.OVER and reported is not None:
            events.append(BusyEnded(node=node, why="it has stated so"))
    return Change(put=put, events=events, at=now.wall)


def age(known: Iterable[tuple[Busy, Limits | None]], now: Now) -> Change:
    """Report whose time is over, or longer than it may be, and drop what no longer matters.

    The limits are None for a node in no group, which waits for nothing.
    """
    put: list[Record] = []
    drop: list[Key] = []
    events: list[Event] = []
    for each, limits in known:
        if rules.is_forgotten(each, now):
            drop.append(key_of(each))
        elif each.state is not BusyState.OVER and rules.is_over(each, now):
            put.append(replace(each, state=BusyState.OVER))
            events.append(BusyEnded(node=each.node, why="its time is over"))
        elif each.state is BusyState.BUSY and limits is not None and rules.is_past_bound(each, limits, now):
            put.append(replace(each, state=BusyState.IGNORED))
            events.append(BusyIgnored(node=each.node, why=each.why, since=each.since))
    return Change(put=put, drop=drop, events=events, at=now.wall)
