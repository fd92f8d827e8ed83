"""Brakes: a release that has failed does not reach the next member.

A release that has failed in too many groups stops in the whole organisation.

There is one kind of record: the brake of one upgrade in one group. It names the policy and the
versions that the failed node reported. A new revision lifts it only for nodes that bring another
version, because a node continues with its old download for a while. An organisation is stopped when
enough of its groups have a brake that stops the asker, so lifting those brakes starts it again.
"""

from __future__ import annotations

from datetime import datetime

from agbot.rules import consent, eligibility, ids
from agbot.rules.facts import Ask, Policy
from agbot.rules.group import Group
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits, share_of
from agbot.rules.reasons import BRAKING, Cause, Code, Reason
from agbot.rules.records import Brake
from agbot.rules.rule import Case, Evidence, Rule
from agbot.rules.versions import NO_VERSIONS, Versions, is_same
from agbot.rules.words import clock

_NAMED_GROUPS = 5
_REMEMBERED = 8
"""How many failed versions of one policy are remembered."""
_FELL_SILENT = frozenset({Cause.SUPERSEDED, Cause.EXPIRED})
"""How the tenure of a dead node ends: a peer has taken the lease over, or it has expired."""


def _brake(case: Case) -> Reason | None:
    """Refuse a release that has failed in this group.

    The brake lasts until an operator lifts it or the asker brings another version.
    """
    ask, group, set_brake = case.ask, case.group, case.once(_set_brake)
    if set_brake is None:
        return None
    text = f"{set_brake.subject} {set_brake.cause} on {set_brake.node} at {clock(set_brake.since)}"
    more = f"{_contradicted(set_brake, group)}{_still_brings(set_brake, ask, group)}"
    return Reason(
        code=Code.BRAKE,
        text=f"{text}{more}{consent.too_old(case, set_brake.since)}",
        facts={"node": set_brake.node, "cause": set_brake.cause, "token": set_brake.token},
    )


def _set_brake(case: Case) -> Brake | None:
    """Return the brake of the group that stops the asker."""
    ask, group = case.ask, case.group
    mine = (each for each in group.brakes if (each.kind, each.subject) == ask.subject)
    return next((each for each in mine if _holds(each, ask, group)), None)


def _failed_at(case: Case) -> datetime | None:
    set_brake = case.once(_set_brake)
    return set_brake.since if set_brake is not None else None


def _contradicted(set_brake: Brake, group: Group) -> str:
    """Name both versions if the failure was that they contradict each other."""
    end = group.lease.last_end
    # The version is in the last end only if that end is what set the brake, and only an end that
    # contradicted its own report has one together with `failed`.
    is_this = end is not None and end.token == set_brake.token and end.cause is Cause.FAILED and end.version
    return f": {end.detail}" if end is not None and is_this else ""


def _still_brings(set_brake: Brake, ask: Ask, group: Group) -> str:
    if not is_other_revision(set_brake, revision_of(ask, group)):
        return ""
    brought = _brought_by(ask, group)
    if ask.is_agent:
        return (
            f"; there is a new revision, but {ask.node} has not downloaded it and still reports {brought}, which failed"
        )
    return f"; there is a new revision, but it still brings {brought}, which failed"


def _what_is_brought(case: Case) -> Evidence:
    """A brake stops one revision of the policy, and every node that still brings what failed."""
    seen, brought = eligibility.policy_evidence(case), _brought_by(case.ask, case.group)
    is_shown = brought and case.group.brakes
    return Evidence(facts={**seen.facts, "brings": str(brought)}, read_at=seen.read_at) if is_shown else seen


def _org_brake(case: Case) -> Reason | None:
    """Refuse a release that has failed in too many groups of the organisation."""
    ask, group = case.ask, case.group
    if not group.org_brakes:
        return None
    failed = sorted(each.group for each in case.once(_failed_in_org))
    limit = _org_limit(group.limits, group.org_groups)
    # No record of its own stops an organisation: lifting the brakes of its groups starts it again.
    if limit is None or len(failed) < limit:
        return None
    named = ", ".join(failed[:_NAMED_GROUPS]) + (" …" if len(failed) > _NAMED_GROUPS else "")
    return Reason(
        code=Code.ORG_BRAKE,
        text=f"{ask.claim.subject} failed in {len(failed)} groups of {ids.org_of(group.id)} ({named}); "
        f"{limit} stop it in all of them{_too_old_for_org(case)}",
        facts={"failed": len(failed), "limit": limit, "groups": group.org_groups},
    )


def _failed_in_org(case: Case) -> list[Brake]:
    """Return the brakes of the groups in which the requested upgrade failed and was not resumed."""
    ask, group = case.ask, case.group
    mine = (each for each in group.org_brakes if (each.kind, each.subject) == ask.subject)
    return [each for each in mine if _holds(each, ask, group)]


