"""What each rule looks at when it speaks: its facts in short, and when the oldest of them was read from the Exchange.

A rule that rests on the ledger, on settings or on a person's word rests on no read and has no age. Facts are bounded: a rule about many
members names one of them, the reason names the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from agbot.coordinator.dossier import Case
from agbot.coordinator.situation import Situation
from agbot.fleet.changes import Read, What
from agbot.rules import beside, brakes, consent, decide, health, order, pace
from agbot.rules import rest as rests
from agbot.rules.decide import Rule
from agbot.rules.facts import Policy
from agbot.rules.lease import State
from agbot.rules.seen_time import SeenTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a rule has looked at."""

    facts: Mapping[str, object] = field(default_factory=dict)
    read_at: SeenTime | None = None
    """When the oldest of it was read; None where nothing was."""


def of(rule: Rule, case: Case, situation: Situation) -> Evidence:
    """Return what this rule looked at."""
    return EVIDENCE[rule](case, situation)


def _oldest(reads: Iterable[SeenTime | None]) -> SeenTime | None:
    """Return the earliest of these reads; what was never read has no age."""
    return min((each for each in reads if each is not None), default=None)


def _trust(case: Case, situation: Situation) -> Evidence:
    doubts = {"doubts": [str(reason.code) for reason in case.group.doubts]} if case.group.doubts else {}
    return Evidence(facts=doubts, read_at=situation.view_at)


def _membership(case: Case, situation: Situation) -> Evidence:
    return Evidence(facts={"members": len(case.group.members)}, read_at=situation.picture.node_read_at(case.ask.node))


def _deferral(case: Case, situation: Situation) -> Evidence:
    deferral = case.group.deferrals.get(case.ask.node)
    facts = {"deferred_for": deferral.what, "since": deferral.since} if deferral else {}
    return Evidence(facts=facts, read_at=situation.picture.statuses_read_at(case.ask.node))


def _policy(case: Case, situation: Situation) -> Evidence:
    policy = case.group.policies.get(case.ask.subject)
    facts = {"revision": policy.revision} if isinstance(policy, Policy) else {}
    return Evidence(facts=facts, read_at=situation.picture.policies.read_at(*case.ask.subject))


def _lease(case: Case, _situation: Situation) -> Evidence:
    return Evidence(facts={"token": case.group.lease.token, "state": str(case.group.lease.state)})


def _overlap(case: Case, situation: Situation) -> Evidence:
    """An overlap is a deferral that carries its policy, and rests on the agreements of its node."""
    found = [each for each in case.group.deferrals.values() if each.is_overlap]
    reads = [situation.picture.agreements_read_at(each.node) for each in found]
    facts = {"overlapping": sorted(each.node for each in found)} if found else {}
    if case.group.rows:
        facts["listed"] = sorted({row.node for row in case.group.rows})
    return Evidence(facts=facts, read_at=_oldest([*reads, situation.rows.looked_at]))


def _agbot(case: Case, situation: Situation) -> Evidence:
    facts = {} if case.group.agbot_doubt is None else {"agbot": situation.rows.failing or "not read yet"}
    return Evidence(facts=facts, read_at=situation.rows.looked_at)


def _suspect(case: Case, situation: Situation) -> Evidence:
    """A suspect lease can be taken over from a holder that is offline, so that one's heartbeat counts."""
    lease = case.group.lease
    if lease.hold is None or lease.state is not State.SUSPECT:
        return _lease(case, situation)
    holder = lease.hold.claim.holder
    member = case.group.members.get(holder)
    heartbeat = {"heartbeat_at": member.node.heartbeat_at} if member is not None else {}
    facts = {"token": lease.token, "state": str(lease.state), "holder": holder, **heartbeat}
    return Evidence(facts=facts, read_at=situation.picture.node_read_at(holder))


def _rest(case: Case, situation: Situation) -> Evidence:
    end = case.group.lease.last_end
    rest = rests.rest_after(end, case.group.limits)
    if end is None or rest is None:
        return Evidence(facts={"last_end": str(end.cause)} if end is not None else {})
    facts = {"last_end": str(end.cause), "holder": end.claim.holder, "ended_at": end.at}
    member = case.group.members.get(end.claim.holder)
    if member is None or case.at.seen >= rest.proof_until:
        return Evidence(facts=facts)
    read_at = situation.picture.node_read_at(end.claim.holder)
    reads = [read_at, member.agreements_read_at if rests.needs_services(rest, case.group.limits) else None]
    facts["heartbeat_at"] = member.node.heartbeat_at
    return Evidence(facts=facts, read_at=_oldest(reads))


