"""Upgrades beside the one that holds the lease, which nobody could stop: they are waited for as if they held it.

Two sources tell of them: the records of upgrades that were begun while another one was under way, and what the agbot lists of its own. An
offline peer never blocks a service that runs under a current agreement (P6).
"""

from __future__ import annotations

from agbot.rules import health
from agbot.rules.facts import Ask, Deferral, Group, Row
from agbot.rules.ids import NodeId
from agbot.rules.lease import Claim
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import Now
from agbot.rules.words import clock


def overlap(ask: Ask, group: Group, now: Now) -> Reason | None:
    """An upgrade that was begun unasked and does not hold the lease has not ended."""
    for node, deferral in sorted(group.deferrals.items()):
        if not deferral.is_overlap or node == ask.node or _gives_way(ask, group, node, now):
            continue
        text = _said(deferral)
        return Reason(code=Code.OVERLAP, text=text, facts={"node": node, "subject": deferral.subject})
    for row in group.rows:
        if row.node in group.deferrals or _is_known(row, ask, group) or _gives_way(ask, group, row.node, now):
            continue
        text = f"the agbot lists {row.what} of {row.node} as under way"
        return Reason(code=Code.OVERLAP, text=text, facts={"node": row.node, "subject": row.subject})
    return None


def _said(deferral: Deferral) -> str:
    begun = f"since {clock(deferral.since)}"
    if deferral.cut_off:
        why = "the policy was deleted or the node has unregistered"
        return f"{deferral.node} may still be in {deferral.what}, which it cannot report {begun}: {why}"
    return f"{deferral.node} is in {deferral.what} {begun}, which nobody asked for"


def _gives_way(ask: Ask, group: Group, node: NodeId, now: Now) -> bool:
    member = group.members.get(node)
    is_offline = member is not None and health.why_silent(member.node, group.limits, now) is not None
    return ask.is_bound_service and is_offline


def _is_known(row: Row, ask: Ask, group: Group) -> bool:
    """Whether the row tells of the asker's own upgrade, or of the one that holds the lease."""
    claim = Claim(holder=row.node, kind=row.kind, subject=row.subject)
    return claim == ask.claim or group.lease.is_held_for(claim)


def agbot_unavailable(ask: Ask, group: Group, _now: Now) -> Reason | None:
    """While it is not known what the agbot has begun, no agent may begin; about a service it is the agbot that asks."""
    return group.agbot_doubt if ask.is_agent else None
