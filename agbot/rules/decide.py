"""May this node upgrade now? All reasons why not, the first one first.

Every rule is a function of (ask, group, now) that returns a reason or None, and `RULES` is the order in which they speak. All of them are
always asked, so that a waiter knows everything it waits for. Whatever is not plainly allowed waits: a rule that cannot see gives a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agbot.rules import beside, brakes, consent, health, ids, order, pace, window
from agbot.rules import deferral as deferrals
from agbot.rules import rest as rests
from agbot.rules.facts import Allowance, Ask, Group, Member, NodeType, Pause, Sight
from agbot.rules.ids import NodeId
from agbot.rules.lease import State
from agbot.rules.reasons import NEVER_REMEMBERED, Code, Reason
from agbot.rules.seen_time import Now
from agbot.rules.words import clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Yes. `exempt` names why no lease is taken; `repeated` is the same yes as before, under the same token."""

    exempt: Reason | None = None
    repeated: bool = False
    allowed: Allowance | None = None
    """A person's word without which it would be no; it is used up by this grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not yet, with every reason that holds."""

    reasons: tuple[Reason, ...]
    is_remembered: bool = field(init=False, compare=False)
    """Whether the asker becomes a waiter; a question that makes no sense leaves nothing behind."""

    def __post_init__(self) -> None:
        """Find out once what is asked several times for each refusal."""
        is_remembered = NEVER_REMEMBERED.isdisjoint([reason.code for reason in self.reasons])
        object.__setattr__(self, "is_remembered", is_remembered)


Decision = Grant | Wait
Rule = Callable[[Ask, Group, Now], Reason | None]


def decide(ask: Ask, group: Group, now: Now) -> Decision:
    """Answer a question from the group's facts. Pure: the same facts give the same answer."""
    blocking = why_not(ask, group, now)
    wait = Wait(reasons=blocking)
    if not wait.is_remembered:
        return wait
    is_sure = (
        group.lease.token > group.token_floor or not blocking
    )  # a restored lease may have ended, and another begun
    if group.lease.is_held_for(ask.claim) and is_sure:
        return Grant(repeated=True)
    exempt = _exemption(ask, group, now)
    if exempt is not None and not group.doubts:
        return Grant(exempt=exempt)
    if not blocking:
        return Grant()
    allowed = consent.allowance(ask, group, now)
    left = consent.without_allowed(blocking, allowed)
    return Wait(reasons=left) if left else Grant(allowed=allowed)


def why_not(ask: Ask, group: Group, now: Now) -> tuple[Reason, ...]:
    """Return all reasons against a new grant, in the order of `RULES`."""
    return _spoken(RULES, ask, group, now)


def _spoken(rules: Iterable[Rule], ask: Ask, group: Group, now: Now) -> tuple[Reason, ...]:
    return tuple([reason for rule in rules if (reason := rule(ask, group, now)) is not None])


def _exemption(ask: Ask, group: Group, now: Now) -> Reason | None:
    """Cluster nodes are never gated; a deferred node is not gated for the upgrade it came with.

    One that has lost the lease with its report is: that report may be a backup's, and who asks anew stands before the gate.
    """
    member, served = group.members[ask.node], group.served.get(ask.node)
    node, joined_at = member.node, member.joined_at
    if node.node_type is NodeType.CLUSTER:
        return Reason(code=Code.CLUSTER_NODE, text=f"{ask.node} is a cluster node; HA groups gate device nodes only")
    deferral = group.deferrals.get(ask.node)
    has_come = served is None or (joined_at is not None and now.seen_at(joined_at) > served.until)
    if deferral is not None and has_come and deferrals.covers(deferral, ask):
        text = f"{ask.node} joined {group.id} while {deferral.what} was under way; enforced after that"
        if deferral.is_overlap:
            text = f"{deferral.what} of {ask.node} is under way already; enforced after that"
        return Reason(code=Code.DEFERRED, text=text)
    return None


def doubt(_ask: Ask, group: Group, _now: Now) -> Reason | None:
    """When the store or the view of the Exchange cannot be trusted, nothing is granted (P4)."""
    return next(iter(group.doubts), None)


