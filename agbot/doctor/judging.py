"""Is the upgrade of an agbot's row over? Judged by one reading of its node, or by two. Pure.

The rules are those of the daemon (`agbot.rules.rows`), which watches a row for minutes. One reading
has no duration, so the age of the evidence itself must prove that the agbot will not delete the row
any more. Only that a node runs a lower version can also be seen for seconds before an upgrade; the
same agreements in a second reading prove that none has begun (W3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from agbot.doctor.finding import Standing
from agbot.rules import health, ids, rows
from agbot.rules.facts import Agreement, Member, NodeType, Policy, Row, Sight
from agbot.rules.lease import Claim, Kind
from agbot.rules.rows import STUCK_AFTER, RowFacts, RowState
from agbot.rules.seen_time import Now

_ORPHANED = "W15"
_DOWNGRADED = "W3"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReading:
    """Everything that was read about one row, at one moment."""

    row: Row
    claim: Claim
    facts: RowFacts
    group_exists: bool
    now: Now


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What the readings show."""

    standing: Standing
    why: str = ""
    defect: str = ""
    needs_another: bool = False
    """Whether only a second reading, some seconds later, can show that it is stuck."""


def judge(reading: RowReading, before: RowReading | None = None) -> Opinion:
    """Judge a row by this reading, and by one that was some seconds earlier."""
    found = _judge(reading)
    # one absence proves nothing (decision 17), so it counts if the earlier one has found it too
    if found.standing is not Standing.STUCK or not (_is_absence(reading) or found.defect == _DOWNGRADED):
        return found
    if before is None:
        return Opinion(standing=Standing.UNDER_WAY, needs_another=True)
    is_same = _judge(before).defect == found.defect and _running(reading) <= _running(before)
    return found if is_same else Opinion(standing=Standing.UNDER_WAY)


def _judge(reading: RowReading) -> Opinion:
    member, row = reading.facts.member, reading.row
    if member is Sight.UNREAD or reading.facts.policy is Sight.UNREAD:
        return Opinion(standing=Standing.UNKNOWN, why="its node or its policy could not be read")
    if isinstance(member, Member) and member.node.group != row.group:
        return _orphaned(reading, member)
    if isinstance(member, Member) and member.node.node_type is NodeType.CLUSTER:
        return Opinion(standing=Standing.UNDER_WAY, why=f"{row.node} is a cluster node, which no group gates")
    state = RowState(row=row, not_before=reading.now.wall)
    defect, why = rows.defect(state, reading.claim, reading.facts, reading.now)
    stuck = Opinion(standing=Standing.STUCK, why=why, defect=defect)
    if rows.why_over(state, reading.claim, reading.facts, reading.now) is not None:
        since = _evidence_at(reading)
        is_young = since is not None and reading.now.wall - since < STUCK_AFTER
        return Opinion(standing=Standing.ENDING, why=why, defect=defect) if is_young else stuck
    if row.kind is Kind.AGENT:
        return stuck if _is_absence(reading) else Opinion(standing=Standing.UNDER_WAY)
    return stuck if _running(reading) else Opinion(standing=Standing.UNDER_WAY)


def _is_absence(reading: RowReading) -> bool:
    """Whether the evidence is that something is missing."""
    member = reading.facts.member
    if not isinstance(member, Member) or reading.facts.policy is Sight.ABSENT or not reading.group_exists:
        return True
    # an agent writes its status before it asks, so a row without one is of no new upgrade
    return reading.row.kind is Kind.AGENT and reading.claim.subject not in member.statuses


def _orphaned(reading: RowReading, member: Member) -> Opinion:
    """Judge a row whose node is not a member of its group."""
    elsewhere = f"in {member.node.group}" if member.node.group else "in no HA group"
    why = f"{reading.row.node} is {elsewhere}" + (
        "" if reading.group_exists else f", and {reading.row.group} does not exist"
    )
    # The agbot deletes such a row of an agent within a minute, and that of a service only at its
    # start or when it sees the group change (W15).
    if reading.row.kind is Kind.AGENT:
        return Opinion(standing=Standing.ENDING, why=why)
    return Opinion(standing=Standing.STUCK, why=why, defect=_ORPHANED)


def _running(reading: RowReading) -> frozenset[str]:
    """Return the finalized agreements of the policy's service whose containers run."""
    return frozenset(each.id for each in _agreements(reading) if each.finalized and each.runs)


def _evidence_at(reading: RowReading) -> datetime | None:
    """Return when the node reported the end; None for evidence that needs no age."""
    member, claim = reading.facts.member, reading.claim
    if not isinstance(member, Member) or not member.node.registered:
        return None
    if reading.facts.policy is Sight.ABSENT or health.is_dead(member.node, reading.facts.limits, reading.now):
        return None
    if reading.row.kind is Kind.AGENT:
        status = member.statuses.get(claim.subject)
        return status.updated_at if status is not None else None
    dates = [each.updated_at for each in _agreements(reading) if each.finalized and each.updated_at is not None]
    return max(dates, default=None)


def _agreements(reading: RowReading) -> list[Agreement]:
    member, policy = reading.facts.member, reading.facts.policy
    if not isinstance(member, Member) or isinstance(member.agreements, Sight) or not isinstance(policy, Policy):
        return []
    return [each for each in member.agreements if each.service == policy.service]


def doubled(listed: Iterable[Row], repeated: Iterable[Row]) -> Mapping[Row, str]:
    """Return the rows whose slot has other rows, in words (W14).

    A group has one slot for agent upgrades, and one for each policy.
    """
    slots: dict[tuple[str, ...], list[Row]] = {}
    for row in listed:
        slot = (row.group, row.subject) if row.kind is Kind.SERVICE else (row.group,)
        slots.setdefault((row.kind, *slot), []).append(row)
    found = dict.fromkeys(repeated, "this row is there more than once")
    for of_slot in slots.values():
        for row in of_slot:
            others = [f"{ids.name_of(each.node)} for {each.subject}" for each in of_slot if each != row]
            if others:
                found[row] = f"the same slot is also taken by {', '.join(others)}"
    return found
