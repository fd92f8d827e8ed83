"""The plan of reads: everything that is read for a group while something happens in it.

Pure, and for one group at a time: the group's activity and what is known of it determine what must
be known, why, and how old it may be (`reads.Wanted`). A group without activity needs no reads. The
shell does those that are due, and gets the time of the next one from the same values. `occasions`
has the reads that are done once. The maximum ages are in `docs/decisions/0017` (what ends without a
row in the feed).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

import msgspec

from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.fleet.reads import NOW, Ages, Wanted, Why
from agbot.fleet.view import View
from agbot.rules import health, rest
from agbot.rules.facts import Ask, Member, Node, NodeType
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.reasons import Code
from agbot.rules.records import Brake, Deferral, Waiter
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Phase

_AHEAD = 0.8
"""A waiter's services are read after this share of their maximum age, so that no question waits for
that."""
_BLOCKING_SERVICES = frozenset({Code.PEERS_UNAVAILABLE, Code.SOAKING})
"""The reasons that may be about a service that does not run."""


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What happens in one group, as far as it determines what is read."""

    group: GroupId
    limits: Limits
    lease: Lease
    waiters: Collection[Waiter] = ()
    deferrals: Collection[Deferral] = ()
    brakes: Collection[Brake] = ()
    expected: Collection[Ask] = ()
    """The questions that members are about to ask, by their statuses (`asks_of`)."""
    has_joined: bool = False
    """A member has joined, and it was not decided yet whether it is in the middle of an upgrade."""

    @property
    def is_busy(self) -> bool:
        """Whether a member upgrades, waits, is about to ask, or has joined."""
        return bool(self.lease.tenure is not None or self.waiters or self.deferrals or self.expected or self.has_joined)


def of_group(activity: Activity, view: View, ages: Ages, now: Now) -> list[Wanted]:
    """Return what must be known of a group with this activity, also what is not due yet."""
    found = [*_proof_of_rest(activity, view, ages, now), *_of_brakes(activity, view)]
    if activity.is_busy:
        found += missing(activity.group, view, activity.limits)
        found += _services_of_waiters(activity, view, ages, now)
        found += heartbeats(activity.group, view, ages.heartbeat, Why.HEARTBEAT)
        found += _subjects(activity, ages)
        found += _holder(activity.lease, view, ages)
        found += _expected(activity, view, ages, now)
        found += _upgrading_reports(activity, view, ages, now)
        found += _deferred_services(activity, ages)
    return found


def at_once(reads: Iterable[Read], why: Why) -> list[Wanted]:
    """Return these reads as due now, whenever they were last done."""
    return [Wanted(read=read, why=why, max_age=NOW) for read in reads]


def asks_of(node: NodeId, view: View) -> Iterator[Ask]:
    """Yield the questions that a node is about to ask.

    Its agent reports `download started` or `ha node waiting` before it asks.
    """
    member = view.member(node)
    if not isinstance(member, Member) or member.node.group is None or member.node.node_type is NodeType.CLUSTER:
        return
    for policy, status in member.statuses.items():
        if status.phase is Phase.ASKING:
            yield Ask(group=member.node.group, claim=Claim(holder=node, kind=Kind.AGENT, subject=policy))


def missing(group: GroupId, view: View, limits: Limits) -> list[Wanted]:
    """Return what must be read before a decision about a group."""
    return at_once(view.unread(group, by_property=bool(limits.order_property)), Why.GROUP)


def heartbeats(group: GroupId, view: View, max_age: timedelta, why: Why) -> Iterator[Wanted]:
    """Yield the members of a group, each with its heartbeat."""
    return (
        Wanted(read=Read(what=What.NODE, id=node), why=why, max_age=max_age) for node in view.membership.of_group(group)
    )


