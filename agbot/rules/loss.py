"""What the end of an agreement shows: which service is down, or that a release has crashed.

The feed shows an agbot that an agreement of a node has ended, but not which one, nor why. Therefore
what the node was known to run before is compared with what it runs now. For which policy the
service went down is not guessed (`docs/decisions/0014`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agbot.rules import health
from agbot.rules.facts import Agreement, Member, Policy, Sight
from agbot.rules.ids import NodeId
from agbot.rules.lease import End, Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An agreement of a node has ended."""

    at: datetime
    before: tuple[Agreement, ...] | Sight = Sight.UNREAD
    """The node's agreements before that, if they were known."""


def services_down(loss: Loss, agreements: tuple[Agreement, ...], common: Collection[str]) -> list[str]:
    """Return the services (`org/url`), sorted, that the node ran and no longer runs.

    If nothing was known of the node, these are the services that are `common` to its group and for
    which it has no agreement.
    """
    if isinstance(loss.before, Sight):
        return sorted(set(common).difference(each.service for each in agreements))
    left = {each.id for each in agreements}
    # a proposal that never became final ran nothing, so its end takes nothing down
    running = {each.service for each in agreements if each.finalized and each.runs}
    lost = {each.service for each in loss.before if each.id not in left and (each.finalized or each.runs)}
    return sorted(lost - running)


def under_way(member: Member, common: Collection[str], since: datetime, now: Now) -> tuple[str, Loss] | None:
    """Return a service that may be in an upgrade, with its loss; None if none is.

    For a store that was replaced, which may have granted it and no longer knows that. Then only the
    member's own state shows it: what it lacks of the services that are `common` to its group, and
    what does not run.
    """
    if isinstance(member.agreements, Sight):
        return None
    for each in sorted(member.agreements, key=lambda each: each.id):
        # an agreement from before `since` belongs to a service that has crashed, or that never
        # reports containers (W10)
        if not each.runs and (each.updated_at is None or each.updated_at >= since):
            return each.service, Loss(at=each.updated_at or now.wall)
    lacking = sorted(set(common).difference(each.service for each in member.agreements))
    return (lacking[0], Loss(at=now.wall)) if lacking else None


def may_have_crashed(lease: Lease, node: NodeId, limits: Limits, now: Now) -> list[End]:
    """Return the service upgrades that may have crashed, as a lost agreement of this node shows."""
    end, tenure, found = lease.last_end, lease.tenure, list[End]()
    proof = timedelta(seconds=limits.service_soak_seconds + limits.rest_proof_seconds)
    # after that an agreement may end for any reason, and the release has proved itself
    if end is not None and end.claim.holder == node and end.cause is Cause.SUCCEEDED and now.seen - end.since <= proof:
        found.append(end)
    # the release that a peer is getting may run here as well: it crashes here by the same defect
    if tenure is not None and tenure.claim.holder != node:
        progress = tenure.progress
        peers = End(
            claim=replace(tenure.claim, holder=node),
            token=lease.token,
            cause=Cause.SUCCEEDED,
            at=now.wall,
            revision=progress.revision,
            service=progress.service,
            top_version=progress.versions.software,
        )
        found.append(peers)
    return [each for each in found if each.claim.kind is Kind.SERVICE and each.claim.subject]


def crashed(loss: Loss, agreements: tuple[Agreement, ...], policy: Policy | Sight) -> Agreement | None:
    """Return the lost agreement at the policy's top version; None if another one was lost.

    To be asked only of the upgrades of `may_have_crashed`.
    """
    # On such a member an agreement at the top version ends only if its containers have crashed. The
    # bad state itself is in the Exchange for 2 to 4 s (measured) and is met only by luck.
    if isinstance(loss.before, Sight) or not isinstance(policy, Policy) or not policy.top_version:
        return None
    left = {each.id for each in agreements}
    return next(
        (
            each
            for each in loss.before
            if each.id not in left and each.service == policy.service and each.version == policy.top_version
        ),
        None,
    )


def why_runs_again(service: str, before: Collection[str], agreements: tuple[Agreement, ...], *, is_over: bool) -> str:
    """Say that a node runs a service again under a new agreement; empty while it does not.

    `is_over`: the agreement need not be final.
    """
    runs = (
        each
        for each in agreements
        if each.service == service and each.id not in before and each.runs and (each.finalized or is_over)
    )
    found = next(runs, None)
    return (
        f"it runs {found.service} {found.version} again".rstrip()
        if found is not None and not health.is_stopped(found)
        else ""
    )
