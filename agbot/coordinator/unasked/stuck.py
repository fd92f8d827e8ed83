"""Rows of the real agbot that stay although their upgrade is over, with the defect and its cure."""

from __future__ import annotations

from collections.abc import Iterator

from agbot.agreementbot import cures
from agbot.coordinator.contract import StuckView
from agbot.coordinator.situation import Situation
from agbot.rules import rows
from agbot.rules.facts import Member, Row, Sight
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, Kind
from agbot.rules.rows import RowFacts, RowState, Standing


def facts_of(row: Row, claim: Claim, situation: Situation) -> RowFacts:
    """Return what is known of a row's node."""
    overlap = situation.ledger.deferrals.get(row.group, {}).get(row.node)
    member, policy = situation.picture.member(row.node), situation.picture.policies.get(claim.kind, claim.subject)
    if (
        isinstance(member, Member)
        and row.kind is Kind.AGENT
        and isinstance(situation.picture.statuses(row.node), Sight)
    ):
        member = Sight.UNREAD  # without its statuses nothing is known of its upgrade
    return RowFacts(
        member=member,
        policy=policy,
        lease=situation.ledger.lease(row.group),
        overlaps=overlap is not None and overlap.is_overlap and overlap.subject == claim.subject,
        limits=situation.limits_of(row.group),
    )


def view(state: RowState, situation: Situation) -> StuckView:
    """Show a row that is stuck."""
    row, claim = state.row, situation.rows.claim(state.row)
    defect, why = rows.defect(state, claim, facts_of(row, claim, situation), situation.now())
    of_group = [each.row for each in situation.rows.of(row.group)]
    return StuckView(
        node=row.node,
        kind=str(row.kind),
        subject=claim.subject,
        defect=defect,
        why=why,
        cure=cures.cure(row, of_group, situation.rows.url).command,
    )


def of(group: GroupId, situation: Situation) -> Iterator[StuckView]:
    """Yield the rows of a group that are stuck."""
    states = (state for state in situation.rows.of(group) if state.standing is Standing.STUCK)
    return (view(state, situation) for state in states)


def in_words(group: GroupId, situation: Situation) -> str:
    """Return sentences about what is stuck in a group, to append to another one.

    Empty if nothing is.
    """
    return "".join(
        f" The agbot keeps its row for {each.subject} on {each.node}, which is over ({each.why}), and begins no other upgrade there;"
        f" cure: {each.cure}"
        for each in of(group, situation)
    )
