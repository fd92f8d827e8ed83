"""After a success the group rests until the upgraded member is seen healthy (`rest`)."""

from __future__ import annotations

from agbot.rules import rest as rests
from agbot.rules.facts import Member
from agbot.rules.reasons import Code, Reason
from agbot.rules.rest import Rest
from agbot.rules.rule import Case, Evidence, Rule, oldest
from agbot.rules.seen_time import Now
from agbot.rules.words import clock


def soaking(case: Case) -> Reason | None:
    """Refuse until the rest is over and the upgraded member has been seen healthy."""
    rest, now = case.once(_rest), case.at
    if rest is None:
        return None
    holder = rest.end.claim.holder
    member = case.group.members.get(holder)
    if now.seen < rest.until:
        until = now.shown(rest.until)
        text = f"the group rests until {clock(until)} after the upgrade of {holder}"
        contradiction = rests.why_contradicted(rest, member) if member is not None else None
        if contradiction is not None:
            return _contradicted(rest, f"{text}, and {contradiction}", now)
        return Reason(code=Code.SOAKING, text=text, until=until)
    if member is None or not rests.is_waited_for(rest, member, now):
        return None
    return _unproven(rest, member, case)


def passes_before_its_time(reason: Reason, case: Case) -> bool:
    """Whether a reason can pass before its `until`, by what a node reports.

    The times of windows, holds and the rest itself pass as they are.
    """
    if reason.until is None or reason.code is Code.NODE_BUSY:
        # a busy node may state at any moment that it is ready
        return reason.until is not None
    rest = case.once(_rest) if reason.code is Code.SOAKING else None
    # after the time of a rest it is the proof that is waited for
    return rest is not None and case.at.seen >= rest.until


def _rest(case: Case) -> Rest | None:
    return rests.rest_after(case.group.lease.last_end, case.group.limits)


def _unproven(rest: Rest, member: Member, case: Case) -> Reason | None:
    """Refuse while the member lacks its proof."""
    ask, now = case.ask, case.at
    contradiction, is_own = rests.why_contradicted(rest, member), ask.node == member.node.id
    # The member itself may begin another upgrade, which may be the repair. The same one again would
    # bring what it has just failed to install.
    if contradiction is not None and not (is_own and ask.claim != rest.end.claim):
        return _contradicted(rest, contradiction, now)
    why = None if is_own else rests.why_unproven(rest, member, case.group.limits, now)
    if why is None:
        return None
    text = f"{member.node.id} has not been seen healthy since its upgrade ended at {clock(rest.end.at)}: {why}"
    return Reason(code=Code.SOAKING, text=text, until=now.shown(rest.proof_until))


def _contradicted(rest: Rest, text: str, now: Now) -> Reason:
    """Say when the contradiction counts as a failure: no wait ends then, but a brake begins."""
    if rest.version_until is None:
        return Reason(code=Code.SOAKING, text=text)
    fails_at = clock(now.shown(rest.version_until))
    then = "this counts as failed and stops this upgrade in the group"
    if now.seen < rest.version_until:
        return Reason(code=Code.SOAKING, text=f"{text}; if it does not run {rest.end.version} by {fails_at}, {then}")
    late = f"it should have been running {rest.end.version} by {fails_at}: once the node has been read again, {then}"
    return Reason(code=Code.SOAKING, text=f"{text}; {late}")


def _evidence(case: Case) -> Evidence:
    end, rest = case.group.lease.last_end, case.once(_rest)
    facts: dict[str, object] = {} if end is None else {"last_end": str(end.cause)}
    if rest is None:
        return Evidence(facts=facts)
    facts |= {"holder": rest.end.claim.holder, "ended_at": rest.end.at}
    member = case.group.members.get(rest.end.claim.holder)
    if member is None or case.at.seen >= rest.proof_until:
        return Evidence(facts=facts)
    reads = [member.read_at, member.agreements_read_at if rests.needs_services(rest, case.group.limits) else None]
    return Evidence(facts={**facts, "heartbeat_at": member.node.heartbeat_at}, read_at=oldest(reads))


RESTED = Rule(
    name="rested",
    passes="the group has rested since the last upgrade",
    unblocks={
        Code.SOAKING: "wait until the rest is over and the upgraded member has been seen healthy, "
        "with the version that it reported, or run `agbot resume {group} --rest --reason …`"
    },
    check=soaking,
    evidence=_evidence,
)
