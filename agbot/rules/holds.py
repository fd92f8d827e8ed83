"""Operators' holds: new grants are stopped until the hold ends or is resumed.

A hold covers the fleet, an organisation, a group or a node.
"""

from __future__ import annotations

from agbot.rules import ids
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Hold
from agbot.rules.rule import NO_EVIDENCE, Case, Evidence, Rule
from agbot.rules.seen_time import Now
from agbot.rules.words import clock


def paused(case: Case) -> Reason | None:
    """Refuse while a hold covers the node. If several do, all of them have to end."""
    if not case.group.holds:
        return None
    found = case.once(covering)
    if not found:
        return None
    ends = [each.until for each in found if each.until is not None]
    # one without an end lasts until an operator resumes it, and then no time can be promised
    until = max(ends) if len(ends) == len(found) else None
    return Reason(code=Code.PAUSED, text="; ".join(in_words(each) for each in found), until=until)


def covering(case: Case) -> tuple[Hold, ...]:
    """Return the holds that cover this question now."""
    group, node = case.group.id, case.ask.node
    scopes = {"*", ids.org_of(group), group, ids.node_scope(node)}
    return tuple(each for each in case.group.holds if each.scope in scopes and not is_over(each, case.at))


def is_over(hold: Hold, now: Now) -> bool:
    """Return whether the hold's own end has passed."""
    # a wrong date for 12 s once ended a hold of two weeks (decision 21)
    return hold.until is not None and now.is_steady and now.wall >= hold.until


def in_words(hold: Hold) -> str:
    """Write a hold in words."""
    until = f" until {clock(hold.until)}" if hold.until else ""
    return f"on hold{until} by {hold.by}: {hold.why}"


def _scopes(case: Case) -> Evidence:
    found = case.once(covering)
    return Evidence(facts={"scopes": [hold.scope for hold in found]}) if found else NO_EVIDENCE


NOT_PAUSED = Rule(
    name="not-paused",
    passes="no hold stops upgrades here",
    unblocks={Code.PAUSED: "wait until the hold ends, or run {resume}"},
    check=paused,
    evidence=_scopes,
)
