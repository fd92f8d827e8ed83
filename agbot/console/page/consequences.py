"""What an operator's action will do, before it is done. Pure.

The coordinator checks everything again when the action is carried out: the present state may have
changed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from agbot.console import release_safety
from agbot.console.answers import CoordinatorView
from agbot.console.bodies import (
    AllowBody,
    ApproveBody,
    HoldBody,
    ReleaseBody,
    ResumeBody,
    WithdrawAllowanceBody,
    WithdrawApprovalBody,
)
from agbot.console.page import words
from agbot.coordinator.contract import Explanation, GroupView
from agbot.coordinator.listings import Orders
from agbot.rules import ids
from agbot.rules.ids import STORE_SCOPE, GroupId, name_of
from agbot.rules.rulebook import RULES

_ALLOWABLE: Final = frozenset(rule.name for rule in RULES if rule.is_allowable)
_ALLOWABLE_CODES: Final = frozenset(code for rule in RULES if rule.is_allowable for code in rule.unblocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the place that the action is about."""

    now: datetime
    orders: Orders
    group: GroupView | None = None
    explained: Explanation | None = None
    groups: int = 0
    """In the scope."""
    running: int = 0
    waiting: int = 0
    """Groups in the scope with a lease, and with waiters."""
    coordinators: Sequence[CoordinatorView] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """What will happen."""

    will: Sequence[str]
    warnings: Sequence[str] = field(default=())
    command: Sequence[str]
    """The same on the command line, without the reason."""


def of_hold(body: HoldBody, facts: Facts) -> Consequences:
    """Describe a hold."""
    until = (
        f"until {words.clock(body.until)} ({words.relative(body.until, facts.now)})"
        if body.until
        else "until it is resumed"
    )
    will = [f"No new upgrade begins in {words.scope(body.scope)}, {until}."]
    if facts.groups > 1 or body.scope == "*":
        will.append(
            f"It covers {words.count(facts.groups, 'group')}; members wait in {words.count(facts.waiting, 'group')} now."
        )
    will.append(running(facts))
    # the other operator's end and reason are lost with it
    before = next((each for each in facts.orders.holds if each.scope == body.scope), None)
    if before is not None:
        will.append(f"It replaces the hold of {before.by}: {before.why}.")
    command = ["agbot", "hold", *_scope_words(body.scope), *(["--until", body.until.isoformat()] if body.until else [])]
    return Consequences(will=will, command=command)


def of_resume(body: ResumeBody, facts: Facts) -> Consequences:
    """Describe the end of a hold, a rest, a brake, or the doubt about the store."""
    where = words.scope(body.scope)
    command = ["agbot", "resume", *_scope_words(body.scope)]
    if body.scope == STORE_SCOPE:
        will = ["Grants go on although the lease store is not the one that was used last."]
        warnings = [
            "You state that the former store has lost no upgrade that still runs. Otherwise two members may upgrade at once."
        ]
        return Consequences(will=will, warnings=warnings, command=["agbot", "resume", "--store"])
    if body.rest:
        will = [f"The rest after the last upgrade ends in {where}: the next member may begin at once."]
        warnings = ["It is then not known whether the member that has upgraded stays healthy."]
        return Consequences(will=will, warnings=warnings, command=[*command, "--rest"])
    if body.subject is not None:
        return _of_brakes(body, facts, [*command, "--subject", body.subject])
    hold = next((each for each in facts.orders.holds if each.scope == body.scope), None)
    if hold is None:
        will = [f"Nothing: {where} is not on hold{' itself' if _others(body.scope, facts) else ''}."]
    else:
        will = [
            f"The hold of {hold.by} on {where} ends: {hold.why}.",
            "Members that wait get a grant when they ask again, within a minute, if nothing else is against it.",
        ]
    if others := _others(body.scope, facts):
        will.append(f"Still on hold: {', '.join(others)}.")
    return Consequences(will=will, command=command)


def _others(scope: str, facts: Facts) -> list[str]:
    """Return the other holds that stop an upgrade in this scope, in words."""
    of_node = facts.explained.group if facts.explained is not None and ids.node_of_scope(scope) else None
    places = [scope] if of_node is None else [scope, of_node]  # a node's scope does not name its group
    return [
        words.scope(each.scope)
        for each in facts.orders.holds
        if each.scope != scope and any(_overlap(each.scope, place) for place in places)
    ]


def _of_brakes(body: ResumeBody, facts: Facts, command: list[str]) -> Consequences:
    found = [each for each in facts.orders.brakes if each.subject == body.subject and _covers(body.scope, each.group)]
    if not found:
        will = [f"Nothing: {body.subject} is not stopped in {words.scope(body.scope)}."]
        return Consequences(will=will, command=command)
    first = found[0]
    named = first.group if len(found) == 1 else words.count(len(found), "group")
    will = [
        f"{body.subject} may begin again in {named}.",
        *(
            f"In {each.group} the {each.kind} upgrade {each.cause} on {name_of(each.node)} "
            f"{words.relative(each.since, facts.now)}."
            for each in found[:5]
        ),
        "A member that failed is upgraded again only if its agent asks again.",
    ]
    warnings = ["If the cause of the failure is not removed, the next member will fail too."]
    return Consequences(will=will, warnings=warnings, command=command)


