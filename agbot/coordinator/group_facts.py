"""One group's facts at one moment, put together from the picture and the ledger for the rules."""

from __future__ import annotations

from collections.abc import Sequence

from agbot.coordinator.ledger import Ledger
from agbot.coordinator.rows_seen import RowsSeen
from agbot.coordinator.traffic import TrafficReport
from agbot.fleet.picture import Picture
from agbot.rules import ids
from agbot.rules.facts import Ask, Group, Node, Pause, Policy, Sight
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.reasons import Reason
from agbot.rules.review import Seen
from agbot.rules.seen_time import Now, SeenTime


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
) -> Group:
    """Put a group's facts together; with a question also those about its subject and its waiters' subjects."""
    waiters = tuple(ledger.waiters[group].values()) if group in ledger.waiters else ()
    asks = [waiter.ask for waiter in waiters] + ([ask] if ask else [])
    subjects = dict.fromkeys([each.subject for each in asks])
    policies: dict[tuple[Kind, PolicyId], Policy | Sight] = {each: picture.policies.get(*each) for each in subjects}
    return Group(
        id=group,
        members=picture.read_members(group),
        lease=ledger.lease(group),
        limits=limits,
        deferrals=ledger.deferrals.get(group, {}),
        brakes=tuple(ledger.brakes.get(group, {}).values()),
        pauses=pauses_for(group, ledger, asks),
        waiters=waiters,
        served=ledger.served.get(group, {}),
        policies=policies,
        org_brakes=report.org_brakes(group),
        org_groups=picture.count_groups(ids.org_of(group)),
        traffic=report.traffic(group, limits),
        rollouts=report.rollouts(group, limits, policies, now),
        allowances=ledger.allowances,
        approvals=tuple(ledger.approvals.values()),
        token_floor=ledger.generation.token_floor,
        rows=rows.waited_for(group),
        agbot_doubt=rows.doubt,
        doubts=tuple(doubts),
    )


def pauses_for(group: GroupId, ledger: Ledger, asks: Sequence[Ask] = ()) -> tuple[Pause, ...]:
    """Return the pauses of the fleet, the organisation and the group, and of those who ask."""
    if not ledger.pauses:
        return ()
    scopes = ("*", ids.org_of(group), group, *dict.fromkeys(ids.node_scope(ask.node) for ask in asks))
    return tuple(ledger.pauses[scope] for scope in scopes if scope in ledger.pauses)


def seen_holder(lease: Lease, picture: Picture, *, not_before: SeenTime, is_listed: bool | None = None) -> Seen:
    """Return what is known of the holder of an occupied lease.

    A heartbeat that was read before `not_before` is as good as unread: while we cannot look, the node does not become silent.

    Raises:
        ValueError: the lease is free.
    """
    if lease.hold is None:
        message = f"the lease of {lease.group} is free"
        raise ValueError(message)
    claim = lease.hold.claim
    created_at, read_at = picture.created_at(claim.holder), picture.node_read_at(claim.holder)
    node = picture.certain_node(claim.holder)
    if isinstance(node, Node) and (read_at is None or read_at < not_before):
        node = Sight.UNREAD
    status = picture.status(claim.holder, claim.subject)
    if lease.hold.progress.confirmed:  # it was there: that it is not is believed at a second look
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
        recreated=created_at is not None and created_at > lease.hold.granted_at,
    )
