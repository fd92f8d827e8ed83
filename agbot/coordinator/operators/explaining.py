"""Explains why a node waits: a sentence, the rules' answers, and what ends the wait."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from agbot.coordinator import decision_record
from agbot.coordinator.contract import Explanation, RuleView
from agbot.coordinator.operators import failed
from agbot.coordinator.operators.views import view_lease
from agbot.coordinator.review.waiters import Waiting
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked import listed
from agbot.events.event import DECISION_RECORD
from agbot.rules import holds, ids
from agbot.rules.decide import Judgement, Wait, decide, judge
from agbot.rules.facts import Member, NodeType, Policy, Sight
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import GUARD, Claim, Kind, Lease, State, Tenure
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Deferral, Waiter
from agbot.rules.rule import Case, Finding
from agbot.rules.rulebook import UNBLOCKS
from agbot.rules.soaking import passes_before_its_time
from agbot.rules.statuses import ENDINGS, Phase, Status
from agbot.rules.words import clock


def explain(node: NodeId, situation: Situation) -> Explanation | None:
    """Explain a node's situation from memory; None for an unknown node."""
    found, allowed = _explain(node, situation), situation.ledger.allowances.get(node)
    if found is not None and found.group is not None:
        found = replace(found, answer=f"{found.answer}{listed.stuck_in_words(found.group, situation)}")
    if found is None or allowed is None:
        return found
    what = allowed.subject or "its next upgrade"
    allowance = f"{allowed.by} has allowed {what} once, until {clock(allowed.until)}: {allowed.why}."
    return replace(found, answer=f"{found.answer} {allowance}")


def _explain(node: NodeId, situation: Situation) -> Explanation | None:
    member = situation.picture.member(node)
    waiter = _waiter_of(node, situation)
    if isinstance(member, Sight):
        return _explain_waiter(waiter, situation) if waiter else None
    group = member.node.group
    if group is None:
        return Explanation(node=node, group=None, answer=f"{node} is in no HA group and may upgrade without asking.")
    lease = situation.ledger.lease(group)
    if lease.tenure is not None and lease.tenure.claim.holder == node:
        # one whose yes was lost waits for an upgrade that has begun since then
        if waiter is not None and lease.is_held_for(waiter.ask.claim) and _is_refused(waiter, situation):
            return _explain_waiter(waiter, situation)
        return _explain_holder(lease, lease.tenure, situation)
    if waiter is not None:
        return _explain_waiter(waiter, situation)
    return _explain_quiet(member, group, situation)


def _is_refused(waiter: Waiter, situation: Situation) -> bool:
    return isinstance(decide(situation.case(waiter.ask)), Wait)


def _explain_waiter(waiter: Waiter, situation: Situation) -> Explanation:
    ask, case = waiter.ask, situation.case(waiter.ask)
    judgement, claim, now = judge(case), ask.claim, case.at
    against = judgement.reasons
    if not against:
        answer = f"Nothing keeps {claim.holder} waiting any longer; it is granted {claim.subject} when it asks again."
    else:
        others = len(against) - 1
        more = f" (and {others} more {'reason' if others == 1 else 'reasons'})" if others else ""
        answer = f"{claim.holder} is waiting to upgrade {claim.subject}: {against[0].text}{more}."
    if ask.by == GUARD:
        answer += (
            f" The agbot wants to upgrade it; the guard has kept it waiting since {clock(now.shown(waiter.since))}."
        )
    return Explanation(
        node=claim.holder,
        group=ask.group,
        answer=answer,
        subject=claim.subject,
        kind=str(claim.kind),
        since=now.shown(waiter.since),
        rules=_view_findings(judgement),
        lease=view_lease(case.group.lease, situation),
        unblock="; then ".join(
            dict.fromkeys(unblock(reason.code, claim, case.group.lease, _resuming(case)) for reason in against)
        ),
        earliest=(earliest := _earliest(against)),
        at_latest=any(each.until == earliest and passes_before_its_time(each, case) for each in against),
    )


def unblock(code: Code, claim: Claim, lease: Lease, resume: str = "") -> str:
    """Return what removes a reason, with the names filled in, so that a command can be copied."""
    names = {"group": lease.group, "org": ids.org_of(lease.group), "policy": claim.subject}
    quoted = {name: shlex.quote(text) for name, text in names.items()}
    service = " --service" if claim.kind is Kind.SERVICE else ""
    return UNBLOCKS[code].format(**quoted, token=lease.token, service=service, resume=resume)


