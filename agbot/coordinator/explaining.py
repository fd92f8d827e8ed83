"""The answer to "why is this node waiting?": one sentence, every rule's word, and what would let it go."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from agbot.coordinator import dossier, evidence, stuck
from agbot.coordinator.contract import Explanation, RuleView
from agbot.coordinator.dossier import Case
from agbot.coordinator.situation import Situation
from agbot.coordinator.views import view_lease
from agbot.rules import beside, brakes, consent, decide, ids, pace
from agbot.rules.decide import RULES, Rule
from agbot.rules.facts import Deferral, Member, NodeType, Sight, Waiter
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Hold, Kind, Lease, State
from agbot.rules.reasons import Code, Reason
from agbot.rules.statuses import Phase
from agbot.rules.words import clock

UNBLOCKS: dict[Code, str] = {
    Code.NOT_A_MEMBER: "add the node to the group, or let the agent read its membership anew",
    Code.ORG_EXCLUDED: "add the organisation to `[exchange] organisations`, or let the node's agent ask the real agbot",
    Code.CLUSTER_NODE: "nothing: cluster nodes are not gated",
    Code.DEFERRED: "the end of the upgrade that the node came with",
    Code.UNKNOWN_POLICY: "publish the policy, or remove it from the node",
    Code.POLICY_DISABLED: "enable the policy",
    Code.LEASE_HELD: "the end of the other upgrade, or `agbot release GROUP --token TOKEN --reason …` if you know that it is over",
    Code.OVERLAP: "the end of that upgrade, which nobody asked for",
    Code.AGBOT_UNAVAILABLE: "an agbot whose local API answers ([agbot] api); see the daemon's log",
    Code.LEASE_SUSPECT: "find out how that upgrade ended, then `agbot release GROUP --token TOKEN --reason …`",
    Code.SOAKING: "the end of the rest, with the upgraded member seen healthy, or `agbot resume GROUP --rest --reason …`",
    Code.ORG_BRAKE: "publish a new revision of the policy that brings another version, or `agbot resume ORG --subject POLICY --reason …`",
    Code.NOT_APPROVED: "`agbot approve GROUP --subject POLICY --reason …`",
    Code.CANARY: "the end of the upgrade in the groups that go first",
    Code.PACED: "the end of an upgrade in another group",
    Code.BRAKE: "publish a new revision of the policy that brings another version, or `agbot resume GROUP --subject POLICY --reason …`",
    Code.PAUSED: "the end of the hold, or HOLDS",
    Code.OUTSIDE_WINDOW: "the next maintenance window",
    Code.PEERS_UNAVAILABLE: "other members coming back",
    Code.TURN: "the other waiters being served",
    Code.STORE_UNAVAILABLE: "a working lease store; see the daemon's log",
    Code.STORE_CHANGED: "a look at every organisation, or `agbot resume --store --reason …`",
    Code.EXCHANGE_UNAVAILABLE: "an Exchange that answers; see the daemon's log",
    Code.VIEW_STALE: "an Exchange that answers; see `agbot status`",
    Code.CLOCK_UNTRUSTED: "a comparison with the Exchange's clock, which comes by itself; where the two are far apart, the right date",
    Code.STOPPING: "the coordinator's next start",
    Code.BUSY: "fewer questions at once",
    Code.INTERNAL_ERROR: "a look at the daemon's log: this is a mistake in the coordinator",
}
"""What makes each reason go away; `_unblock` puts the names in."""
_PLACEHOLDER = re.compile(r"\b(GROUP|TOKEN|POLICY|ORG|HOLDS)\b")


_ENDED = frozenset({Phase.ENDED_WELL, Phase.ENDED_BADLY, Phase.NOTHING_TO_DO})


STATEMENTS: dict[Rule, tuple[str, str]] = {
    decide.doubt: ("trust", "the store and the view of the Exchange can be trusted"),
    decide.not_a_member: ("member", "the node is a member of the group"),
    decide.deferred: ("no-other-upgrade", "no other upgrade of its own is under way"),
    decide.unknown_policy: ("policy", "the policy exists and is enabled"),
    decide.lease_held: ("lease-free", "nobody else in the group upgrades"),
    beside.overlap: ("no-overlap", "no upgrade that began without asking is under way"),
    beside.agbot_unavailable: ("agbot-known", "the agbot's list of its own upgrades is known, or not needed"),
    decide.lease_suspect: ("lease-certain", "it is known how the last upgrade ended"),
    decide.soaking: ("rested", "the group has rested since the last upgrade"),
    brakes.brake: ("no-brake", "this upgrade has not failed in the group"),
    brakes.org_brake: ("no-org-brake", "this upgrade has not failed in too many groups of the organisation"),
    decide.paused: ("not-paused", "nobody has paused upgrades here"),
    decide.outside_window: ("window-open", "upgrades may start at this time"),
    consent.not_approved: ("approved", "a person has approved it, or no approval is needed"),
    pace.canary: ("canary", "the groups that go first have finished, or this is one of them"),
    pace.paced: ("pace", "fewer groups upgrade than may at once"),
    decide.peers_unavailable: ("peers", "enough other members are available"),
    decide.turn: ("turn", "nobody else goes first"),
}
"""Each rule's name for people, and what is true when it passes."""


