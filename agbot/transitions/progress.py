"""The state when an upgrade begins, because only later changes are evidence of its progress."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from agbot.rules.facts import Agreement, Ask, Member, Policy, Sight
from agbot.rules.health import is_since
from agbot.rules.lease import Kind
from agbot.rules.progress import Progress
from agbot.rules.seen_time import Now


def at_start(member: Member | Sight, policy: Policy | Sight, now: Now) -> Progress:
    """Return the state at the start of any upgrade, as far as node and policy are known."""
    before = member.node.agent_version if isinstance(member, Member) else ""
    progress = Progress(moved_at=now.seen, version_before=before)
    if isinstance(policy, Sight):
        return progress
    return replace(progress, revision=policy.revision, service=policy.service, top_version=policy.top_version)


def at_grant(ask: Ask, member: Member | Sight, policy: Policy | Sight, now: Now) -> Progress:
    """Return the state at a grant; the present agreements count as the old ones."""
    return replace(
        at_start(member, policy, now),
        confirmed=ask.claim.kind is Kind.HOST,  # it begins at once, and no report of it will come
        asked_by=(ask.by,) if ask.by else (),
        agreements_before=ids_of(agreements_of(member)),
    )


def of_listed_service(
    progress: Progress, member: Member | Sight, policy: Policy | Sight, begun_at: datetime
) -> Progress:
    """Return the progress of a service upgrade that the agbot lists, which began at this time.

    The agreements from before that time are the old ones: the agbot may have ended them meanwhile.
    """
    return replace(
        progress,
        observed=True,
        target_version=progress.top_version,
        agreements_before=ids_of(old_agreements(member, begun_at)),
        pattern=policy.pattern if isinstance(policy, Policy) else "",
    )


def old_agreements(member: Member | Sight, moment: datetime) -> list[Agreement]:
    """Return the member's agreements that are not known to be of this time or later."""
    return [each for each in agreements_of(member) if not is_since(each, moment)]


def agreements_of(member: Member | Sight) -> tuple[Agreement, ...]:
    """Return the member's agreements, as far as they were read."""
    known = member if isinstance(member, Sight) else member.agreements
    return () if isinstance(known, Sight) else known


def ids_of(agreements: Iterable[Agreement]) -> tuple[str, ...]:
    """Return the ids of agreements, sorted, each once."""
    return tuple(sorted({each.id for each in agreements}))
