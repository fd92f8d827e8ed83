"""Whether the change feed stands still while it answers: a report was written anew, and no row tells of it.

Every status that a node writes makes a row, which a poll shows within the twenty seconds that a request may take. A status that a
read shows with a later stamp, while the feed tells nothing at all for longer than that, shows that the feed is as it was: what has no
other read (policies, members) may be old. Any row that was not given out before shows that it goes on.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.rules.ids import NodeId
from agbot.rules.seen_time import Now, SeenTime

_SHOWN_WITHIN = timedelta(seconds=30)


class Standstill:
    """The earliest news that the feed did not announce."""

    def __init__(self) -> None:
        self._news: tuple[NodeId, SeenTime] | None = None

    def found(self, node: NodeId, now: Now) -> None:
        """Take down that a read has shown a newer report of this node than the feed told of."""
        self._news = self._news or (node, now.seen)

    def goes_on(self) -> None:
        """Take down that the feed has told something."""
        self._news = None

    def why(self, now: Now) -> str:
        """Say why the feed stands still; empty while it is not known to."""
        if self._news is None or now.seen - self._news[1] < _SHOWN_WITHIN:
            return ""
        node, since = self._news
        seconds = int((now.seen - since).total_seconds())
        news = f"a new report of {node} was read {seconds} s ago, and the feed tells nothing since"
        return f"the change feed of the Exchange stands still: {news}"