def of_release(body: ReleaseBody, group: GroupId, facts: Facts) -> Consequences:
    """Describe a forced release."""
    lease = facts.group.lease if facts.group is not None else None
    command = ["agbot", "release", group, *(["--token", str(body.token)] if body.token else [])]
    if facts.group is None or lease is None or lease.holder is None:
        return Consequences(will=[f"Nothing: no node holds the lease of {group}."], command=command)
    since = f" since {words.clock(lease.granted_at)}" if lease.granted_at else ""
    will = [
        f"The lease of {group} (token {lease.token}) is taken from {lease.holder}, which holds it for {lease.what}{since}."
    ]
    # the form was opened for an earlier grant: its holder is not the one that would lose the lease
    if body.token is not None and body.token != lease.token:
        will = [f"Nothing: the lease has been granted again meanwhile, under token {lease.token} to {lease.holder}."]
        return Consequences(will=will, command=command)
    waiting = [name_of(each.node) for each in facts.group.waiting]
    will.append(
        f"The next member may begin within a minute: {', '.join(waiting)} {'asks' if len(waiting) == 1 else 'ask'} for it."
        if waiting
        else "The next member that asks may begin at once."
    )
    return Consequences(will=will, warnings=[release_safety.verdict(facts.group, facts.now)], command=command)


def helps_to_allow(codes: Iterable[str]) -> bool:
    """Return whether an allowance passes any of these reasons: it never passes a lease."""
    return not _ALLOWABLE_CODES.isdisjoint(codes)


def of_allowance(body: AllowBody, facts: Facts) -> Consequences:
    """Describe an allowance."""
    what = body.subject or "its next upgrade"
    will = [
        f"{body.node} may begin {what} once, until {words.clock(body.until)} ({words.relative(body.until, facts.now)})."
    ]
    warnings: list[str] = []
    explained = facts.explained
    # a node that waits for two upgrades is explained by one of them, perhaps not by this one
    is_about_it = explained is not None and body.subject in {None, explained.subject}
    for rule in explained.rules if explained is not None and is_about_it else ():
        if rule.passes:
            continue
        if rule.rule in _ALLOWABLE:
            will.append(f"It goes past this: {rule.text}.")
        else:
            warnings.append(f"This still stops it: {rule.text}.")
    will.append(
        "It never goes past the lease or the rest of another member, a hold, or a failure after this moment. "
        "Its next grant uses it up."
    )
    command = ["agbot", "allow", body.node, *(["--subject", body.subject] if body.subject else [])]
    return Consequences(will=will, warnings=warnings, command=[*command, "--until", body.until.isoformat()])


def of_approval(body: ApproveBody, facts: Facts) -> Consequences:
    """Describe an approval."""
    upgrade = f"The {body.kind} upgrade {body.subject}, as it is published now,"
    will = [f"{upgrade} may begin in {words.scope(body.scope)}."]
    if facts.waiting:
        will.append(f"Members wait for this approval in {words.count(facts.waiting, 'group')}.")
    will.append("A later revision of the policy needs another approval. Every other rule still applies.")
    command = ["agbot", "approve", *_scope_words(body.scope), "--subject", body.subject]
    if body.kind == "service":
        command.append("--service")
    return Consequences(will=will, command=command)


def of_withdrawn_allowance(body: WithdrawAllowanceBody, facts: Facts) -> Consequences:
    """Describe the withdrawal of an allowance."""
    command = ["agbot", "allow", body.node, "--withdraw"]
    given = next((each for each in facts.orders.allowances if each.node == body.node), None)
    if given is None:
        return Consequences(will=[f"Nothing: {body.node} has no allowance."], command=command)
    will = [
        f"{body.node} may no longer begin {given.subject or 'its next upgrade'} past the rules; {given.by} has allowed it: {given.why}."
    ]
    return Consequences(will=will, command=command)


def of_withdrawn_approval(body: WithdrawApprovalBody, facts: Facts) -> Consequences:
    """Describe the withdrawal of an approval."""
    command = ["agbot", "approve", *_scope_words(body.scope), "--subject", body.subject, "--withdraw"]
    command += ["--service"] if body.kind == "service" else []
    where = words.scope(body.scope)
    wanted = (body.scope, body.kind, body.subject)
    given = next((each for each in facts.orders.approvals if (each.scope, each.kind, each.subject) == wanted), None)
    if given is None:
        return Consequences(
            will=[f"Nothing: the {body.kind} upgrade {body.subject} is not approved in {where}."], command=command
        )
    taken = f"The {body.kind} upgrade {body.subject} may no longer begin in {where} without another approval"
    will = [f"{taken}; {given.by} has approved it: {given.why}.", "Groups in which it has begun go on."]
    return Consequences(will=will, command=command)


def running(facts: Facts) -> str:
    """Say that upgrades under way go on."""
    if facts.running == 0:
        return "No upgrade is under way there."
    return f"{words.count(facts.running, 'upgrade that is under way goes', 'upgrades that are under way go')} on."


def _scope_words(scope: str) -> list[str]:
    node = ids.node_of_scope(scope)
    return ["--node", node] if node is not None else [scope]


def command_line(parts: Sequence[str], reason: str) -> str:
    """Write the command that does the same."""
    return shlex.join([*parts, "--reason", reason or "…"])


def _covers(scope: str, group: GroupId) -> bool:
    return scope in {"*", ids.org_of(group), group}


def _overlap(one: str, other: str) -> bool:
    if "*" in {one, other}:
        return True
    one, other = (ids.node_of_scope(each) or each for each in (one, other))
    return ids.org_of(one) == ids.org_of(other) and (one in {other, ids.org_of(one)} or other == ids.org_of(other))