def explain(node: NodeId, situation: Situation, note: str = "") -> Explanation | None:
    """Explain a node's situation from memory; None when nobody knows it."""
    found, allowed = _explain(node, situation, note), situation.ledger.allowances.get(node)
    if found is not None and found.group is not None:
        found = replace(found, answer=f"{found.answer}{stuck.said(found.group, situation)}")
    if found is None or allowed is None:
        return found
    what = allowed.subject or "its next upgrade"
    said = f"{allowed.by} has allowed {what} once, until {clock(allowed.until)}: {allowed.why}."
    return replace(found, answer=f"{found.answer} {said}")


def _explain(node: NodeId, situation: Situation, note: str) -> Explanation | None:
    member = situation.picture.member(node)
    waiter = _waiter_of(node, situation)
    if isinstance(member, Sight):
        return _explain_waiter(waiter, situation, note) if waiter else None
    group = member.node.group
    if group is None:
        return Explanation(node=node, group=None, answer=f"{node} is in no HA group and may upgrade without asking.")
    lease = situation.ledger.lease(group)
    if lease.hold is not None and lease.hold.claim.holder == node:
        return _explain_holder(node, group, situation, note)
    if waiter is not None:
        return _explain_waiter(waiter, situation, note)
    return _explain_quiet(member, group, situation, note)


def _explain_waiter(waiter: Waiter, situation: Situation, note: str) -> Explanation:
    ask, now = waiter.ask, situation.now()
    case = Case(at=now, ask=ask, group=situation.group(ask.group, ask))
    against = decide.why_not(ask, case.group, now)
    claim = ask.claim
    if not against:
        answer = f"Nothing keeps {claim.holder} any more; it is granted {claim.subject} when it asks next."
    else:
        others = len(against) - 1
        more = f" (and {others} more {'reason' if others == 1 else 'reasons'})" if others else ""
        answer = f"{claim.holder} waits to upgrade {claim.subject}: {against[0].text}{more}."
    return Explanation(
        node=claim.holder,
        group=ask.group,
        answer=answer,
        subject=claim.subject,
        kind=str(claim.kind),
        since=now.shown(waiter.since),
        rules=view_rules(case, situation),
        lease=view_lease(case.group.lease, now, case.group.limits, note),
        unblock="; then ".join(
            dict.fromkeys(_unblock(reason.code, claim.subject, case.group.lease, _resuming(case)) for reason in against)
        ),
        earliest=_earliest(against),
    )


