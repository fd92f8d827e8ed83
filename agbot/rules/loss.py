"""What the end of an agreement tells of a member: which of its services is down, or that a release has crashed.

The feed shows an agbot that an agreement of a node has ended, not which one, nor why. So what the node was known to run before is
compared with what it has now. For which policy the service went down is not guessed (`docs/decisions/0014`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from agbot.rules import health
from agbot.rules.facts import Agreement, Policy, Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An agreement of a node has ended."""

    at: datetime
    before: tuple[Agreement, ...] | Sight = Sight.UNREAD
    """The node's agreements as they were known before that, if they were."""


def services_down(loss: Loss, agreements: tuple[Agreement, ...], common: Collection[str]) -> list[str]:
    """Return the services (`org/url`) that the node ran and does not run any more, sorted.

    Of a node of which nothing was known, those that are `common` to its group and that it has no agreement for.
    """
    if isinstance(loss.before, Sight):
        return sorted(set(common).difference(each.service for each in agreements))
    left = {each.id for each in agreements}
    serving = {each.service for each in agreements if each.finalized and each.runs}
    lost = {each.service for each in loss.before if each.id not in left and (each.finalized or each.runs)}
    return sorted(lost - serving)


def crashed(loss: Loss, agreements: tuple[Agreement, ...], policy: Policy | Sight) -> Agreement | None:
    """Return the agreement at the policy's top version that the node has lost, None if that is not what it lost.

    On a member whose upgrade has just ended well, or whose peer is being upgraded to that very version, nobody takes it away but the
    agent whose containers have crashed: they are reported for 2 to 4 s only (measured), but the agreement is gone for good.
    """
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
    """Say that a node runs a service again under a new agreement, empty while it does not. `is_over`: it need not be final."""
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
