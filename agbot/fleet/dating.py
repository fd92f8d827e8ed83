"""Adds to what was read when it was written, for each kind of record with a stamp (`stamps`)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from msgspec import structs

from agbot.fleet.changes import Read, What
from agbot.fleet.stamps import AHEAD, Stamps
from agbot.rules.facts import Agreement, Node, Policy, Sight
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.seen_time import Now
from agbot.rules.statuses import Status

_HEARTBEATS = 2
"""How many heartbeats of a node are remembered: every node has one at any time.

One that is shown again after two others gets no date, so it counts as possibly recent.
"""


def of_node(stamps: Stamps, seen: Node | Sight, *, begun: int, now: Now) -> Node | Sight:
    """Date the last heartbeat of a node, if it has sent one."""
    if isinstance(seen, Sight) or seen.heartbeat_at is None:
        return seen
    stamped = seen.heartbeat_stamp or str(seen.heartbeat_at), seen.heartbeat_at
    read = Read(what=What.NODE, id=seen.id)
    dated = stamps.date_only(read, stamped, begun=begun, now=now, remembered=_HEARTBEATS)
    # Which clock was set while no coordinator ran is not known. One from before that counts as of
    # that moment: neither as older nor as proof that the node is alive (decision 21).
    since = now.certain_since
    if since is not None and dated.at < since:
        return structs.replace(seen, heartbeat_at=since, heartbeat_stamp="", is_dated=False, heartbeat_earliest=None)
    return structs.replace(
        seen, heartbeat_at=dated.at, heartbeat_stamp="", is_dated=dated.is_known, heartbeat_earliest=dated.if_unknown
    )


def of_statuses(
    stamps: Stamps, node: NodeId, seen: dict[PolicyId, Status], *, begun: int, now: Now
) -> dict[PolicyId, Status]:
    """Date the statuses of a node."""
    written = {key: (each.stamp, each.updated_at if each.is_dated else None) for key, each in seen.items()}
    dated = stamps.date(Read(what=What.STATUSES, id=node), written, begun=begun, now=now)
    return {
        key: replace(each, updated_at=dated[key].at, is_dated=dated[key].is_known, earliest=dated[key].if_unknown)
        for key, each in seen.items()
    }


def of_agreements(
    stamps: Stamps, node: NodeId, seen: tuple[Agreement, ...], *, begun: int, now: Now
) -> tuple[Agreement, ...]:
    """Date the agreements of a node."""
    # each is a record of its own and replaces none, so an earlier read is no lower bound for it
    written = {each.id: (each.stamp or str(each.updated_at), each.updated_at) for each in seen}
    dated = stamps.date(Read(what=What.AGREEMENTS, id=node), written, begun=begun, now=now, is_kept=True)
    return tuple(replace(each, updated_at=dated[each.id].earliest, stamp="") for each in seen)


def of_policy(stamps: Stamps, read: Read, seen: Policy, *, begun: int, now: Now) -> Policy:
    """Date a policy's revision."""
    dated = stamps.date_only(read, (seen.revision, seen.revised_at), begun=begun, now=now)
    return replace(seen, revised_at=dated.at)


def of_row(moment: datetime | None, now: Now) -> datetime:
    """Return when a new row of the feed was written: now, if its own time is in the future."""
    return now.wall if moment is None or moment > now.wall + AHEAD else moment