def _last_failed_in_org_at(case: Case) -> datetime | None:
    """Return when it last failed in a group: each failure is news."""
    return max((each.since for each in case.once(_failed_in_org)), default=None)


def _too_old_for_org(case: Case) -> str:
    failed_at = _last_failed_in_org_at(case)
    return consent.too_old(case, failed_at) if failed_at is not None else ""


def _how_often_it_failed(case: Case) -> Evidence:
    return Evidence(facts={"failed_groups": len(case.once(_failed_in_org)), "groups": case.group.org_groups})


def stops(lease: Lease, cause: Cause) -> bool:
    """Return whether an upgrade that ends with this cause is stopped in its group."""
    if lease.tenure is None or cause not in BRAKING:
        return False
    # That the node of a service upgrade has died proves nothing about the release, and a brake
    # would let an offline peer block the service of the others (P6). After a second death in a row
    # the release is the likely cause. Measured without that: a version that kills its node took
    # four of four, one every `lease_seconds`; with it, two (decision 5).
    return lease.tenure.claim.kind is not Kind.SERVICE or cause is not Cause.EXPIRED or is_second_to_fall(lease)


def is_second_to_fall(lease: Lease) -> bool:
    """Return whether the previous holder, another member, fell silent in the same release."""
    tenure, end = lease.tenure, lease.last_end
    if tenure is None or end is None or end.cause not in _FELL_SILENT or end.claim.holder == tenure.claim.holder:
        return False
    if end.was_offline or tenure.progress.was_offline:
        return False  # its silence is older than the upgrade
    now, then = tenure.claim, end.claim
    return (then.kind, then.subject, end.revision) == (now.kind, now.subject, tenure.progress.revision)


def _org_limit(limits: Limits, groups: int) -> int | None:
    """Return how many failed groups stop a release in an organisation with this many groups.

    None: it is never stopped.
    """
    by_share = share_of(limits.org_brake_percent, groups)
    wanted = [each for each in (limits.org_brake_groups, by_share) if each > 0]
    return min(wanted, default=None)


def _holds(set_brake: Brake, ask: Ask, group: Group) -> bool:
    """Return whether a brake stops this asker.

    It does while the policy has not changed, or the asker still brings what failed.
    """
    if not is_other_revision(set_brake, revision_of(ask, group)):
        return True
    # A node goes on asking under its old download for a while after a new revision (seen with real
    # agents), so the revision alone does not lift the brake. If nothing was reported of what failed
    # or of what is brought, nothing is the same, and the revision has decided.
    return names_failed(set_brake, _brought_by(ask, group))


def names_failed(set_brake: Brake, brought: Versions) -> bool:
    """Return whether the brake names these versions as failed."""
    return any(is_same(failed, brought) for failed in set_brake.failed)


def is_other_revision(set_brake: Brake, revision: str | None) -> bool:
    """Return whether the policy has changed since the failure."""
    # an unread policy counts as unchanged, so that nothing is lifted by not knowing
    return revision is not None and revision != set_brake.revision


def _brought_by(ask: Ask, group: Group) -> Versions:
    """Return what the asker would install."""
    policy, member = group.policies.get(ask.subject), group.members.get(ask.node)
    if not ask.is_agent:
        return Versions(software=policy.top_version) if isinstance(policy, Policy) else NO_VERSIONS
    # Not from the policy: its manifest is in the model management service, which an agbot cannot
    # read, and the node may still have the download of an earlier revision.
    status = member.statuses.get(ask.claim.subject) if member is not None else None
    return status.versions if status is not None else NO_VERSIONS


def added(before: Brake | None, failed: Versions) -> tuple[Versions, ...]:
    """Return all versions that have failed under a policy, the latest first."""
    # the earlier ones too: a slow node may still bring a version that failed before the last one
    earlier = before.failed if before is not None else ()
    return tuple(each for each in dict.fromkeys((failed, *earlier)) if each)[:_REMEMBERED]


def revision_of(ask: Ask, group: Group) -> str | None:
    """Return the revision that is asked for, None if the policy was not read."""
    policy = group.policies.get(ask.subject)
    return policy.revision if isinstance(policy, Policy) else None


NO_BRAKE = Rule(
    name="no-brake",
    passes="this upgrade has not failed in the group",
    unblocks={
        Code.BRAKE: "publish a new revision of the policy that brings another version, "
        "or run `agbot resume {group} --subject {policy} --reason …`"
    },
    is_allowable=True,
    arose_at=_failed_at,
    check=_brake,
    evidence=_what_is_brought,
)

NO_ORG_BRAKE = Rule(
    name="no-org-brake",
    passes="this upgrade has not failed in too many groups of the organisation",
    unblocks={
        Code.ORG_BRAKE: "publish a new revision of the policy that brings another version, "
        "or run `agbot resume {org} --subject {policy} --reason …`"
    },
    is_allowable=True,
    arose_at=_last_failed_in_org_at,
    check=_org_brake,
    evidence=_how_often_it_failed,
)
