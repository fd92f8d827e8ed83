"""Which of the agbot's rows the guard deletes, because their upgrade is over and others wait.

The agbot deletes its rows itself, some of them never (W1 to W3, A1 to A3). The state of a row
(`agbot.rules.rows`) already says what it stands for.
"""

from __future__ import annotations

from agbot.rules import health
from agbot.rules.facts import Member, NodeType, Sight
from agbot.rules.lease import Claim, Kind, Lease, State
from agbot.rules.limits import Limits
from agbot.rules.rows import RowState, Standing
from agbot.rules.seen_time import Now


def why_deleted(
    state: RowState, claim: Claim, member: Member | Sight, lease: Lease, *, limits: Limits, now: Now
) -> str | None:
    """Return why a row no longer says the truth; None while it may."""
    if lease.tenure is not None and lease.tenure.progress.is_untaken:
        return None  # nothing is known yet of what the triggers have granted
    if lease.is_held_for(claim):
        # While the row stands, the agbot does not even ask for the other members. So the row of a
        # service goes when its lease is suspect and its holder silent: only then may a peer take
        # the lease over (P6).
        if lease.state is not State.SUSPECT or claim.kind is not Kind.SERVICE or isinstance(member, Sight):
            return None
        silent = health.why_silent(member.node, limits, now)
        return None if silent is None else f"its lease is suspect, and {claim.holder} is silent: {silent}"
    if state.standing is Standing.FOREIGN:
        # a cluster node needs no lease, and its row keeps no member waiting
        is_cluster = isinstance(member, Member) and member.node.node_type is NodeType.CLUSTER
        return None if is_cluster else f"{claim.holder} is not in {lease.group}"
    if state.has_ended_here:
        return "its lease has ended"
    return "the agbot has not deleted it" if state.standing is Standing.STUCK else None
