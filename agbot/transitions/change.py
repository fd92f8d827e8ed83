"""A change: what is committed in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agbot.events.event import Event
from agbot.rules.lease import IllegalTransitionError, Lease
from agbot.rules.seen_time import Now
from agbot.store.records import Key, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step of a lease with its records and events, or records and events alone.

    Raises:
        IllegalTransitionError: the two leases are of different groups, one of them is missing, or
            the token goes back.
    """

    before: Lease | None = None
    """The lease that must still be in the store at the commit; None if no lease changes."""
    after: Lease | None = None
    """May be equal to `before`: then the commit only compares."""
    put: Sequence[Record] = ()
    drop: Sequence[Key] = ()
    events: Sequence[Event] = ()
    at: datetime | None = None
    """When the events happened; None for the time of the commit."""

    def __post_init__(self) -> None:
        """Check what holds for every step of a lease."""
        before, after = self.before, self.after
        if before is None and after is None:
            return
        if before is None or after is None or before.group != after.group or after.token < before.token:
            message = f"there is no step from {before} to {after}"
            raise IllegalTransitionError(message)

    def __bool__(self) -> bool:
        """Return whether there is anything to commit."""
        return bool(self.after is not None or self.put or self.drop or self.events)


NO_CHANGE: Final = Change()


def step(before: Lease, after: Lease, now: Now, *events: Event) -> Change:
    """Return a change of the lease with its events, or no change if the lease is the same."""
    return NO_CHANGE if after == before else Change(before=before, after=after, events=events, at=now.wall)