def _subjects(activity: Activity, ages: Ages) -> Iterator[Wanted]:
    """Yield the policies of the holder and the waiters."""
    # read again even without a row: those of a deleted user or organisation end without one
    claims = [waiter.ask.claim for waiter in activity.waiters]
    reads = [policy_read(claim.kind, claim.subject) for claim in claims if claim.kind is not Kind.HOST]
    tenure = activity.lease.tenure
    if tenure is not None and tenure.claim.subject and tenure.claim.kind is not Kind.HOST:
        reads.append(policy_read(tenure.claim.kind, tenure.claim.subject, tenure.progress.pattern))
    return (Wanted(read=read, why=Why.SUBJECT, max_age=2 * ages.heartbeat) for read in dict.fromkeys(reads))


def _holder(lease: Lease, view: View, ages: Ages) -> list[Wanted]:
    """Return the holder's node and status, and its services in a service upgrade."""
    if lease.tenure is None:
        return []
    holder, before = lease.tenure.claim.holder, lease.tenure.progress.version_before
    max_ages: dict[What, timedelta | None] = {What.NODE: ages.heartbeat, What.STATUSES: None}
    if lease.tenure.claim.kind is Kind.SERVICE:
        max_ages[What.AGREEMENTS] = ages.quick  # the feed shows no containers to an agbot
    else:
        # The feed announces statuses, but it may have stopped. An agent that runs another version
        # than at the grant has ended its upgrade or is about to, so its status is read as often as
        # its heartbeat.
        known = view.node(holder)
        runs_another = isinstance(known, Node) and bool(before) and known.agent_version != before
        max_ages[What.STATUSES] = min(ages.statuses, ages.heartbeat) if runs_another else ages.statuses
    return [Wanted(read=Read(what=what, id=holder), why=Why.HOLDER, max_age=age) for what, age in max_ages.items()]


def _expected(activity: Activity, view: View, ages: Ages, now: Now) -> Iterator[Wanted]:
    """Yield what the expected questions will need, so that their answers do not wait for it."""
    for ask in activity.expected:
        yield Wanted(read=policy_read(ask.claim.kind, ask.claim.subject), why=Why.REPORT)
        if depends_on_services(ask, activity.lease, view, activity.limits):
            yield from services([ask], view, activity.limits, ages.services, now)


def _upgrading_reports(activity: Activity, view: View, ages: Ages, now: Now) -> Iterator[Wanted]:
    """Yield the statuses of members without the lease that seem to be in an upgrade."""
    # Their peers are refused meanwhile, and the end may have no row in the feed. Not the holder's:
    # what ends a lease without a row is the end of its node or its policy, and both are read
    # (decision 17).
    deferred = {each.node for each in activity.deferrals if each.kind is Kind.AGENT}
    tenure = activity.lease.tenure
    holder = tenure.claim.holder if tenure is not None and tenure.claim.kind is Kind.AGENT else None
    members_of = view.membership.of_group(activity.group)
    may_upgrade = [node for node in members_of if node in deferred or (node != holder and view.may_upgrade(node))]
    members = view.read_members(activity.group) if may_upgrade else {}  # hardly ever needed
    return (
        Wanted(read=Read(what=What.STATUSES, id=node), why=Why.DEFERRAL, max_age=ages.heartbeat)
        for node in may_upgrade
        if node in members and (node in deferred or health.upgrading(members[node], activity.limits, now) is not None)
    )


def _deferred_services(activity: Activity, ages: Ages) -> Iterator[Wanted]:
    """Yield the services that have been down since their node joined."""
    # quick, because the feed announces neither new agreements nor containers
    nodes = [each.node for each in activity.deferrals if each.kind is Kind.SERVICE]
    reads = (Read(what=What.AGREEMENTS, id=node) for node in nodes)
    return (Wanted(read=read, why=Why.DEFERRAL, max_age=ages.quick) for read in reads)


def _services_of_waiters(activity: Activity, view: View, ages: Ages, now: Now) -> list[Wanted]:
    """Return members' services, read before the next question, and soon if they block waiters."""
    limits = activity.limits
    waiters = [each for each in activity.waiters if depends_on_services(each.ask, activity.lease, view, limits)]
    if not waiters:
        return []
    found = services([each.ask for each in waiters], view, limits, ages.services * _AHEAD, now)
    if any(reason.code in _BLOCKING_SERVICES for waiter in waiters for reason in waiter.reasons):
        found += stopped_services(activity.group, view, limits, ages.quick, now)
    return found