def _unblock(code: Code, subject: PolicyId, lease: Lease, resuming: str = "") -> str:
    """Say what makes a reason go away, with the names in it: the command is to be copied."""
    names = {"GROUP": lease.group, "TOKEN": str(lease.token), "POLICY": subject, "ORG": ids.org_of(lease.group)}
    names["HOLDS"] = resuming
    # in one pass: a name may hold one of these words itself
    return _PLACEHOLDER.sub(lambda found: names[found[0]], UNBLOCKS[code])


def _resuming(case: Case) -> str:
    """Return the commands that end the holds which cover this question."""
    group, node, now = case.group, case.ask.node, case.at
    holds = [each for each in group.pauses if decide.applies(each, group, now) or decide.pauses_node(each, node, now)]
    named = (f"--node {node}" if ids.node_of_scope(each.scope) else shlex.quote(each.scope) for each in holds)
    return " and ".join(f"`agbot resume {name} --reason …`" for name in named)


def _explain_holder(node: NodeId, group: GroupId, situation: Situation, note: str) -> Explanation:
    lease = situation.ledger.lease(group)
    hold = lease.hold
    if hold is None:
        message = f"{node} holds no lease of {group}"
        raise ValueError(message)
    status = f"it reports {hold.progress.status!r}" if hold.progress.status else "it has not reported anything yet"
    if hold.progress.observed:
        status = f"it shows {hold.progress.status!r}" if hold.progress.status else "nothing new was seen yet"
        answer = f"{_said_unasked(hold)}: it holds the lease of {group} (token {lease.token}); {status}."
    else:
        answer = f"{node} may upgrade {hold.claim.subject} now: it holds the lease of {group} (token {lease.token}); {status}."
    unblock = ""
    if lease.state is State.SUSPECT:
        answer = f"{node} holds the lease of {group} for {hold.claim.what}, but it is not known how that upgrade ended: {note}."
        unblock = _unblock(Code.LEASE_SUSPECT, hold.claim.subject, lease)
    return Explanation(
        node=node,
        group=group,
        answer=answer,
        subject=hold.claim.subject or None,
        kind=str(hold.claim.kind),
        since=hold.granted_at,
        lease=view_lease(lease, situation.now(), situation.limits_of(lease.group), note),
        unblock=unblock,
    )


def _said_unasked(hold: Hold) -> str:
    claim = hold.claim
    if not claim.subject:
        return (
            f"{claim.what} ({hold.progress.service}) is down since its agreement ended (without the agbot's local API "
            "it is not known why)"
        )
    return f"{claim.holder} is in the {claim.kind} upgrade {claim.subject}, which was seen and not asked for"


def _explain_quiet(member: Member, group: GroupId, situation: Situation, note: str) -> Explanation:
    node = member.node
    deferral = situation.ledger.deferrals.get(group, {}).get(node.id)
    if node.node_type is NodeType.CLUSTER:
        answer = f"{node.id} is a cluster node; HA groups gate device nodes only, it may upgrade without asking."
    elif deferral is not None and deferral.is_overlap:
        answer = f"{node.id} {_said_overlap(deferral)}; the next grant waits until both have ended."
    elif deferral is not None:
        answer = (
            f"{node.id} was in the middle of {deferral.what} when it came to {group}; its membership is not enforced "
            f"until that upgrade has ended ({deferral.status} when first seen)."
        )
    else:
        held = _what_holds_it(node.id, group, situation)
        answer = f"{node.id} does not ask to upgrade anything. {_what_it_reports(member)}{held}"
    lease = view_lease(situation.ledger.lease(group), situation.now(), situation.limits_of(group), note)
    return Explanation(node=node.id, group=group, answer=answer, lease=lease)


def _said_overlap(deferral: Deferral) -> str:
    """Say how this upgrade came to be under way beside another one; without its policy it is not known who began it."""
    beside = f"while another upgrade held the lease of {deferral.group}"
    if deferral.cut_off:
        return f"is in {deferral.what}, of which the policy was deleted meanwhile"
    if not deferral.subject:
        return f"lost a service ({deferral.service}) {beside}: an agreement of it ended, and it is not known why"
    begun = "the agbot began" if deferral.kind is Kind.SERVICE else "it began without asking here"
    return f"is in {deferral.what}, which {begun} {beside}"


