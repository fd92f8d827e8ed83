"""Is a member in the middle of a service upgrade of which nobody asked?

Today's agbot does not ask: it cancels the agreement and makes a new one. An agbot identity is shown that an agreement of the node has
ended, not which one, and any other cancellation looks alike (`reference/agbot-ha.md`, "Service upgrades, live"). So the policies tell: an
upgrade follows a change of versions. Where what the node had before is known, it decides; otherwise the doubt goes to safety, for a
bounded time.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from agbot.rules.facts import Agreement, Member, Node, NodeType, Policy, Sight
from agbot.rules.health import is_since
from agbot.rules.lease import Kind, Lease, Progress
from agbot.rules.limits import Limits
from agbot.rules.seen_time import Now


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An agreement of a node has ended."""

    at: datetime
    before: tuple[Agreement, ...] | Sight = Sight.UNREAD
    """The node's agreements as they were read before that, if they were."""


def is_changing(policy: Policy, lease: Lease, limits: Limits, now: Now) -> bool:
    """Tell whether members may be brought to other versions of this policy at this time.

    For the longest upgrade after its versions changed, and after the last member of this group went: one goes after the other.
    """
    since = [policy.versions_at] if policy.versions_at is not None else []
    if lease.hold is not None and (lease.hold.claim.kind, lease.hold.claim.subject) == (Kind.SERVICE, policy.id):
        since.append(lease.hold.granted_at)
    end = lease.last_end
    if end is not None and (end.claim.kind, end.claim.subject) == (Kind.SERVICE, policy.id):
        since.append(end.at)
    return any(now.age_of(each) <= timedelta(seconds=limits.max_upgrade_seconds) for each in since)


def is_for(policy: Policy, node: Node) -> bool:
    """Tell whether a policy may deploy to a node: one comes from the node's pattern, or both from none, and the architecture fits."""
    return policy.pattern == node.pattern and (policy.arch in {"", "*"} or not node.arch or policy.arch == node.arch)


def upgrade_of(loss: Loss, member: Member, changing: Iterable[Policy], common: Container[str] = ()) -> Policy | None:
    """Return the policy that has taken a service of this member down to upgrade it, or None.

    Of several that fit, the one of which a new agreement is there already, then one whose service is `common` to other members, then the
    one that was changed last.
    """
    agreements = member.agreements
    if isinstance(agreements, Sight) or not member.node.registered or member.node.node_type is NodeType.CLUSTER:
        return None
    fitting = [policy for policy in changing if _fits(policy, loss, agreements)]

    def likelihood(policy: Policy) -> tuple[bool, bool, datetime, str]:
        is_made = any(each.service == policy.service for each in agreements)
        return is_made, policy.service in common, policy.versions_at or loss.at, policy.id

    return max(fitting, key=likelihood, default=None)


def progress_of(loss: Loss, policy: Policy, member: Member, now: Now) -> Progress:
    """Write down how things stood before: the end is an agreement that is not among those."""
    known: tuple[Agreement, ...] = () if isinstance(loss.before, Sight) else loss.before
    present: tuple[Agreement, ...] = () if isinstance(member.agreements, Sight) else member.agreements
    before = (*known, *(each for each in present if not is_since(each, loss.at)))
    return Progress(
        moved_at=now.seen,
        version_before=member.node.agent_version,
        revision=policy.revision,
        service=policy.service,
        target_version=policy.top_version,
        agreements_before=tuple(sorted({each.id for each in before})),
        observed=True,
        pattern=policy.pattern,
    )


def _fits(policy: Policy, loss: Loss, agreements: tuple[Agreement, ...]) -> bool:
    mine = [each for each in agreements if each.service == policy.service]
    came_later = policy.versions_at is not None and policy.versions_at > loss.at
    stands = any(not is_since(each, loss.at) for each in mine)
    is_over = any(each.finalized and each.runs for each in mine)
    return not came_later and not stands and not is_over and _may_have_had(policy, loss, agreements)


def _may_have_had(policy: Policy, loss: Loss, agreements: tuple[Agreement, ...]) -> bool:
    """Whether what has ended may have been an agreement for the service at another version than the policy's first.

    New agreements are not announced: only if one that was known is gone, it is known which one has ended.
    """
    present = {each.id for each in agreements}
    gone = [] if isinstance(loss.before, Sight) else [each for each in loss.before if each.id not in present]
    return not gone or any(each.service == policy.service and each.version != policy.top_version for each in gone)