def _resuming(case: Case) -> str:
    """Return the commands that end the holds which cover this question."""
    covering = case.once(holds.covering)
    named = (
        f"--node {case.ask.node}" if ids.node_of_scope(each.scope) else shlex.quote(each.scope) for each in covering
    )
    return " and ".join(f"`agbot resume {name} --reason …`" for name in named)


def _explain_holder(lease: Lease, tenure: Tenure, situation: Situation) -> Explanation:
    node, group = tenure.claim.holder, lease.group
    status = f"it reports {tenure.progress.status!r}" if tenure.progress.status else "it has not reported anything yet"
    if tenure.progress.observed:
        status = f"it shows {tenure.progress.status!r}" if tenure.progress.status else "nothing new was seen yet"
        answer = f"{_unasked_in_words(tenure, lease)}: it holds the lease of {group} (token {lease.token}); {status}."
    else:
        answer = f"{node} may upgrade {tenure.claim.subject} now: it holds the lease of {group} (token {lease.token}); {status}."
    way_out = ""
    if lease.state is State.SUSPECT:
        note = situation.notes.get(group, "")
        answer = f"{node} holds the lease of {group} for {tenure.claim.what}, but it is not known how that upgrade ended: {note}."
        way_out = unblock(Code.LEASE_SUSPECT, tenure.claim, lease)
    return Explanation(
        node=node,
        group=group,
        answer=answer,
        subject=tenure.claim.subject or None,
        kind=str(tenure.claim.kind),
        since=tenure.granted_at,
        lease=view_lease(lease, situation),
        unblock=way_out,
    )


def _unasked_in_words(tenure: Tenure, lease: Lease) -> str:
    claim, released_at = tenure.claim, lease.taken_back_at
    if GUARD in tenure.progress.asked_by:
        return f"{claim.holder} is in the middle of the {claim.kind} upgrade {claim.subject}, which the guard has let the agbot begin"
    if not claim.subject:
        return (
            f"{claim.what} ({tenure.progress.service}) has been down since its agreement ended (without the agbot's local API "
            "it is not known why)"
        )
    how = f"whose lease a person released at {clock(released_at)}" if released_at else "which began without a grant"
    return f"{claim.holder} is in the middle of the {claim.kind} upgrade {claim.subject}, {how}"


def _explain_quiet(member: Member, group: GroupId, situation: Situation) -> Explanation:
    node = member.node
    deferral = situation.ledger.deferrals.get(group, {}).get(node.id)
    if node.node_type is NodeType.CLUSTER:
        answer = f"{node.id} is a cluster node and may upgrade without asking: HA groups gate device nodes only."
    elif deferral is not None and deferral.is_overlap:
        answer = f"{node.id} {_overlap_in_words(deferral)}; the next grant waits until both have ended."
    elif deferral is not None:
        answer = (
            f"{node.id} was in the middle of {deferral.what} when it joined {group}; its membership is not enforced "
            f"until that upgrade has ended ({deferral.status} when first seen)."
        )
    else:
        held = _what_holds_it(node.id, group, situation)
        answer = f"{node.id} is not asking to upgrade anything. {_what_it_reports(member, situation)}{held}"
    lease = view_lease(situation.ledger.lease(group), situation)
    return Explanation(node=node.id, group=group, answer=answer, lease=lease)


def _overlap_in_words(deferral: Deferral) -> str:
    """State how this upgrade came to be under way beside another one."""
    beside = f"while another upgrade held the lease of {deferral.group}"
    if deferral.cut_off:
        return f"is in the middle of {deferral.what}, and that policy has been deleted"
    if not deferral.subject:
        return f"lost a service ({deferral.service}) {beside}: an agreement of it ended, and it is not known why"
    begun = "the agbot began" if deferral.kind is Kind.SERVICE else "it began without asking here"
    return f"is in the middle of {deferral.what}, which {begun} {beside}"


def _what_holds_it(node: NodeId, group: GroupId, situation: Situation) -> str:
    """Return the holds and the brakes that would stop the node's next upgrade."""
    return _holds_in_words(node, group, situation) + _brakes_in_words(group, situation)


def _brakes_in_words(group: GroupId, situation: Situation) -> str:
    found = sorted(situation.ledger.brakes.get(group, {}).values(), key=lambda brake: brake.subject)
    stopped = (f"{brake.subject}, which failed on {brake.node} at {clock(brake.since)}" for brake in found)
    return f" Stopped in {group}: {'; '.join(stopped)}." if found else ""


