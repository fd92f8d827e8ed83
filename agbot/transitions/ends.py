"""Ends of upgrades: the lease is free, the node has had its turn, a failed version is stopped.

The consequences of a release are the same for a review, a report of the node's agbot and an
operator.
"""

from __future__ import annotations

from dataclasses import replace

from agbot.events import deferrals as deferral_events
from agbot.events import leases as lease_events
from agbot.events import outcomes
from agbot.events.event import Event
from agbot.events.leases import Ending
from agbot.rules import lease as leases
from agbot.rules.deferral import left_behind
from agbot.rules.facts import Node
from agbot.rules.lease import End, Kind, Lease
from agbot.rules.reasons import Cause
from agbot.rules.records import Turn
from agbot.rules.seen_time import Now
from agbot.store.records import Record
from agbot.transitions import braking
from agbot.transitions.braking import BrakeFacts, Upgraded
from agbot.transitions.change import NO_CHANGE, Change, step


def release(lease: Lease, upgraded: Upgraded, ending: Ending, now: Now) -> Change:
    """Free a lease, with all consequences.

    They are the holder's turn, the brake, an upgrade that continues without the lease, and the
    events.

    Raises:
        IllegalTransitionError: the lease is already free.
    """
    freed = leases.release(lease, ending.cause, now, ending.why)
    end = freed.last_end
    if end is None:  # a release always leaves an end
        return NO_CHANGE
    end = replace(end, version=_installed(lease, end, upgraded))
    put: list[Record] = [Turn(group=lease.group, node=end.claim.holder, until=now.seen, cause=end.cause)]
    events: list[Event] = [lease_events.released(lease, ending, now)]
    brake = braking.after_end(lease, end, upgraded, now)
    if brake is not None:
        put.append(brake)
        events.append(outcomes.brake_set(brake))
    left = left_behind(lease, end.cause, upgraded.node, now)
    if left is not None:
        put.append(left)
        events.append(deferral_events.begun(left))
    return Change(before=lease, after=replace(freed, last_end=end), put=put, events=events, at=now.wall)


def _installed(lease: Lease, end: End, upgraded: Upgraded) -> str:
    """Return the agent version that the holder reports as installed, if the upgrade succeeded."""
    # a service is judged by its containers while the group rests (`rest.why_crashed`)
    if lease.tenure is None or end.cause is not Cause.SUCCEEDED or end.claim.kind is not Kind.AGENT:
        return ""
    return upgraded.brought(end.claim, lease.tenure.progress.versions).software


def contradict(lease: Lease, upgraded: Upgraded, facts: BrakeFacts, why: str, now: Now) -> Change:
    """Turn the last end, which was reported as a success, into a failure.

    So the next member does not install the same version.
    """
    group, end = lease.group, lease.last_end
    if end is None or end.cause is not Cause.SUCCEEDED:
        return NO_CHANGE
    runs = upgraded.node.agent_version if isinstance(upgraded.node, Node) else ""
    put: list[Record] = [Turn(group=group, node=end.claim.holder, until=end.since, cause=Cause.FAILED)]
    # also if nothing is stopped, such as after a new revision: the last event that receivers have
    # got of this upgrade was a success (decision 28)
    events: list[Event] = [outcomes.contradicted(group, end, runs, why)]
    brake = braking.after_crash(group, end, upgraded, facts, now)
    if brake is not None:
        put.append(brake)
        events.append(outcomes.brake_set(brake, why))
    after = replace(lease, last_end=replace(end, cause=Cause.FAILED, detail=why))
    return Change(before=lease, after=after, put=put, events=events, at=now.wall)


def end_rest(lease: Lease, why: str, now: Now, who: str) -> Change:
    """End the rest of a group for an operator; no change if it has already been ended."""
    after = replace(lease, last_end=lease.last_end and replace(lease.last_end, is_rested=True))
    return step(lease, after, now, outcomes.rest_ended(lease, why, who))