def depends_on_services(ask: Ask, lease: Lease, view: View, limits: Limits) -> bool:
    """Whether members' services can keep this asker waiting."""
    if lease.tenure is not None:
        return False  # others wait for its end, and the holder's own question is not decided again
    members = view.read_members(ask.group)
    if ask.is_service or not limits.services_must_run or not health.required_of_others(limits, len(members)):
        return False
    asker = members.get(ask.node)
    return asker is None or asker.node.node_type is not NodeType.CLUSTER


def services(asks: Collection[Ask], view: View, limits: Limits, max_age: timedelta, now: Now) -> list[Wanted]:
    """Return the services on which these questions about one group depend: those of devices."""
    group, askers = next(ask.group for ask in asks), {ask.node for ask in asks}
    members = view.read_members(group)
    devices = {node: each for node, each in members.items() if each.node.node_type is not NodeType.CLUSTER}
    peers = {node: each for node, each in devices.items() if askers != {node}}
    # the asker's own are at stake, which matters only if a peer may lack one of them: two requests
    # saved
    is_at_stake = any(health.may_lack_a_service(each, limits, now) for each in peers.values())
    return list(_optional_services(devices if is_at_stake else peers, Why.SERVICES, max_age))


def stopped_services(group: GroupId, view: View, limits: Limits, max_age: timedelta, now: Now) -> list[Wanted]:
    """Return the services of members that are unavailable only because a service does not run."""
    members = view.read_members(group)
    at_stake = {service for member in members.values() for service in health.services_at_stake(member) or ()}

    def is_down(member: Member) -> bool:
        is_there = member.node.registered and health.why_offline(member.node, limits, now) is None
        return is_there and any(health.why_not_running(member, limits, now, each) for each in (None, at_stake))

    down = (node for node, member in members.items() if is_down(member))
    return list(_optional_services(down, Why.BLOCKER, max_age))


def _optional_services(nodes: Iterable[NodeId], why: Why, max_age: timedelta) -> Iterator[Wanted]:
    reads = (Read(what=What.AGREEMENTS, id=node) for node in nodes)
    return (Wanted(read=read, why=why, max_age=max_age, is_optional=True) for read in reads)


def _proof_of_rest(activity: Activity, view: View, ages: Ages, now: Now) -> list[Wanted]:
    """Return what ends a group's rest: that its upgraded member has been seen healthy."""
    lease, limits = activity.lease, activity.limits
    if lease.tenure is not None and not lease.tenure.progress.observed:
        return []  # a grant means that the rest is over; an unasked upgrade may begin during it
    after = rest.rest_after(lease.last_end, limits)
    member = view.member(after.end.claim.holder) if after is not None else None
    if after is None or not isinstance(member, Member) or not rest.lacks_proof(after, member, limits, now):
        return []
    node = after.end.claim.holder
    found = [Wanted(read=Read(what=What.NODE, id=node), why=Why.REST, max_age=ages.quick)]
    if rest.needs_services(after, limits):
        # during the rest, a crash must be found before the next member begins; services that run
        # after it are read again only if an agreement ends while a heartbeat is waited for
        is_open = rest.needs_services_again(after, member, limits, now)
        max_age = ages.rest if now.seen < after.until else ages.quick if is_open else None
        read = Read(what=What.AGREEMENTS, id=node)
        found.append(Wanted(read=read, why=Why.REST, max_age=max_age, not_before=after.until, is_optional=True))
    return found


def _of_brakes(activity: Activity, view: View) -> Iterator[Wanted]:
    """Yield what ends brakes: a policy that may be new or gone, and a group that may be gone."""
    if not activity.brakes:
        return
    for brake in activity.brakes:
        if brake.kind is Kind.HOST:
            continue  # only an operator lifts it, as there is no policy
        yield Wanted(read=view.policies.read_of(brake.kind, brake.subject), why=Why.BRAKE)
    if view.why_missing(activity.group) is not None:
        yield Wanted(read=Read(what=What.GROUP, id=activity.group), why=Why.BRAKE)
