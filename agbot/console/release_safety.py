"""Whether it is safe to release a lease by force, in one sentence for a person. Pure.

The command asks with it, and the page confirms with it. A release ends the exclusion, not the
upgrade: it is safe only if the upgrade is over, which nothing here can prove while the lease is
occupied.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from agbot.coordinator.contract import GroupView, LeaseView
from agbot.rules.words import apart

_FRESH: Final = timedelta(minutes=5)
"""A node whose last heartbeat is younger is called alive."""


def verdict(group: GroupView, now: datetime) -> str:
    """Say whether it is safe to release this group's lease; empty if no node holds it."""
    lease = group.lease
    if lease.holder is None:
        return ""
    beat = next((each.heartbeat_at for each in group.members if each.node == lease.holder), None)
    # no heartbeat is no proof of death: the holder may have left the group, or was never read
    if beat is None:
        return f"Not known to be safe: when {lease.holder} was last alive is not known.{_by_itself(lease, now)}"
    ago = apart(beat, now)
    status = f", and it reports {lease.status!r}" if lease.status else ""
    # by the Exchange's clock on one side: a difference of some seconds decides nothing here
    if now - beat >= _FRESH:
        return (
            f"{lease.holder} has been silent for {ago}{status}. Safe only if it is really down: if it has only lost "
            f"its connection, its upgrade may go on.{_by_itself(lease, now)}"
        )
    # alive and suspect is the case in which a release is most often wrong: the upgrade may be hung
    alive = f"{lease.holder} is alive (its last heartbeat was {ago} ago{status})"
    if lease.state == "suspect":
        return f"Not known to be safe: {alive}, and it is not known how its upgrade ended: look at the node first."
    return f"Not safe: {alive} and in its upgrade, so two members may be down at once."


def _by_itself(lease: LeaseView, now: datetime) -> str:
    """Say when the lease ends or changes without a person, if a time decides that."""
    following = lease.next
    if following is None or following.at is None:
        return ""
    when = following.when(now)
    if following.then.startswith("ends"):
        return f" The lease ends by itself {when}{following.brake}."
    return f" The lease {'becomes suspect' if following.then == 'suspect' else f'is {following.then}'} {when}."
