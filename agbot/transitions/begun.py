"""The beginning of an upgrade: the state at its start, and that of an unasked one by its evidence.

Only what changes after the start is evidence of progress. An unasked upgrade is shown by the node's
report, the agbot's list, or a lost agreement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from agbot.rules.facts import Agreement, Ask, Member, Policy, Sight
from agbot.rules.health import is_since
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Claim, Kind
from agbot.rules.loss import Loss
from agbot.rules.progress import Progress
from agbot.rules.records import Deferral
from agbot.rules.rows import RowState
from agbot.rules.seen_time import Now

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
        _at_start(member, policy, now),
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
    progress = replace(_at_start(member, policy, now), observed=True)
    if claim.kind is Kind.AGENT:
        status = member.statuses.get(claim.subject)
        shown = status.value if status is not None else _LISTED
        return Begun(group=group, claim=claim, since=since, progress=progress, status=shown)
    progress, service = of_listed_service(progress, member, policy, since), progress.service
    return Begun(group=group, claim=claim, since=since, progress=progress, status=_LISTED, service=service)


def lost(group: GroupId, member: Member, loss: Loss, service: str, now: Now) -> Begun:
    """Return the upgrade of a service that is down, without guessing for which policy."""
    before = () if isinstance(loss.before, Sight) else loss.before
    old = (*before, *_old_agreements(member, loss.at))
    progress = replace(
        _at_start(member, Sight.UNREAD, now), service=service, agreements_before=_ids_of(old), observed=True
    )
    claim = Claim(holder=member.node.id, kind=Kind.SERVICE, subject=PolicyId(""))
    status = "an agreement has ended"
    return Begun(group=group, claim=claim, since=loss.at, progress=progress, status=status, service=service)


def _at_start(member: Member | Sight, policy: Policy | Sight, now: Now) -> Progress:
    """Return the state at the start of any upgrade, as far as node and policy are known."""
    before = member.node.agent_version if isinstance(member, Member) else ""
    progress = Progress(moved_at=now.seen, version_before=before)
    if isinstance(policy, Sight):
        return progress
    return replace(progress, revision=policy.revision, service=policy.service, top_version=policy.top_version)


def at_grant(ask: Ask, member: Member | Sight, policy: Policy | Sight, now: Now) -> Progress:
    """Return the state at a grant; the present agreements count as the old ones."""
    return replace(
        _at_start(member, policy, now),
        confirmed=ask.claim.kind is Kind.HOST,  # it begins at once, and no report of it will come
        asked_by=(ask.by,) if ask.by else (),
        agreements_before=_ids_of(_agreements_of(member)),
    )


def of_listed_service(
    progress: Progress, member: Member | Sight, policy: Policy | Sight, begun_at: datetime
) -> Progress:
    """Return the progress of a service upgrade that the agbot lists, which began at this time."""
    # The agreements of before that time are the old ones, and not those of now: the new one may be
    # there already, and would never count as the end.
    return replace(
        progress,
        observed=True,
        target_version=progress.top_version,
        agreements_before=_ids_of(_old_agreements(member, begun_at)),
        pattern=policy.pattern if isinstance(policy, Policy) else "",
    )


def _old_agreements(member: Member | Sight, moment: datetime) -> list[Agreement]:
    """Return the member's agreements that are not known to be of this time or later."""
    return [each for each in _agreements_of(member) if not is_since(each, moment)]


def _agreements_of(member: Member | Sight) -> tuple[Agreement, ...]:
    """Return the member's agreements, as far as they were read."""
    known = member if isinstance(member, Sight) else member.agreements
    return () if isinstance(known, Sight) else known


def _ids_of(agreements: Iterable[Agreement]) -> tuple[str, ...]:
    """Return the ids of agreements, sorted, each once."""
    return tuple(sorted({each.id for each in agreements}))
