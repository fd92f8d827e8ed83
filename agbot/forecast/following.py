"""Who would ask in a rollout, for what and from when on, and who would not and why. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agbot.exchange.policy_mapping import Aim
from agbot.forecast.matching import is_for
from agbot.forecast.snapshot import Snapshot, Tenure
from agbot.rules import health
from agbot.rules.facts import Ask, Member, Node, NodeType, Policy
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.rules.limits import Limits, LimitsOf
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.statuses import DONE, Phase, Status

_FAILED = frozenset({Phase.ENDED_BADLY, Phase.FAILING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A member that will ask."""

    ask: Ask
    begins_at: datetime
    """Not before this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A member that the policy is for, and that will not ask."""

    group: GroupId
    node: NodeId
    subject: PolicyId
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """The members that a rollout is for, by what they would do."""

    wishes: tuple[Wish, ...]
    absent: tuple[Absent, ...]
    done: int
    """Members that are done with it already."""
    unclear: int = 0
    """Members of which it is not plain whether the policy is for them: counted as if it were, if no
    member has reported a status for it, else as if it were not."""


def number(node: NodeId) -> int:
    """Return a number that is always the same for a node and spread over all nodes."""
    return zlib.crc32(node.encode())


def of_agents(snapshot: Snapshot, aim: Aim, limits_of: LimitsOf, now: datetime) -> Following:
    """Return the members that would follow a node management policy."""
    policy, wishes, absent, done = aim.policy.id, list[Wish](), list[Absent](), 0
    is_known = any(policy in each for each in snapshot.statuses.values())
    unclear = list[NodeId]()
    for group, node in _devices(snapshot):
        status = _present(snapshot.statuses.get(node.id, {}).get(policy), aim.policy)
        # a member that has reported a status has matched: its agent evaluates every constraint
        wanted = True if status is not None else is_for(aim, node, snapshot.properties.get(node.id, {}))
        if wanted is None:
            # once some member has reported, those that have not are not meant
            unclear.append(node.id)
            wanted = not is_known
        if not wanted:
            continue
        if status is not None and status.phase in DONE:
            done += 1
            continue
        why = _why_not(node, status, limits_of(group), now)
        if why:
            absent.append(Absent(group=group, node=node.id, subject=policy, text=why))
        else:
            claim = Claim(holder=node.id, kind=Kind.AGENT, subject=policy)
            wishes.append(Wish(ask=Ask(group=group, claim=claim), begins_at=_begin(aim, node.id, now)))
    return Following(wishes=tuple(wishes), absent=tuple(absent), done=done, unclear=len(unclear))


def of_services(snapshot: Snapshot, policy: Policy, limits_of: LimitsOf, now: datetime) -> Following:
    """Return the members that would follow a deployment policy: they have its service.

    A member that runs the version of highest priority is done.
    """
    wishes, absent, done = list[Wish](), list[Absent](), 0
    for group, node in _devices(snapshot):
        mine = [each for each in snapshot.agreements.get(node.id, ()) if each.service == policy.service]
        if not mine:
            continue
        if any(each.version == policy.top_version and each.runs for each in mine):
            done += 1
            continue
        why = _why_not(node, None, limits_of(group), now)
        if why:
            absent.append(Absent(group=group, node=node.id, subject=policy.id, text=why))
        else:
            claim = Claim(holder=node.id, kind=Kind.SERVICE, subject=policy.id)
            wishes.append(Wish(ask=Ask(group=group, claim=claim, agreement_bound=True), begins_at=now))
    return Following(wishes=tuple(wishes), absent=tuple(absent), done=done)


def _devices(snapshot: Snapshot) -> Iterator[tuple[GroupId, Node]]:
    for group, members in snapshot.groups.items():
        for name in members:
            node = snapshot.nodes[name]
            if node.node_type is NodeType.DEVICE:
                yield group, node


def _present(status: Status | None, policy: Policy) -> Status | None:
    """Return a report about the policy's present revision; None for one about an earlier one."""
    # a finished status of an earlier revision must not count as done with this one
    revised_at = policy.revised_at
    is_old = status is not None and revised_at is not None and status.is_dated and status.updated_at < revised_at
    return None if is_old else status


def _why_not(node: Node, status: Status | None, limits: Limits, now: datetime) -> str:
    """Return why a member would not ask; empty if it would."""
    if not node.registered:
        return "its agent is not registered"
    offline = health.why_offline(node, limits, Now(wall=now, seen=SeenTime(now)))
    if offline is not None:
        return offline
    return f"it reports {status.value!r} and does not try again" if status and status.phase in _FAILED else ""


def _begin(aim: Aim, node: NodeId, now: datetime) -> datetime:
    """Return when a member begins to ask: spread over the window of the start, as agents do."""
    start = max(aim.start or now, now)
    spread = number(node) % 1000 / 1000 * aim.window_seconds
    return max(start + timedelta(seconds=spread), now)


def under_way(snapshot: Snapshot, limits_of: LimitsOf) -> tuple[Tenure, ...]:
    """Return the upgrades under way, one of a group at most."""
    # The coordinator's leases come first: they are all, if it could be asked. What members report
    # stands in for them where it could not.
    now = Now(wall=snapshot.taken_at, seen=SeenTime(snapshot.taken_at))
    found = {each.group: each for each in snapshot.orders.tenures if each.node in snapshot.groups.get(each.group, ())}
    for group, node in _devices(snapshot):
        member = Member(node=node, statuses=snapshot.statuses.get(node.id, {}))
        subject = health.upgrading(member, limits_of(group), now) if group not in found else None
        if subject is not None:
            since = member.statuses[subject].updated_at
            found[group] = Tenure(group=group, node=node.id, kind=Kind.AGENT, subject=subject, since=since)
    return tuple(found.values())


def joined(parts: Sequence[Following]) -> Following:
    """Return the members of several policies."""
    return Following(
        wishes=tuple(each for part in parts for each in part.wishes),
        absent=tuple(each for part in parts for each in part.absent),
        done=sum(part.done for part in parts),
        unclear=sum(part.unclear for part in parts),
    )
