"""Whether the change feed stands still while it answers: something is new in the Exchange, and no row tells of it.

Whatever is written of a node's registration, its status or a policy makes a row, which a poll shows within the twenty seconds that a
request may take. When a read shows such news, and a look at the feed that began half a minute later tells nothing at all, the feed is as it
was: what has no other read (policies, members) may be old. Any row that was not given out before shows that it goes on. What is written
without a row that an agbot sees (a heartbeat, the agreements and containers of a node, what goes by cascade) is no such news. The
`lastUpdated` of a node moves with its agreements, so the fields of its registration are compared instead.
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


class Standstill:
    """The earliest news that the feed did not announce."""

    def __init__(self) -> None:
        self._news: tuple[str, SeenTime] | None = None
        self._told_at: SeenTime | None = None

    def found(self, what: str, now: Now, written_at: datetime | None = None, known_at: SeenTime | None = None) -> None:
        """Take down that a read has shown news that the feed has not told of.

        It may be known when it was written, after the former read at `known_at`. Where the feed has gone on since, or that time makes no
        sense, only silence from now on tells something.
        """
        since = now.seen
        if written_at is not None and known_at is not None:
            written = now.seen_at(written_at)
            is_after_all = known_at <= written and (self._told_at is None or self._told_at < written)
            since = min(written, since) if is_after_all else since
        if self._news is None or since < self._news[1]:
            self._news = (what, since)

    def goes_on(self, now: Now) -> None:
        """Take down that the feed has told something, by a look that began at this time."""
        self._news, self._told_at = None, now.seen

    def begins_anew(self) -> None:
        """Take down that the feed is followed from its present end on: whatever it did not tell before is read anew."""
        self._news = None

    def why(self, looked_at: SeenTime | None) -> str:
        """Say why the feed stands still, when it was last looked at at this time; empty while it is not known to."""
        if self._news is None or looked_at is None or looked_at - self._news[1] < _SHOWN_WITHIN:
            return ""
        what, since = self._news
        seconds = int((looked_at - since).total_seconds())
        return (
            f"the change feed of the Exchange stands still: {what} has changed, and the feed tells nothing since, for {seconds} s; "
            "see whether the Exchange, or what is between, answers from an old copy"
        )


def has_changed(known: Node | Sight, seen: Node | Sight) -> bool:
    """Tell whether a node was written anew in a way that makes a row of its own."""
    if isinstance(known, Sight) or isinstance(seen, Sight):
        return False
    return _registration(known) != _registration(seen)


def _registration(node: Node) -> tuple[object, ...]:
    return (
        node.agent_version,
        node.registered,
        node.pattern,
        node.arch,
        node.node_type,
        node.heartbeat_interval_seconds,
    )


def written_since(statuses: Statuses, before: Statuses | Sight) -> datetime | None:
    """Return when a report was written since: each is a row of the feed, while one that is gone may have gone with its policy."""
    if isinstance(before, Sight):
        return None
    news = (each for policy, each in statuses.items() if policy not in before or each.stamp > before[policy].stamp)
    return min((each.updated_at for each in news), default=None)
