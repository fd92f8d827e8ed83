"""Upgrades that began without a grant, beside the one that holds the lease.

The other members wait for them as they wait for the holder. Two sources show them: the records of
upgrades that began while another one was under way, and the agbot's list of its own upgrades. An
offline peer never blocks a service that runs under a current agreement (P6).
"""

from __future__ import annotations

from agbot.rules import health
from agbot.rules.facts import Ask, Row
from agbot.rules.group import Group
from agbot.rules.ids import NodeId
from agbot.rules.lease import Claim
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Deferral
from agbot.rules.rule import Case, Evidence, Rule, oldest
from agbot.rules.statuses import MAY_GO_ON, PHASES, Phase
from agbot.rules.words import clock


def _overlap(case: Case) -> Reason | None:
    """Refuse while an upgrade that began without a grant has not ended."""
    ask, group = case.ask, case.group
    if not group.deferrals and not group.rows:
        return None
    for node, deferral in sorted(group.deferrals.items()):
        # A member that joined in the middle of its upgrade is no overlap: its membership is not
        # enforced until then, and `peers` already counts it as unavailable.
        if not deferral.is_overlap or node == ask.node or _gives_way(case, node):
            continue
        text = in_words(deferral)
        return Reason(code=Code.OVERLAP, text=text, facts={"node": node, "subject": deferral.subject})
    for row in group.rows:
        # what the coordinator has recorded of this node has been decided on above
        if row.node in group.deferrals or _is_known(row, ask, group) or _gives_way(case, row.node):
            continue
        text = f"the agbot lists {row.what} of {row.node} as under way"
        return Reason(code=Code.OVERLAP, text=text, facts={"node": row.node, "subject": row.subject})
    return None


def in_words(deferral: Deferral) -> str:
    """Say which upgrade is under way beside the lease."""
    since = clock(deferral.since)
    if deferral.cut_off:
        why = "the policy was deleted or the node has unregistered"
        return f"{deferral.node} may still be in the middle of {deferral.what}, which it has been unable to report since {since}: {why}"
    return (
        f"{deferral.node} has been in the middle of {deferral.what} since {since}; that upgrade began without a grant"
    )


def _gives_way(case: Case, node: NodeId) -> bool:
    """Whether the member is offline and the asker a service that no offline peer may block."""
    member = case.group.members.get(node) if case.ask.is_bound_service else None
    return member is not None and health.why_silent(member.node, case.group.limits, case.at) is not None


def has_begun(case: Case) -> bool:
    """Whether the upgrade for which the asker holds the lease is known to have begun.

    An agent or a host that asks again has not acted on an earlier yes: that answer was lost.
    """
    tenure, ask = case.group.lease.tenure, case.ask
    if tenure is None or tenure.claim != ask.claim:
        return False
    if ask.is_service:
        return tenure.progress.confirmed
    member = case.group.members.get(ask.node)
    status = member.statuses.get(ask.claim.subject) if member is not None else None
    shown = (tenure.progress.status, "" if status is None else status.value)
    return any(PHASES.get(each, Phase.UNREADABLE) in MAY_GO_ON for each in shown if each)


def _is_known(row: Row, ask: Ask, group: Group) -> bool:
    """Whether the row is the asker's own upgrade or the one that holds the lease."""
    claim = Claim(holder=row.node, kind=row.kind, subject=row.subject)
    return claim == ask.claim or group.lease.is_held_for(claim)


def _overlaps(case: Case) -> Evidence:
    """An overlap is a deferral with a policy; the agreements of its node show how far it is."""
    group = case.group
    found = sorted(node for node, each in group.deferrals.items() if each.is_overlap)
    facts: dict[str, object] = {"overlapping": found} if found else {}
    if group.rows:
        facts["listed"] = sorted({row.node for row in group.rows})
    reads = [group.members[node].agreements_read_at for node in found if node in group.members]
    return Evidence(facts=facts, read_at=oldest([*reads, group.reads.rows]))


def _agbot_unavailable(case: Case) -> Reason | None:
    """Refuse all but services while it is not known which upgrades the agbot has begun."""
    # For a service it is the agbot itself that asks, and it knows its list. An agent upgrade that
    # is granted without the list may go beside the service upgrade of a peer (A10).
    return case.group.agbot_doubt if not case.ask.is_service else None


def _list_of_the_agbot(case: Case) -> Evidence:
    doubt = case.group.agbot_doubt
    return Evidence(facts={} if doubt is None else {"agbot": doubt.text}, read_at=case.group.reads.rows)


NO_OVERLAP = Rule(
    name="no-overlap",
    passes="no upgrade that began without a grant is under way",
    unblocks={Code.OVERLAP: "wait until that upgrade has ended"},
    check=_overlap,
    evidence=_overlaps,
)

AGBOT_KNOWN = Rule(
    name="agbot-known",
    passes="the agbot's list of its own upgrades is known, or is not needed",
    unblocks={
        Code.AGBOT_UNAVAILABLE: "repair the local API of the agbot (`[agbot] api`); the daemon's log says what failed"
    },
    check=_agbot_unavailable,
    evidence=_list_of_the_agbot,
)
