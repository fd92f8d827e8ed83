"""Finds groups by name and state without a view of each: there may be tens of thousands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from agbot.coordinator.listings import GroupPage, GroupQuery, GroupState
from agbot.coordinator.situation import Situation
from agbot.rules import ids
from agbot.rules.facts import Node
from agbot.rules.ids import GroupId
from agbot.rules.lease import State
from agbot.rules.rows import Standing


def find_groups(query: GroupQuery, situation: Situation) -> GroupPage:
    """Return the ids of one page, and how many groups match."""
    prefix, part = f"{query.org}/" if query.org else "", query.find.casefold()
    known = _in_state(query.state, situation)
    found = [each for each in known if each.startswith(prefix) and part in each.casefold()]
    begin = query.offset + (bisect_right(found, query.after) if query.after else 0)
    return GroupPage(total=len(found), groups=found[begin : begin + query.limit])


def _in_state(state: GroupState | None, situation: Situation) -> Sequence[GroupId]:
    """Return the groups in this state, sorted: those that exist, and others that matter."""
    exists = situation.picture.exists
    gone = {group for group in situation.ledger.tally.mattering if not exists(group)}
    if state not in {None, GroupState.QUIET}:
        return sorted(each for each in _of_state(state, situation) if exists(each) or each in gone)
    known: Sequence[GroupId] = situation.picture.groups()  # in order
    if gone:
        known = sorted((*known, *gone))
    if state is None:
        return known
    busy = _of_state(GroupState.BUSY, situation)
    return [each for each in known if each not in busy]


def _of_state(state: GroupState | None, situation: Situation) -> AbstractSet[GroupId]:
    """Return the groups in this state, by default `busy`."""
    tally = situation.ledger.tally
    match state:
        case GroupState.HELD | GroupState.SUSPECT:
            wanted = State.HELD if state is GroupState.HELD else State.SUSPECT
            return {lease.group for lease in situation.ledger.occupied() if lease.state is wanted}
        case GroupState.WAITING:
            return tally.waited_in.keys()
        case GroupState.DEFERRED:
            return tally.deferred_in.keys()
        case GroupState.BRAKED:
            return set(tally.braked_groups())
        case _:
            return {*tally.mattering, *tally.braked_groups(), *_held_back(situation), *_stuck(situation)}


def _held_back(situation: Situation) -> Iterator[GroupId]:
    """Yield the groups with a hold of their own or of a member."""
    for scope in situation.ledger.holds:
        node = ids.node_of_scope(scope)
        known = situation.picture.node(node) if node is not None else None
        if isinstance(known, Node) and known.group is not None:
            yield known.group
        elif node is None and "/" in scope:
            yield GroupId(scope)


def _stuck(situation: Situation) -> Iterator[GroupId]:
    for group, states in situation.rows.states.items():
        if any(state.standing is Standing.STUCK for state in states.values()):
            yield group
