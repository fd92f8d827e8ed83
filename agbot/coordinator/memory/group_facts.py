"""Collects the facts about one group for the rules, from the picture and the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from agbot.coordinator.memory.ledger import Ledger
from agbot.coordinator.memory.rows_seen import RowsSeen
from agbot.coordinator.memory.traffic import TrafficReport
from agbot.fleet.changes import Read
from agbot.fleet.picture import Picture
from agbot.rules import ids
from agbot.rules.facts import Ask, Node, Policy, Sight
from agbot.rules.group import Group, ReadTimes
from agbot.rules.holder import Seen
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease, occupied
from agbot.rules.limits import Limits
from agbot.rules.reasons import Reason
from agbot.rules.records import Hold
from agbot.rules.seen_time import Now, SeenTime
from agbot.transitions.braking import Upgraded

_NONE: Mapping[Any, Any] = MappingProxyType({})


def gather(
    group: GroupId,
    picture: Picture,
    ledger: Ledger,
    limits: Limits,
    *,
    doubts: Sequence[Reason] = (),
    rows: RowsSeen,
    ask: Ask | None = None,
    report: TrafficReport,
    now: Now,
    view_at: SeenTime | None = None,
) -> Group:
    """Collect the facts about a group, and about the subjects of its waiters and of `ask`."""
    org, waiters = ids.org_of(group), tuple(ledger.waiters.get(group, _NONE).values())
    asks = [waiter.ask for waiter in waiters if waiter.ask is not ask] + ([] if ask is None else [ask])
    policies = _policies(asks, picture)
    return Group(
        id=group,
        members=picture.read_members(group),
        lease=ledger.lease(group),
        limits=limits,
        deferrals=ledger.deferrals.get(group, _NONE),
        brakes=tuple(ledger.brakes.get(group, _NONE).values()),
        holds=_holds_for(group, ledger, asks),
        waiters=waiters,
        turns=ledger.turns.get(group, _NONE),
        policies=policies,
        org_brakes=report.org_brakes(org),
        org_groups=picture.membership.count_groups(org),
        traffic=report.traffic(group, limits),
        rollouts=report.rollouts(group, limits, policies, now),
        allowances=ledger.allowances,
        busy=ledger.busy,
        approvals=tuple(ledger.approvals.values()),
        token_floor=ledger.generation.token_floor,
        rows=rows.waited_for(group),
        agbot_doubt=rows.doubt,
        doubts=tuple(doubts),
        reads=_reads(ask, picture, feed=view_at, rows=rows.read_at),
    )


def _policies(asks: Iterable[Ask], picture: Picture) -> dict[tuple[Kind, PolicyId], Policy | Sight]:
    subjects = {each.subject: None for each in asks}  # in order, so that a repeated run takes the same course
    return {subject: picture.policies.get(*subject) for subject in subjects}


def _reads(ask: Ask | None, picture: Picture, *, feed: SeenTime | None, rows: SeenTime | None) -> ReadTimes:
    if ask is None:
        return ReadTimes(feed=feed, rows=rows)
    read_at = picture.policies.read_at(*ask.subject)
    return ReadTimes(feed=feed, rows=rows, asker=picture.node_read_at(ask.node), policy=read_at)


def why_unread(unread: Sequence[Read], picture: Picture) -> str:
    """Return what is missing.

    Unreadable records come first: they must be repaired in the Exchange.
    """
    for read in unread:
        why = picture.unreadables.why(read)
        if why:
            return f"{read.what} {read.id} cannot be read: {why}"
    return f"not read from the Exchange yet: {', '.join(f'{read.what} {read.id}' for read in unread)}"


def _holds_for(group: GroupId, ledger: Ledger, asks: Sequence[Ask] = ()) -> tuple[Hold, ...]:
    """Return the holds of the fleet, the organisation, the group and the asking nodes."""
    if not ledger.holds:
        return ()
    scopes = ("*", ids.org_of(group), group, *dict.fromkeys(ids.node_scope(ask.node) for ask in asks))
    return tuple(ledger.holds[scope] for scope in scopes if scope in ledger.holds)


def upgraded(claim: Claim, group: GroupId, picture: Picture, ledger: Ledger) -> Upgraded:
    """Return what is known of a node and its upgrade, when the upgrade ends or later."""
    is_agent = claim.kind is Kind.AGENT
    return Upgraded(
        node=picture.node(claim.holder),
        status=picture.status(claim.holder, claim.subject) if is_agent else Sight.ABSENT,
        brake=ledger.brakes.get(group, {}).get((claim.kind, claim.subject)),
    )


def seen_holder(lease: Lease, picture: Picture, *, not_before: SeenTime, is_listed: bool | None = None) -> Seen:
    """Return what is known of the holder of an occupied lease.

    A heartbeat that was read before `not_before` counts as unread: a node does not become silent
    because the Exchange could not be read.

    Raises:
        IllegalTransitionError: the lease is free.
    """
    tenure = occupied(lease)
    claim = tenure.claim
    created_at, read_at = picture.created_at(claim.holder), picture.node_read_at(claim.holder)
    node = picture.certain_node(claim.holder)
    if isinstance(node, Node) and (read_at is None or read_at < not_before):
        node = Sight.UNREAD
    status = picture.status(claim.holder, claim.subject)
    if tenure.progress.confirmed:  # a status that existed is absent only after a second read
        status = picture.certain_status(claim.holder, claim.subject)
    return Seen(
        node=node,
        policy=picture.policies.certain(claim.kind, claim.subject),
        status=status,
        agreements=picture.agreements(claim.holder),
        node_read_at=read_at,
        status_read_at=picture.statuses_read_at(claim.holder),
        agreements_read_at=picture.agreements_read_at(claim.holder),
        unreadable=picture.why_unreadable(claim.holder),
        is_listed=is_listed,
        recreated=created_at is not None and created_at > tenure.granted_at,
    )