def _what_holds_it(node: NodeId, group: GroupId, situation: Situation) -> str:
    """Tell the holds and the brakes that it would meet, so that nobody is surprised when it asks."""
    return _said_holds(node, group, situation) + _said_brakes(group, situation)


def _said_brakes(group: GroupId, situation: Situation) -> str:
    found = sorted(situation.ledger.brakes.get(group, {}).values(), key=lambda brake: brake.subject)
    said = (f"{brake.subject}, which failed on {brake.node} at {clock(brake.since)}" for brake in found)
    return f" Stopped in {group}: {'; '.join(said)}." if found else ""


def _said_holds(node: NodeId, group: GroupId, situation: Situation) -> str:
    now, pauses = situation.now(), situation.ledger.pauses
    scopes = ("*", ids.org_of(group), group, ids.node_scope(node))
    found = [pauses[scope] for scope in scopes if scope in pauses and not decide.is_over(pauses[scope], now)]
    return f" It would have to wait: {'; '.join(decide.said_pause(each) for each in found)}." if found else ""


def _what_it_reports(member: Member) -> str:
    if not member.statuses:
        return "No node management policy status of it is known."
    open_ones = {policy: status for policy, status in sorted(member.statuses.items()) if status.phase not in _ENDED}
    if not open_ones:
        return "All its node management policies have ended."
    listed = ", ".join(f"{policy}: {status.value}" for policy, status in open_ones.items())
    if any(status.value == "ha node waiting" for status in open_ones.values()):
        hint = " It has not asked here yet; if that lasts for minutes, its `HZN_AGBOT_URL` names somebody else."
    else:
        asks = any(status.phase in {Phase.IDLE, Phase.ASKING} for status in open_ones.values())
        hint = " The agent asks once it has downloaded the packages." if asks else ""
    return f"It reports {listed}.{hint}"


def view_rules(case: Case, situation: Situation) -> list[RuleView]:
    """Return every rule's word on a question, in order, with the facts it used and their age."""
    return [_view_rule(rule, rule(case.ask, case.group, case.at), case, situation) for rule in RULES]


def kept_of_refusal(case: Case, situation: Situation, *, is_derived: bool) -> dict[str, object]:
    """Return what the journal keeps of a refusal: the rules' words as `explain` shows them, and the dossier where the rules decided."""
    kept: dict[str, object] = {"rules": msgspec.to_builtins(view_rules(case, situation))}
    if is_derived:
        kept |= dossier.kept(case)
    return kept


def _view_rule(rule: Rule, reason: Reason | None, case: Case, situation: Situation) -> RuleView:
    name, statement = STATEMENTS[rule]
    seen = evidence.of(rule, case, situation)
    age_seconds = (
        round((case.at.wall - case.at.shown(seen.read_at)).total_seconds(), 3) if seen.read_at is not None else None
    )
    if reason is None:
        return RuleView(rule=name, passes=True, text=statement, facts=seen.facts, age_seconds=age_seconds)
    return RuleView(
        rule=name,
        passes=False,
        code=str(reason.code),
        text=reason.text,
        until=reason.until,
        facts={**seen.facts, **reason.facts},
        age_seconds=age_seconds,
    )


def _earliest(against: Sequence[Reason]) -> datetime | None:
    """Return when the last reason ends by itself, if every one of them has such a time."""
    times = [reason.until for reason in against]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None


def _waiter_of(node: NodeId, situation: Situation) -> Waiter | None:
    waiters = (each for waiters in situation.ledger.waiters.values() for each in waiters.values())
    mine = [waiter for waiter in waiters if waiter.ask.node == node]
    return max(mine, key=lambda waiter: waiter.asked_at, default=None)
