"""Unasked upgrades, by their evidence: the node's report, the agbot's list, a lost agreement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from agbot.rules.facts import Member, Policy, Sight
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.rules.loss import Loss
from agbot.rules.progress import Progress
from agbot.rules.records import Deferral
from agbot.rules.rows import RowState
from agbot.rules.seen_time import Now
from agbot.transitions.progress import at_start, ids_of, of_listed_service, old_agreements

_LISTED = "listed by the agbot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An unasked upgrade."""

    group: GroupId
    claim: Claim
    since: datetime
    """When it began, as far as is known."""
    progress: Progress
    status: str
    """Its last known status."""
    service: str = ""
    """`org/url` of the service that is upgraded, if it is known."""

    def as_overlap(self) -> Deferral:
        """Return its record if another upgrade holds the lease."""
        return Deferral(
            group=self.group,
            node=self.claim.holder,
            subject=self.claim.subject,
            since=self.since,
            status=self.status,
            kind=self.claim.kind,
            service=self.service,
            overlaps=True,
        )


def reported(group: GroupId, claim: Claim, member: Member, policy: Policy | Sight, now: Now) -> Begun:
    """Return the agent upgrade that a member reports."""
    status = member.statuses[claim.subject]
    progress = replace(
        at_start(member, policy, now),
        status=status.value,
        stamp=status.stamp,
        confirmed=True,
        target_version=status.target_version,
        observed=True,
    )
    return Begun(group=group, claim=claim, since=status.updated_at, progress=progress, status=status.value)


def listed(state: RowState, claim: Claim, member: Member, policy: Policy | Sight, now: Now) -> Begun:
    """Return the upgrade that the agbot lists."""
    group, since = state.row.group, state.not_before
    progress = replace(at_start(member, policy, now), observed=True)
    if claim.kind is Kind.AGENT:
        status = member.statuses.get(claim.subject)
        shown = status.value if status is not None else _LISTED
        return Begun(group=group, claim=claim, since=since, progress=progress, status=shown)
    progress, service = of_listed_service(progress, member, policy, since), progress.service
    return Begun(group=group, claim=claim, since=since, progress=progress, status=_LISTED, service=service)


def lost(group: GroupId, member: Member, loss: Loss, service: str, now: Now) -> Begun:
    """Return the upgrade of a service that is down, without guessing for which policy."""
    before = () if isinstance(loss.before, Sight) else loss.before
    old = (*before, *old_agreements(member, loss.at))
    progress = replace(
        at_start(member, Sight.UNREAD, now), service=service, agreements_before=ids_of(old), observed=True
    )
    claim = Claim(holder=member.node.id, kind=Kind.SERVICE, subject=PolicyId(""))
    status = "an agreement has ended"
    return Begun(group=group, claim=claim, since=loss.at, progress=progress, status=status, service=service)
