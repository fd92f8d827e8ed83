"""The upgrades that the real agbot has begun by itself, as it lists them.

A row is written before the agreement is cancelled (or the agent may begin), and deleted when the
agbot has seen the end (`reference/live-trials.md`). It can stay indefinitely (W1 to W3, A1 to A3),
so the state of the node decides whether the row still stands for an upgrade. A row of a node that
has finished, or whose lease has ended, is waited for a while and then counts as stuck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from agbot.rules import health, ids
from agbot.rules.facts import Agreement, Member, Node, NodeType, Policy, Row, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.statuses import ENDINGS, Phase, Status

STUCK_AFTER = timedelta(seconds=180)
"""An agbot deletes the row of a service up to 25 s after its containers run, and checks agents
every 60 to 73 s (measured)."""


class Standing(Enum):
    """What a row stands for at this moment."""

    FOREIGN = "foreign"
    """No upgrade of this group: its node is a cluster node, or is in another group by now."""
    UNDER_WAY = "under-way"
    OVER = "over"
    """Its node has finished, or our lease for it has ended, and the row has not been deleted
    yet."""
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowState:
    """What is remembered of a row while the agbot lists it."""

    row: Row
    not_before: datetime
    """When the agbot's list was last read without this row: the upgrade began later."""
    target: str = ""
    """The version of highest priority when the row was first read; a policy that is published again
    may have another one (W2)."""
    is_recorded: bool = False
    """We have a lease or an overlap for it."""
    standing: Standing = Standing.UNDER_WAY
    over_since: SeenTime | None = None
    marks: frozenset[str] | None = None
    """What the node reported then: if that changes, the row stands for an upgrade again."""
    has_ended_here: bool = False
    """Our own lease or overlap for it has ended, so the row is no longer waited for."""

    @property
    def is_waited_for(self) -> bool:
        """Whether no other member of the group may begin because of it."""
        return self.standing is Standing.UNDER_WAY or (self.standing is Standing.OVER and not self.has_ended_here)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts:
    """What is known of a row's node at this moment."""

    member: Member | Sight
    policy: Policy | Sight
    lease: Lease
    """Of the row's group."""
    overlaps: bool
    """Whether it is recorded as an overlap."""
    limits: Limits


def claim_of(row: Row, node: Node | Sight) -> Claim:
    """Return the upgrade that a row stands for, as far as the node is known."""
    if "/" in row.subject:
        return Claim(holder=row.node, kind=row.kind, subject=row.subject)
    # The name of a policy that a pattern made lacks the pattern's organisation (W18). A pattern may
    # be another organisation's (IBM), so the node shows it.
    pattern = node.pattern if isinstance(node, Node) else ""
    org = ids.org_of(pattern or row.node)
    return Claim(holder=row.node, kind=row.kind, subject=PolicyId(f"{org}/{row.subject}"))


def next_state(state: RowState, facts: RowFacts, now: Now) -> RowState:
    """Return the next state of a row that is still listed."""
    member = facts.member
    if isinstance(member, Member) and _is_foreign(state.row, member):
        return replace(state, standing=Standing.FOREIGN)
    claim = claim_of(state.row, member.node if isinstance(member, Member) else member)
    # kept from the first read: a policy that is published again has another top version, and the
    # agbot never deletes the row of the member that runs the former one (W2)
    if isinstance(facts.policy, Policy) and not state.target:
        state = replace(state, target=facts.policy.top_version)
    state = _as_recorded_here(state, claim, facts, now)
    may_go_on = why_over(state, claim, facts, now) is None
    # After our own end the row may stay for good (W1 to W3), and its node may look unfinished: only
    # a change of what the node reports shows that the upgrade goes on.
    if may_go_on and (not state.has_ended_here or _has_changed(state, _marks(state.row, claim, facts))):
        return replace(state, standing=Standing.UNDER_WAY, over_since=None, marks=None, has_ended_here=False)
    since = state.over_since or now.seen
    standing = Standing.STUCK if now.seen - since >= STUCK_AFTER else Standing.OVER
    return replace(state, standing=standing, over_since=since)


def _is_foreign(row: Row, member: Member) -> bool:
    return member.node.node_type is NodeType.CLUSTER or member.node.group != row.group


def _as_recorded_here(state: RowState, claim: Claim, facts: RowFacts, now: Now) -> RowState:
    """Note whether we have a lease or an overlap for the row, or had one that has ended."""
    if facts.lease.is_held_for(claim) or facts.overlaps:
        state = replace(state, is_recorded=True, has_ended_here=False)
    elif state.is_recorded:
        since, marks = state.over_since or now.seen, _marks(state.row, claim, facts)
        state = replace(state, is_recorded=False, has_ended_here=True, over_since=since, marks=marks)
    # the row of a node that does not exist is not waited for, whatever was recorded of it
    return replace(state, has_ended_here=True) if facts.member is Sight.ABSENT else state


def _has_changed(state: RowState, marks: frozenset[str] | None) -> bool:
    """Whether the node reports something else than when our lease for the row ended."""
    return marks is not None and state.marks is not None and marks != state.marks