def not_a_member(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """Only a member is asked about; the Exchange's answer of this moment decides."""
    if ask.node in group.members:
        return None
    return Reason(code=Code.NOT_A_MEMBER, text=f"{ask.node} is not in HA group {group.id}")


def deferred(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """A deferred node finishes the upgrade it came with before it starts another."""
    deferral = group.deferrals.get(ask.node)
    if deferral is None or deferrals.covers(deferral, ask):
        return None
    when = "" if deferral.is_overlap else ", under way when it joined"
    return Reason(code=Code.DEFERRED, text=f"{ask.node} has to finish {deferral.what} first{when}")


def unknown_policy(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """A policy that does not exist, or is disabled, is refused and leaves nothing behind (A8)."""
    policy = group.policies.get(ask.subject, Sight.UNREAD)
    if policy is Sight.UNREAD:
        return Reason(code=Code.VIEW_STALE, text=f"{ask.claim.subject} has not been read from the Exchange yet")
    if isinstance(policy, Sight):
        return Reason(code=Code.UNKNOWN_POLICY, text=f"{_policy_noun(ask)} {ask.claim.subject} does not exist")
    if not policy.enabled:
        return Reason(code=Code.POLICY_DISABLED, text=f"{_policy_noun(ask)} {ask.claim.subject} is disabled")
    return None


def lease_held(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """One upgrade per group, whoever's and whatever it is."""
    hold = group.lease.hold
    if hold is None or group.lease.state is not State.HELD or group.lease.is_held_for(ask.claim):
        return None
    claim = hold.claim
    return Reason(
        code=Code.LEASE_HELD,
        text=f"{claim.holder} upgrades {claim.subject} since {clock(hold.granted_at)}"
        if claim.subject
        else f"a service of {claim.holder} is down since {clock(hold.granted_at)}",
        facts={
            "holder": claim.holder,
            "kind": claim.kind,
            "subject": claim.subject,
            "token": group.lease.token,
            "status": hold.progress.status,
        },
    )


def lease_suspect(ask: Ask, group: Group, now: Now) -> Reason | None:
    """A suspect lease blocks; an agreement-bound service upgrade takes it over when its holder, a peer, is seen offline.

    Not its own: a node that has died in the middle of its agent's upgrade may go on with it when it returns. Nor does a third member begin
    a release in the middle of which two have fallen silent, one after the other.
    """
    hold = group.lease.hold
    if hold is None or group.lease.state is not State.SUSPECT or group.lease.is_held_for(ask.claim):
        return None
    holder = group.members.get(hold.claim.holder)
    offline = holder is not None and health.why_silent(holder.node, group.limits, now) is not None
    is_deadly = brakes.is_second_to_fall(group.lease) and ask.subject == (hold.claim.kind, hold.claim.subject)
    if ask.is_bound_service and offline and hold.claim.holder != ask.node and not is_deadly:
        return None
    more = f", as with {group.lease.last_end.claim.holder} before it" if is_deadly and group.lease.last_end else ""
    return Reason(
        code=Code.LEASE_SUSPECT,
        text=f"{hold.claim.holder} took the lease for {hold.claim.what} and it is not known how that ended{more}",
        facts={"holder": hold.claim.holder, "subject": hold.claim.subject, "token": group.lease.token},
    )


def soaking(ask: Ask, group: Group, now: Now) -> Reason | None:
    """After success the group rests, and the upgraded member must be seen healthy before the next one goes."""
    rest = rests.rest_after(group.lease.last_end, group.limits)
    if rest is None:
        return None
    holder = rest.end.claim.holder
    if now.seen < rest.until:
        until = now.shown(rest.until)
        text = f"the group rests after {holder} until {clock(until)}"
        return Reason(code=Code.SOAKING, text=text, until=until)
    member = group.members.get(holder)
    is_waited_for = member is not None and rests.is_waited_for(rest, member, now)
    return _unproven(rest, member, ask, group, now) if member is not None and is_waited_for else None


def _unproven(rest: rests.Rest, member: Member, ask: Ask, group: Group, now: Now) -> Reason | None:
    """Wait for what the member has to show. It may itself go on to something else, but does not begin the same once more."""
    contradiction, is_own = rests.why_contradicted(rest, member), ask.node == member.node.id
    if contradiction is not None and not (is_own and ask.claim != rest.end.claim):
        until = None if rest.version_until is None else now.shown(rest.version_until)
        return Reason(code=Code.SOAKING, text=contradiction, until=until)
    why = None if is_own else rests.why_unproven(rest, member, group.limits, now)
    if why is None:
        return None
    text = f"{member.node.id} has not been seen healthy since its upgrade ended at {clock(rest.end.at)}: {why}"
    return Reason(code=Code.SOAKING, text=text, until=now.shown(rest.proof_until))


def paused(ask: Ask, group: Group, now: Now) -> Reason | None:
    """A person's pause of the fleet, the organisation, the group or the node; of several, all have to end."""
    if not group.pauses:
        return None
    found = [each for each in group.pauses if applies(each, group, now) or pauses_node(each, ask.node, now)]
    if not found:
        return None
    ends = [each.until for each in found if each.until is not None]
    until = max(ends) if len(ends) == len(found) else None
    return Reason(code=Code.PAUSED, text="; ".join(said_pause(each) for each in found), until=until)


def said_pause(pause: Pause) -> str:
    """Tell a pause."""
    until = f" until {clock(pause.until)}" if pause.until else ""
    return f"paused{until} by {pause.by}: {pause.why}"


def applies(pause: Pause, group: Group, now: Now) -> bool:
    """Tell whether a pause covers this group at this time."""
    return not is_over(pause, now) and pause.scope in {"*", ids.org_of(group.id), group.id}


def pauses_node(pause: Pause, node: NodeId, now: Now) -> bool:
    """Tell whether a pause covers this single node at this time."""
    return not is_over(pause, now) and pause.scope == ids.node_scope(node)


def is_over(pause: Pause, now: Now) -> bool:
    """Tell whether a pause has ended by its own time."""
    return pause.until is not None and now.is_steady and now.wall >= pause.until


def outside_window(_ask: Ask, group: Group, now: Now) -> Reason | None:
    """Upgrades start only while a maintenance window is open, if the operator has given any."""
    windows = group.limits.windows
    if windows and not now.is_steady:
        text = "the date has changed a moment ago, so nobody can say whether a maintenance window is open"
        return Reason(code=Code.OUTSIDE_WINDOW, text=text)
    if not windows or any(window.is_open(each, now.wall) for each in windows):
        return None
    opening = window.next_opening(windows, now.wall)
    return Reason(
        code=Code.OUTSIDE_WINDOW,
        text=f"no maintenance window is open; the next opens at {clock(opening)}"
        if opening
        else "no window ever opens",
        until=opening,
    )


def peers_unavailable(ask: Ask, group: Group, now: Now) -> Reason | None:
    """With this node down enough other members must be available. Never for a service with a current agreement (P6).

    A peer whose service is down is missed only where the asker runs that service: going down takes nothing else away.
    """
    others = [member for node, member in group.members.items() if node != ask.node]
    if ask.is_bound_service or not others:
        return None
    at_stake = health.served_by(group.members.get(ask.node))
    missing = health.unavailable(others, group.deferrals, group.limits, now, at_stake)
    available, required = len(others) - len(missing), health.required_of_others(group.limits, len(group.members))
    if available >= required:
        return None
    why = "; ".join(f"{node} {reason}" for node, reason in sorted(missing.items()))
    must_be = f"{required} must be ({health.said_required(group.limits, len(group.members))})"
    return Reason(
        code=Code.PEERS_UNAVAILABLE,
        text=f"{available} of {len(others)} other members are available, {must_be}: {why}",
        facts={"available": available, "required": required, "others": len(others)},
    )


_BEFORE_TURN: tuple[Rule, ...] = (
    doubt,
    not_a_member,
    deferred,
    unknown_policy,
    lease_held,
    beside.overlap,
    beside.agbot_unavailable,
    lease_suspect,
    soaking,
    brakes.brake,
    brakes.org_brake,
    paused,
    outside_window,
    consent.not_approved,
    pace.canary,
    pace.paced,
    peers_unavailable,
)


def turn(ask: Ask, group: Group, now: Now) -> Reason | None:
    """The asker yields to those who come before it and could go now."""
    return order.turn(ask, group, now, _could_go)


RULES: tuple[Rule, ...] = (*_BEFORE_TURN, turn)
"""The order in which reasons are given (DESIGN, section 5)."""


def _could_go(ask: Ask, group: Group, now: Now) -> bool:
    """Whether nothing but its turn keeps this asker."""
    return not consent.without_allowed(_spoken(_BEFORE_TURN, ask, group, now), consent.allowance(ask, group, now))


def _policy_noun(ask: Ask) -> str:
    return "node management policy" if ask.is_agent else "deployment policy"