def _brake(case: Case, situation: Situation) -> Evidence:
    """A brake holds for one revision of the policy, and for whoever still brings what failed."""
    seen, brought = _policy(case, situation), brakes.brought_by(case.ask, case.group)
    return replace(seen, facts={**seen.facts, "brings": str(brought)}) if brought and case.group.brakes else seen


def _org_brake(case: Case, _situation: Situation) -> Evidence:
    failed = brakes.failed_groups(case.ask, case.group)
    return Evidence(facts={"failed_groups": len(failed), "groups": case.group.org_groups})


def _approvals(case: Case, _situation: Situation) -> Evidence:
    scopes = [each.scope for each in case.group.approvals if (each.kind, each.subject) == case.ask.subject]
    return Evidence(facts={"approved_in": scopes} if scopes else {})


def _canary(case: Case, _situation: Situation) -> Evidence:
    rollout = case.group.rollouts.get(case.ask.subject)
    if rollout is None:
        return Evidence()
    unproven = {"unproven": len(rollout.unproven)} if rollout.unproven else {}
    return Evidence(facts={"started": len(rollout.places), "unfinished": len(rollout.unfinished), **unproven})


def _traffic(case: Case, _situation: Situation) -> Evidence:
    traffic, limits = case.group.traffic, case.group.limits
    if not limits.max_groups_in_org and not limits.max_groups_in_fleet:
        return Evidence()
    return Evidence(facts={"busy_in_org": traffic.busy_in_org, "busy_in_fleet": traffic.busy_in_fleet})


def _pauses(case: Case, _situation: Situation) -> Evidence:
    return Evidence(facts={"scopes": [pause.scope for pause in case.group.pauses]} if case.group.pauses else {})


def _windows(case: Case, _situation: Situation) -> Evidence:
    windows = case.group.limits.windows
    return Evidence(facts={"windows": [str(window) for window in windows]} if windows else {})


def _peers(case: Case, situation: Situation) -> Evidence:
    members, limits, asker = case.group.members, case.group.limits, case.ask.node
    others = [member for node, member in members.items() if node != asker]
    if case.ask.is_bound_service or not others:
        return Evidence(facts={"others": len(others), "required": 0})
    at_stake = health.served_by(members.get(asker))
    missing = health.unavailable(others, case.group.deferrals, limits, case.at, at_stake)
    facts: dict[str, object] = {
        "available": len(others) - len(missing),
        "others": len(others),
        "required": health.required_of_others(limits, len(members)),
    }
    silent = min((each.node for each in others), key=lambda node: (node.heartbeat_at is not None, node.heartbeat_at))
    facts |= {"oldest_heartbeat_of": silent.id, "heartbeat_at": silent.heartbeat_at}
    reads = [situation.picture.node_read_at(each.node.id) for each in others]
    if limits.services_must_run:
        facts["services"] = sorted(at_stake or ())
        reads += [each.agreements_read_at for each in others]
    return Evidence(facts=facts, read_at=_oldest(reads))


def _turn(case: Case, situation: Situation) -> Evidence:
    group, asker = case.group, case.ask.node
    waiting = {each.ask.node for each in group.waiters if order.still_asks(each, group, case.at)} - {asker}
    mine, member = group.served.get(asker), group.members.get(asker)
    facts: dict[str, object] = {
        "waiting": len(waiting),
        **({"served_until": case.at.shown(mine.until)} if mine else {}),
    }
    if not group.limits.order_property or member is None:
        return Evidence(facts=facts)
    facts[group.limits.order_property] = member.properties.get(group.limits.order_property)
    return Evidence(facts=facts, read_at=situation.picture.read_at(Read(what=What.PROPERTIES, id=asker)))


EVIDENCE: Mapping[Rule, Callable[[Case, Situation], Evidence]] = {
    decide.doubt: _trust,
    decide.not_a_member: _membership,
    decide.deferred: _deferral,
    decide.unknown_policy: _policy,
    decide.lease_held: _lease,
    beside.overlap: _overlap,
    beside.agbot_unavailable: _agbot,
    decide.lease_suspect: _suspect,
    decide.soaking: _rest,
    brakes.brake: _brake,
    brakes.org_brake: _org_brake,
    decide.paused: _pauses,
    decide.outside_window: _windows,
    consent.not_approved: _approvals,
    pace.canary: _canary,
    pace.paced: _traffic,
    decide.peers_unavailable: _peers,
    decide.turn: _turn,
}
"""A test holds it against `RULES`."""