def _holds_in_words(node: NodeId, group: GroupId, situation: Situation) -> str:
    now, known = situation.now(), situation.ledger.holds
    scopes = ("*", ids.org_of(group), group, ids.node_scope(node))
    found = [known[scope] for scope in scopes if scope in known and not holds.is_over(known[scope], now)]
    return (
        f" Its next upgrade would have to wait: {'; '.join(holds.in_words(each) for each in found)}." if found else ""
    )


def _what_it_reports(member: Member, situation: Situation) -> str:
    if not member.statuses:
        return "No node management policy status of it is known."
    failures = failed.in_words(member, situation)
    open_ones = {policy: status for policy, status in sorted(member.statuses.items()) if status.phase not in ENDINGS}
    if not open_ones:
        return failures or "Its upgrades by all node management policies have ended."
    listed = ", ".join(f"{policy}: {status.value}" for policy, status in open_ones.items())
    return f"{failures} It reports {listed}.{_what_follows(member.node.id, open_ones, situation)}".lstrip()


def _what_follows(node: NodeId, open_ones: Mapping[PolicyId, Status], situation: Situation) -> str:
    """State what is to be expected of a node with these statuses; empty if that is not known."""
    policies = {policy: situation.picture.policies.get(Kind.AGENT, policy) for policy in open_ones}
    disabled = [policy for policy, known in policies.items() if isinstance(known, Policy) and not known.enabled]
    if disabled:
        return f" No upgrade follows from a policy that is disabled: {', '.join(disabled)}."
    if any(status.value == "ha node waiting" for status in open_ones.values()):
        contact = situation.ledger.contacts.get(node)
        if contact is not None and contact.asked_at is not None:
            return " It should ask again within a minute."
        return " It has not asked here yet; if that lasts for minutes, its `HZN_AGBOT_URL` names another agbot."
    if any(status.phase in {Phase.IDLE, Phase.ASKING} for status in open_ones.values()):
        return " The agent asks once it has downloaded the packages."
    return ""


def _view_findings(judgement: Judgement) -> list[RuleView]:
    """Show what each rule has answered, in order, with the facts it used and their age."""
    return [RuleView(**_shown(finding, judgement.case)) for finding in judgement.findings()]


def _shown(found: Finding, case: Case) -> dict[str, Any]:
    """Return the fields of a `RuleView`."""
    read_at, reason, now = found.evidence.read_at, found.reason, case.at
    return {
        "rule": found.rule.name,
        "passes": reason is None,
        "code": str(reason.code) if reason else "",
        "text": found.text,
        "until": reason.until if reason else None,
        "facts": found.facts,
        "age_seconds": None if read_at is None else round((now.wall - now.shown(read_at)).total_seconds(), 3),
        "at_latest": reason is not None and passes_before_its_time(reason, case),
    }


def note_refusal(case: Case, wait: Wait, waiting: Waiting, *, is_derived: bool = True) -> None:
    """Make the asker a waiter; if its reasons are new, add what the journal keeps of the refusal.

    `is_derived`: the rules gave the reasons. A name that has not been read as a policy may be
    invented, so it makes no waiter.
    """
    is_known = isinstance(case.group.policies.get(case.ask.subject), Policy)
    # most refusals are repetitions; of the others the cycle creates the record
    if is_known and wait.is_remembered and waiting.note(case.ask, wait.reasons, case.at):
        judgement = (wait.judgement or judge(case)).lasting()
        waiting.keep(case.ask, partial(_kept_of_refusal, judgement, is_derived=is_derived))


def _kept_of_refusal(judgement: Judgement, *, is_derived: bool) -> dict[str, object]:
    """Return the answers of the rules as `explain` shows them, with the record if they decided."""
    rules = msgspec.to_builtins([_shown(finding, judgement.case) for finding in judgement.findings()])
    return {"rules": rules} | ({DECISION_RECORD: decision_record.write(judgement.case)} if is_derived else {})


def _earliest(against: Sequence[Reason]) -> datetime | None:
    """Return when the last reason ends by itself, if every one of them has such a time."""
    times = [reason.until for reason in against]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None


def _waiter_of(node: NodeId, situation: Situation) -> Waiter | None:
    waiters = (each for waiters in situation.ledger.waiters.values() for each in waiters.values())
    mine = [waiter for waiter in waiters if waiter.ask.node == node]
    return max(mine, key=lambda waiter: waiter.asked_at, default=None)
