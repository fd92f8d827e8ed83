"""Whether the feed has stopped although it answers: something is new, and no row announces it.

Every change of a node's registration, of its status or of a policy makes a row, which a poll shows
within the twenty seconds that a request may take. If a read shows such a change, and a poll that
began half a minute later shows no row at all, the feed has stopped: what is read only after a row
(policies, members) may be old. Any new row shows that the feed goes on. What is written without a
row for an agbot (heartbeats, a node's agreements and containers, cascading deletions) does not
count. A node's `lastUpdated` changes with its agreements, so the fields of its registration are
compared instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from agbot.rules.facts import Node, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.seen_time import Now, SeenTime
from agbot.rules.statuses import Status

Statuses = Mapping[PolicyId, Status]
_SHOWN_WITHIN = timedelta(seconds=30)
_TOLERANCE = timedelta(seconds=2)
"""A report and its row have stamps of one request, but the offset of the clocks is not exact."""


class Standstill:
    """The earliest change that the feed has not announced."""

    def __init__(self) -> None:
        self._unannounced: tuple[str, SeenTime] | None = None
        self._last_row_at: SeenTime | None = None

    def note_unannounced(
        self, what: str, now: Now, written_at: datetime | None = None, known_at: SeenTime | None = None
    ) -> None:
        """Note that a read has shown a change that the feed has not announced.

        It counts from `written_at` if that is known, and possible after the previous read at
        `known_at`. If the feed has shown a row since, or that time is impossible, it counts from
        now.
        """
        since = now.seen
        if written_at is not None and known_at is not None:
            written = now.seen_at(written_at)
            # a stamp from before the last read is a wrong one, or the read was of an old copy; and
            # a row that has come since shows that the feed went on after it
            is_possible = known_at <= written and (self._last_row_at is None or self._last_row_at < written)
            since = min(written, since) if is_possible else since
        if self._unannounced is None or since < self._unannounced[1]:
            self._unannounced = (what, since)

    def note_row(self, now: Now) -> None:
        """Note that the feed has shown a row, in a poll that began at this time."""
        self._unannounced, self._last_row_at = None, now.seen

    def restart(self) -> None:
        """Note that the feed is followed from its present end, and what it missed is read again."""
        self._unannounced = None

    @property
    def is_suspected(self) -> bool:
        """Whether there is a change that the feed has not announced."""
        return self._unannounced is not None

    def why(self, polled_at: SeenTime) -> str:
        """Return why the feed has stopped, by the last poll; empty if it is not known to have."""
        if self._unannounced is None or polled_at - self._unannounced[1] < _SHOWN_WITHIN:
            return ""
        what, since = self._unannounced
        seconds = int((polled_at - since).total_seconds())
        return (
            f"the change feed of the Exchange stands still: {what} has changed, but no row has come for {seconds} s; "
            "check whether the Exchange or a proxy answers from an old copy"
        )


def has_changed(known: Node | Sight, seen: Node | Sight) -> bool:
    """Whether a node has changed in a way that makes a row of its own."""
    if isinstance(known, Sight) or isinstance(seen, Sight):
        return False
    return registration(known) != registration(seen)


def registration(node: Node) -> tuple[object, ...]:
    """Return the fields of a node whose change makes a row."""
    return (
        node.agent_version,
        node.registered,
        node.pattern,
        node.arch,
        node.node_type,
        node.heartbeat_interval_seconds,
    )


def written_since(statuses: Statuses, before: Statuses | Sight) -> datetime | None:
    """Return when the first new status was written, None if there is none."""
    # only new ones: each makes a row, but a missing one may have been deleted with its policy,
    # without one
    if isinstance(before, Sight):
        return None
    new = (each for policy, each in statuses.items() if policy not in before or each.stamp > before[policy].stamp)
    return min((each.updated_at for each in new), default=None)


def is_as_late(statuses: Statuses, announced_at: datetime | None) -> bool:
    """Whether one of these may be the report that the feed has announced, by its time."""
    if announced_at is None:
        return True
    return any(not each.is_dated or each.updated_at >= announced_at - _TOLERANCE for each in statuses.values())