def why_over(state: RowState, claim: Claim, facts: RowFacts, now: Now) -> str | None:
    """Say why a row's upgrade cannot be under way, by its node's state; None if it may be."""
    member, policy = facts.member, facts.policy
    if member is Sight.ABSENT:
        return f"{state.row.node} does not exist"
    if policy is Sight.ABSENT:
        return f"{claim.subject} does not exist"
    return None if isinstance(member, Sight) else _why_done(state, claim, member, facts, now)


def _why_done(state: RowState, claim: Claim, member: Member, facts: RowFacts, now: Now) -> str | None:
    row = state.row
    # dead and not only offline: an upgrade goes on while its node cannot reach the Exchange
    if health.is_dead(member.node, facts.limits, now):
        return f"{row.node} is dead: {health.why_offline(member.node, facts.limits, now)}"
    if not member.node.registered:
        return f"{row.node} is not registered"
    if row.kind is Kind.AGENT:
        status = member.statuses.get(claim.subject)
        # the agbot lists it before the agent has reported anything
        return None if status is None else _why_reported_over(status, member, facts.limits, now)
    mine = _mine(member, facts.policy)
    done = next((each for each in mine if each.finalized and each.runs and _is_wanted(each, state, facts.policy)), None)
    return f"{row.node} runs {done.service} {done.version}" if done is not None else None


def _why_reported_over(status: Status, member: Member, limits: Limits, now: Now) -> str | None:
    if status.phase in ENDINGS:
        return f"{member.node.id} reports {status.value}"
    # a final status can be lost, and then this one stays for good (A7)
    if status.phase is Phase.UNDER_WAY and not health.is_under_way(status, member, limits, now):
        return f"{member.node.id} has an old report, {status.value}"
    return None


def defect(state: RowState, claim: Claim, facts: RowFacts, now: Now) -> tuple[str, str]:
    """Return the known defect of the agbot that leaves such a row behind, and why.

    The defects are those of `reference/agbot-ha.md` 5.4 and 5.5; empty if none is known.
    """
    member = facts.member
    is_gone = isinstance(member, Sight) or health.why_offline(member.node, facts.limits, now) is not None
    why = why_over(state, claim, facts, now) or ""
    if state.row.kind is Kind.AGENT:
        return _defect_of_agent(claim, facts, why, is_gone=is_gone)
    return _defect_of_service(state, facts, why, is_gone=is_gone)


def _defect_of_agent(claim: Claim, facts: RowFacts, why: str, *, is_gone: bool) -> tuple[str, str]:
    member = facts.member
    status = member.statuses.get(claim.subject) if isinstance(member, Member) else None
    if member is Sight.ABSENT:
        return "A2", why
    is_registered = not isinstance(member, Member) or member.node.registered
    if facts.policy is Sight.ABSENT or status is None or not is_registered:
        return "A3", why or f"{claim.holder} has no status for {claim.subject}"
    why_not_deleted = why or f"{claim.holder} reports {status.value}"
    if is_gone:
        return "A1", why_not_deleted
    return "A7" if why and status.phase is Phase.UNDER_WAY else "", why_not_deleted


def _defect_of_service(state: RowState, facts: RowFacts, why: str, *, is_gone: bool) -> tuple[str, str]:
    member, policy, node = facts.member, facts.policy, state.row.node
    if policy is Sight.ABSENT:
        return "", why
    mine = _mine(member, policy) if isinstance(member, Member) else []
    running = [each for each in mine if each.finalized and each.runs]
    if is_gone or not running:
        return "W1", why or f"{node} has no agreement for it that runs"
    if any(_is_wanted(each, state, policy) for each in running):
        return "W2", why
    top = policy.top_version if isinstance(policy, Policy) else "the first version"
    return "W3", f"{node} runs {running[0].service} {running[0].version}, not {top}"


def _mine(member: Member, policy: Policy | Sight) -> list[Agreement]:
    if isinstance(member.agreements, Sight) or not isinstance(policy, Policy):
        return []
    return [each for each in member.agreements if each.service == policy.service]


def _is_wanted(agreement: Agreement, state: RowState, policy: Policy | Sight) -> bool:
    wanted = {state.target, policy.top_version if isinstance(policy, Policy) else ""}
    # an agreement without a version matches nothing, although an unread policy has none either
    return bool(agreement.version) and agreement.version in wanted


def _marks(row: Row, claim: Claim, facts: RowFacts) -> frozenset[str] | None:
    member = facts.member
    if isinstance(member, Sight):
        return None
    if row.kind is Kind.AGENT:
        status = member.statuses.get(claim.subject)
        return frozenset({_mark(status)} if status is not None else ())
    if isinstance(member.agreements, Sight):
        return None
    service = facts.policy.service if isinstance(facts.policy, Policy) else ""
    return frozenset(each.id for each in member.agreements if service in {"", each.service})


def _mark(status: Status) -> str:
    return f"{status.value} {status.stamp}"
