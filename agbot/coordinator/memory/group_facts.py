"""Collects the facts about a group for the rules, from the picture and the ledger.

Among them are facts about other groups, for the limits: how many upgrade, which brakes are set, the
rollouts. Of these the last result is kept, until the organisation changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from agbot.coordinator.memory.ledger import Ledger
from agbot.coordinator.memory.rows_seen import RowsSeen
from agbot.fleet.changes import Read
from agbot.fleet.picture import Picture
from agbot.rules import ids
from agbot.rules.facts import Ask, Node, Policy, Sight
from agbot.rules.group import Group, ReadTimes, Rollout, Traffic
from agbot.rules.holder import Seen
from agbot.rules.ids import GroupId, OrgId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease, occupied
from agbot.rules.limits import Limits
from agbot.rules.reasons import Reason
from agbot.rules.records import Brake, Hold
from agbot.rules.rollout import Started, Subject, has_started, proving, rollout
from agbot.rules.seen_time import Now, SeenTime
from agbot.transitions.braking import Upgraded

_NONE: Mapping[Any, Any] = MappingProxyType({})
_RESTS_CHANGE = timedelta(seconds=1)
"""How long a result is reused: a rest ends with time, without a change of the ledger."""
_MOST_ROLLOUTS = 64
"""From this number of kept results on, those that are too old to be reused are forgotten."""
_NOT_COUNTED = Traffic()


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
    reported_at = picture.unshown_report(claim.holder)
    node = picture.certain_node(claim.holder)
    if isinstance(node, Node) and (read_at is None or read_at < not_before):
        node = Sight.UNREAD
    # a status that existed is absent only after a second read
    read_status = picture.certain_status if tenure.progress.confirmed else picture.status
    return Seen(
        node=node,
        policy=picture.policies.certain(claim.kind, claim.subject),
        status=read_status(claim.holder, claim.subject),
        agreements=picture.agreements(claim.holder),
        node_read_at=read_at,
        status_read_at=picture.statuses_read_at(claim.holder),
        agreements_read_at=picture.agreements_read_at(claim.holder),
        unreadable=picture.why_unreadable(claim.holder),
        is_listed=is_listed,
        hides_report=reported_at is not None and reported_at > tenure.granted_at,
        recreated=created_at is not None and created_at > tenure.granted_at,
    )


class TrafficReport:
    """Answers from the ledger's tally.

    A rollout is derived once per revision of its organisation.
    """

    def __init__(self, picture: Picture, ledger: Ledger, limits_of: Callable[[GroupId], Limits]) -> None:
        self._picture = picture
        self._ledger = ledger
        self._limits_of = limits_of
        self._rollouts: dict[tuple[OrgId, Subject], tuple[str | None, int, SeenTime, Rollout]] = {}
        """The last result, with the policy's revision, the organisation's revision and the time of
        it."""

    def traffic(self, group: GroupId, limits: Limits) -> Traffic:
        """Count the other groups that have a lease, if a limit depends on it."""
        if not limits.max_groups_in_org and not limits.max_groups_in_fleet:
            return _NOT_COUNTED
        tally = self._ledger.tally
        itself = tally.is_busy(group)
        return Traffic(busy_in_org=tally.busy[ids.org_of(group)] - itself, busy_in_fleet=tally.busy_in_fleet - itself)

    def org_brakes(self, org: OrgId) -> tuple[Brake, ...]:
        """Return the brakes of an organisation."""
        braked = self._ledger.tally.braked.get(org)
        return tuple(brake for each in braked for brake in self._ledger.brakes[each].values()) if braked else ()

    def rollouts(
        self, group: GroupId, limits: Limits, subjects: Iterable[Subject], now: Now
    ) -> Mapping[Subject, Rollout]:
        """Return the rollouts in a group's organisation, if a limit depends on them."""
        if not limits.canary_percent and not limits.approval:
            return {}
        return {subject: self._rollout(ids.org_of(group), subject, now) for subject in subjects}

    def _rollout(self, org: OrgId, subject: Subject, now: Now) -> Rollout:
        revision, org_revision = self._revision(subject), self._ledger.tally.revisions[org]
        known = self._rollouts.get((org, subject))
        if known is not None and known[:2] == (revision, org_revision) and now.seen - known[2] <= _RESTS_CHANGE:
            return known[3]
        derived = self._derived(org, subject, revision, now)
        if len(self._rollouts) >= _MOST_ROLLOUTS:  # a node may ask about any number of invented policies
            kept = self._rollouts.items()
            self._rollouts = {key: each for key, each in kept if now.seen - each[2] <= _RESTS_CHANGE}
        self._rollouts[org, subject] = (revision, org_revision, now.seen, derived)
        return derived

    def _derived(self, org: OrgId, subject: Subject, revision: str | None, now: Now) -> Rollout:
        ledger = self._ledger
        leases = (ledger.granting.get(group) or ledger.leases[group] for group in ledger.tally.started[org])
        started = [self._started(each, subject, now) for each in leases if has_started(each, subject, revision)]
        return rollout(started, subject, revision, now)

    def _started(self, lease: Lease, subject: Subject, now: Now) -> Started:
        ledger, limits = self._ledger, self._limits_of(lease.group)
        node = proving(lease, limits, now)
        return Started(
            lease=lease,
            limits=limits,
            brake=ledger.brakes.get(lease.group, {}).get(subject),
            has_waiters=any(each.ask.subject == subject for each in ledger.waiters.get(lease.group, {}).values()),
            proving=None if node is None else self._picture.member(node),
        )

    def _revision(self, subject: Subject) -> str | None:
        policy = self._picture.policies.get(*subject)
        return getattr(policy, "revision", None)
