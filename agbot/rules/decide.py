"""May this node upgrade now? If not, all reasons why, in the order of the rules.

Every rule is asked, so that a waiter learns everything that it waits for. Only what is plainly
allowed is granted: a rule that lacks its facts gives a reason. A decision keeps the answer of every
rule, and everything that is shown or stored of the decision comes from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from agbot.rules import beside, consent, rulebook
from agbot.rules import deferral as deferrals
from agbot.rules.facts import NodeType
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Allowance
from agbot.rules.rule import Case, Finding

_CLUSTER = NodeType.CLUSTER


class Judgement(msgspec.Struct, frozen=True):
    """The answers of all rules to one question, in the order of the rulebook."""

    case: Case
    answers: tuple[Reason | None, ...]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """All reasons against a new grant."""
        return tuple([reason for reason in self.answers if reason is not None])

    def left_by(self, allowed: Allowance) -> tuple[Reason, ...]:
        """Return the reasons that this allowance does not override."""
        answers = zip(rulebook.RULES, self.answers, strict=True)
        return tuple([reason for rule, reason in answers if reason and not consent.overrides(allowed, rule, self.case)])

    def lasting(self) -> Judgement:
        """Return a copy that does not change with the ledger's mappings, to be shown later."""
        case = self.case
        return Judgement(Case(at=case.at, ask=case.ask, group=case.group.lasting()), self.answers)

    def findings(self) -> tuple[Finding, ...]:
        """Return the answer of each rule that concerns the question, with its evidence."""
        is_host = self.case.ask.claim.kind is Kind.HOST
        answers = zip(rulebook.RULES, self.answers, strict=True)
        return tuple(
            Finding(rule=rule, reason=reason, evidence=rule.evidence(self.case))
            for rule, reason in answers
            # a host has a stand-in for a policy: the rule passes, which explains nothing
            if not (is_host and rule.is_of_policies)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The asker may upgrade.

    `exempt` states why no lease is taken. `repeated` marks a grant that was given before, under the
    same token; one that is `restored` too was given before the store was replaced, and rests on the
    same facts as a new one.
    """

    exempt: Reason | None = None
    repeated: bool = False
    restored: bool = False
    allowed: Allowance | None = None
    """The allowance without which the question would be refused; this grant uses it up."""


class Wait(msgspec.Struct, frozen=True, kw_only=True, eq=False):  # noqa: PLW1641 - reasons have no hash either
    """Not yet, with all reasons."""

    reasons: tuple[Reason, ...]
    judgement: Judgement | None = None
    """The answers of the rules; None if no rule was asked."""
    is_remembered: bool = True
    """Whether the asker becomes a waiter; an invalid question leaves no record."""

    def __eq__(self, other: object) -> bool:
        """Whether both give the same reasons, however these were found."""
        return isinstance(other, Wait) and self.reasons == other.reasons

    def __post_init__(self) -> None:
        """Compute once what is read several times for each refusal."""
        is_remembered = rulebook.FINAL.isdisjoint([reason.code for reason in self.reasons])
        msgspec.structs.force_setattr(self, "is_remembered", is_remembered)


Decision = Grant | Wait


def judge(case: Case) -> Judgement:
    """Put a question to every rule. Pure: the same facts give the same answers."""
    return Judgement(case, tuple([rule.check(case) for rule in rulebook.RULES]))


def decide(case: Case) -> Decision:
    """Answer a question from the group's facts."""
    ask, group = case.ask, case.group
    judgement = judge(case)
    reasons = judgement.reasons
    wait = Wait(reasons=reasons, judgement=judgement)
    if not wait.is_remembered:
        # Before the holder's own yes: one that is no longer a member, or whose policy is gone, is
        # not granted again (A8, A14).
        return wait
    # A lease whose token is not above the floor was restored: its upgrade may have ended, and
    # another may have begun.
    is_own, is_restored = group.lease.is_held_for(ask.claim), group.lease.token <= group.token_floor
    if is_own and not (is_restored and reasons) and not _is_overtaken(case, reasons):
        # Whatever else the rules say now, doubts included: the same question gets the same answer
        # under the same token (P4).
        return Grant(repeated=True, restored=is_restored)
    exempt = _exemption(case)
    if exempt is not None and not group.doubts:
        return Grant(exempt=exempt)
    if not reasons:
        return Grant()
    allowed = consent.allowance(ask, group, case.at)
    left = judgement.left_by(allowed) if allowed is not None else reasons
    if not left:
        # a repeated grant uses no allowance up: it begins nothing
        return Grant(repeated=True, restored=True) if is_own else Grant(allowed=allowed)
    return wait if left == reasons else msgspec.structs.replace(wait, reasons=left)


def _is_overtaken(case: Case, reasons: tuple[Reason, ...]) -> bool:
    """Whether another upgrade has begun without a grant before the holder has begun its own.

    The answer to its first question was lost, or this would not be asked. The lease stays its own.
    """
    return any(reason.code is Code.OVERLAP for reason in reasons) and not beside.has_begun(case)


def _exemption(case: Case) -> Reason | None:
    """Return why the asker needs no lease, or None.

    Cluster nodes are never gated, and a deferred node is not gated for the upgrade that it came
    with. The asker is a member: `not-a-member` has been answered.
    """
    ask, group = case.ask, case.group
    member = group.members[ask.node]
    if member.node.node_type is _CLUSTER:
        return Reason(code=Code.CLUSTER_NODE, text=f"{ask.node} is a cluster node; HA groups gate device nodes only")
    deferral = group.deferrals.get(ask.node)
    if deferral is None or not deferrals.covers(deferral, ask):
        return None
    turn, joined_at = group.turns.get(ask.node), member.joined_at
    has_come = turn is None or (joined_at is not None and case.at.seen_at(joined_at) > turn.until)
    if not has_come:
        # It is deferred because it lost the lease under its report. That report may come from a
        # backup, and a node that asks again has not begun: it is gated like any other.
        return None
    text = f"{ask.node} joined {group.id} while {deferral.what} was under way; its membership is enforced after that"
    if deferral.is_overlap:
        text = f"{deferral.what} of {ask.node} is under way already; its membership is enforced after that"
    return Reason(code=Code.DEFERRED, text=text)
