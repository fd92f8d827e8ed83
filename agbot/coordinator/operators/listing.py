"""What operators are shown of many groups at once: a page of them, and how far each upgrade is.

There may be tens of thousands of groups, so a page of them is found without a view of each, and a
rollout is followed in its own organisation. How far each group is are facts: the console judges
what they mean.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from agbot.coordinator.listings import (
    GroupPage,
    GroupProgress,
    GroupQuery,
    GroupState,
    MemberProgress,
    Subject,
    WaitingMember,
)
from agbot.coordinator.situation import Situation
from agbot.rules import ids
from agbot.rules.facts import Node, NodeType, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId, org_of
from agbot.rules.lease import Kind, State
from agbot.rules.records import Waiter
from agbot.rules.seen_time import Now

_Key = TypeVar("_Key")
_Record = TypeVar("_Record")


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
            return {*tally.mattering, *tally.braked_groups(), *_held_back(situation), *situation.rows.groups_stuck()}


def _held_back(situation: Situation) -> Iterator[GroupId]:
    """Yield the groups with a hold of their own or of a member."""
    for scope in situation.ledger.holds:
        node = ids.node_of_scope(scope)
        known = situation.picture.node(node) if node is not None else None
        if isinstance(known, Node) and known.group is not None:
            yield known.group
        elif node is None and "/" in scope:
            yield GroupId(scope)


def subjects(situation: Situation) -> list[Subject]:
    """Return every upgrade that is under way, waited for or stopped, with the number of groups."""
    ledger = situation.ledger
    running: Counter[tuple[Kind, PolicyId]] = Counter()
    waiting: Counter[tuple[Kind, PolicyId]] = Counter()
    stopped: Counter[tuple[Kind, PolicyId]] = Counter()
    upgrading: dict[GroupId, tuple[Kind, PolicyId]] = {}
    for lease in ledger.occupied():
        if lease.tenure is not None and lease.tenure.claim.subject:
            upgrading[lease.group] = lease.tenure.claim.kind, lease.tenure.claim.subject
    running.update(upgrading.values())
    for group in list(ledger.tally.waited_in):
        # a group counts once: that members wait for the one that upgrades goes without saying
        waiting.update({waiter.ask.subject for waiter in ledger.waiters[group].values()} - {upgrading.get(group)})
    for brakes in ledger.brakes.values():
        stopped.update(brakes.keys())
    return [
        Subject(kind=kind, policy=policy, running=running[each], waiting=waiting[each], stopped=stopped[each])
        for each in sorted({*running, *waiting, *stopped})
        for kind, policy in (each,)
    ]


def progress(kind: Kind, policy: PolicyId, situation: Situation) -> Iterator[GroupProgress]:
    """Yield how far each group of the policy's organisation is, and others that take part."""
    org, ledger, now = org_of(policy), situation.ledger, situation.now()
    own = situation.picture.groups_of(org)
    # not all groups: every rollout is followed once a minute, and there is one in each organisation
    others = [
        group
        for group in list(ledger.tally.crossing)
        if org_of(group) != org and _takes_part(group, kind, policy, situation)
    ]
    for group in (*own, *others):
        yield _of_group(group, kind, policy, situation, now)


def _takes_part(group: GroupId, kind: Kind, policy: PolicyId, situation: Situation) -> bool:
    tenure = situation.ledger.lease(group).tenure
    holds = tenure is not None and (tenure.claim.kind, tenure.claim.subject) == (kind, policy)
    return holds or any(each.ask.subject == (kind, policy) for each in _waiters(group, situation))


def _of_group(group: GroupId, kind: Kind, policy: PolicyId, situation: Situation, now: Now) -> GroupProgress:
    ledger = situation.ledger
    lease = ledger.leases.get(group)
    tenure = lease.tenure if lease is not None else None
    is_mine = tenure is not None and (tenure.claim.kind, tenure.claim.subject) == (kind, policy)
    members = situation.picture.members(group)
    waiters = [each for each in _waiters(group, situation) if each.ask.subject == (kind, policy)]
    return GroupProgress(
        group=group,
        members=[_member(name, node, kind, policy, situation) for name, node in members.items()],
        holder=tenure.claim.holder if tenure is not None and is_mine else None,
        is_suspect=is_mine and lease is not None and lease.state is State.SUSPECT,
        token=lease.token if is_mine and lease is not None else 0,
        waiting=[_waiting(each, now) for each in sorted(waiters, key=lambda each: each.since)],
        brake=_no_default(ledger.brakes, group).get((kind, policy)),
    )


def _member(name: NodeId, node: Node | Sight, kind: Kind, policy: PolicyId, situation: Situation) -> MemberProgress:
    status = situation.picture.status(name, policy) if kind is Kind.AGENT else Sight.UNREAD
    known = node if isinstance(node, Node) else None
    return MemberProgress(
        node=name,
        is_gated=known is None or known.node_type is NodeType.DEVICE,
        status="" if isinstance(status, Sight) else status.value,
        phase=None if isinstance(status, Sight) else status.phase,
        agent_version=known.agent_version if known is not None else "",
    )


def _waiting(waiter: Waiter, now: Now) -> WaitingMember:
    first = waiter.reasons[0] if waiter.reasons else None
    return WaitingMember(
        node=waiter.ask.node,
        since=now.shown(waiter.since),
        code=str(first.code) if first else "",
        text=first.text if first else "it asks again",
        until=first.until if first else None,
    )


def _waiters(group: GroupId, situation: Situation) -> list[Waiter]:
    return list(_no_default(situation.ledger.waiters, group).values())


def _no_default(records: Mapping[GroupId, dict[_Key, _Record]], group: GroupId) -> Mapping[_Key, _Record]:
    """Return the records of a group. A look-up by brackets would leave an empty mapping behind."""
    return records.get(group) or {}
