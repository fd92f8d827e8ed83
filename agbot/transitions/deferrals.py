"""Begins and ends deferrals, by `rules.deferral`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agbot.events import deferrals as deferral_events
from agbot.events.event import Event
from agbot.rules import deferral as rule
from agbot.rules.facts import Member, Sight
from agbot.rules.ids import NodeId
from agbot.rules.lease import Lease
from agbot.rules.limits import Limits
from agbot.rules.records import Deferral, Turn
from agbot.rules.seen_time import Now
from agbot.store.records import Key, Record, key_of
from agbot.transitions.change import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Memberships:
    """The members of a group and its deferrals, as far as they are known."""

    lease: Lease
    limits: Limits
    members: Mapping[NodeId, Member]
    """The members that were read."""
    deferred: Mapping[NodeId, tuple[Deferral, Member | Sight]]
    """Each deferral with its node. The node is unread while its absence is not confirmed, and that
    of an agent upgrade also without its statuses."""
    listed: Collection[NodeId] = ()
    """The deferred nodes whose upgrade the agbot lists as under way."""
    turns: Mapping[NodeId, Turn]


def refresh(memberships: Memberships, now: Now) -> Change:
    """Begin and end deferrals, by the states of the members."""
    limits, lease = memberships.limits, memberships.lease
    put: list[Record] = []
    drop: list[Key] = []
    events: list[Event] = []
    for node, (deferral, member) in memberships.deferred.items():
        # before its end: a report that the policy has taken with it is no end (decision 23)
        unreported = rule.unreported(deferral, member, now)
        if unreported is not None:
            put.append(unreported)
            continue
        why = rule.why_ended(deferral, member, limits, now, is_listed=node in memberships.listed)
        if why is not None:
            drop.append(key_of(deferral))
            events.append(deferral_events.ended(deferral, why))
    for node, seen in memberships.members.items():
        if node in memberships.deferred:
            continue
        begun = rule.begin(lease.group, seen, lease, limits, now, turn=memberships.turns.get(node))
        if begun is not None:
            put.append(begun)
            events.append(deferral_events.begun(begun))
    return Change(put=put, drop=drop, events=events, at=now.wall)
