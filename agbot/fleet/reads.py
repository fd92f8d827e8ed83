"""One read that is wanted from the Exchange: what, why, and how old the last answer may be.

Whether it is due follows from the picture alone: an answer is too old if a change has outdated it,
or if it was requested longer ago than `max_age`. So the same value has what to read now and when to
read it next. `plan` makes these values; the shell does the reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from agbot.fleet.changes import Read
from agbot.fleet.view import View
from agbot.rules.seen_time import SeenTime


class Why(StrEnum):
    """The reason of a read, in the log and in the metric."""

    GROUP = "group"
    """No decision about the group is possible without it."""
    HEARTBEAT = "heartbeat"
    """Heartbeats make no rows in the feed."""
    SUBJECT = "subject"
    """A member upgrades to it, or waits for that."""
    HOLDER = "holder"
    """The holder's status ends the lease."""
    SERVICES = "services"
    """An asker needs to know whether its peers run their services."""
    BLOCKER = "blocker"
    """It keeps an asker waiting, and may have changed without a row."""
    DEFERRAL = "deferral"
    """The member's status ends its deferral."""
    REST = "rest"
    """The group rests until an upgraded member has been seen healthy."""
    BRAKE = "brake"
    """A brake ends when its policy has changed or its group is gone."""
    REPORT = "report"
    """A member may be about to ask, or be in the middle of an upgrade."""
    MEMBERSHIP = "membership"
    """A node has joined or left a group."""
    ABSENCE = "absence"
    """It was missing once, and a second read must confirm that."""
    ASKER = "asker"
    """The answer to a question depends on it."""
    GRANT = "grant"
    """A grant that is about to be committed depends on it."""
    LISTED = "listed"
    """The agbot lists an upgrade of this node as its own."""
    LOST_AGREEMENT = "lost-agreement"
    """A member has lost an agreement."""
    TAKEOVER = "takeover"
    """Another upgrade has begun beside this one, which may be over."""
    SHOWN = "shown"
    """A person looks at the group, and the heartbeats of an idle one are not read otherwise."""
    ACTION = "action"
    """An operator's action needs it."""
    RESYNC = "resync"
    """The organisation is due for its complete read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How old an answer may be."""

    heartbeat: timedelta
    """For heartbeats, and for what the feed announces normally."""
    statuses: timedelta
    """For the holder's statuses, one request for each node: the feed announces them."""
    services: timedelta
    """For members' services, if no member waits for them: two requests per member."""
    rest: timedelta
    """For what a resting group waits for: one heartbeat ends the rest, and a crash within it sets
    the brake."""

    @property
    def quick(self) -> timedelta:
        """For what has no row in the feed and keeps a member waiting."""
        return self.heartbeat / 3


NOW = timedelta()
"""The maximum age of what must be read now, whenever it was last read."""
AT_ONCE = SeenTime(datetime.min.replace(tzinfo=UTC))
NEVER = SeenTime(datetime.max.replace(tzinfo=UTC))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One read with its reason. A plan has about ten, and there are hundreds of plans a second."""

    read: Read
    why: Why
    max_age: timedelta | None = None
    """None: the last answer is valid until a change outdates it."""
    not_before: SeenTime | None = None
    """From this time on, an answer from before it is too old."""
    is_optional: bool = False
    """Its failure blocks no question, and it is not retried at once."""

    def due_at(self, view: View) -> SeenTime:
        """Return when this is due, `NEVER` if only a change can make it due."""
        read_at = view.current_since(self.read)
        if read_at is None or self.max_age == NOW:
            return AT_ONCE
        due_at = NEVER if self.max_age is None else read_at + self.max_age
        if self.not_before is not None and read_at < self.not_before:
            return min(due_at, self.not_before)
        return due_at

    def is_due(self, view: View, now: SeenTime) -> bool:
        """Whether this is due now."""
        return self.due_at(view) <= now


def next_due_at(wanted: Iterable[Wanted], view: View) -> SeenTime:
    """Return when the first of these is due."""
    return min((each.due_at(view) for each in wanted), default=NEVER)
