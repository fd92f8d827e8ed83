"""Until when nodes were hidden from us: their silence counts only from then on.

If the whole Exchange is away, the seen clock stops (`agbot.rules.seen_time`). This is for similar
cases: the feed answers and the reads of nodes fail, for all or for one organisation, or a restored
Exchange has old heartbeats.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.fleet.changes import Read, What
from agbot.rules.facts import Node, Sight
from agbot.rules.ids import NodeId, OrgId, org_of
from agbot.rules.seen_time import Now, SeenTime

_SHORTEST = timedelta(seconds=60)
"""After a shorter time without a read, the next one shows everything."""


class HiddenNodes:
    """For each node, until when it was hidden, and how silent it had been before."""

    def __init__(self) -> None:
        self._failed_at: dict[str, SeenTime] = {}
        """When a read of a node or an organisation last failed."""
        self._unseen_until: dict[NodeId, datetime] = {}
        self._silent_before: dict[NodeId, timedelta] = {}
        self._reset_at: dict[OrgId, datetime] = {}

    def note_failed(self, read: Read, now: Now) -> None:
        """Note that this read has failed."""
        if read.what in {What.NODE, What.ORG}:
            self._failed_at[read.id] = now.seen

    def note_read(
        self, node: NodeId, known: Node | Sight, found: Node | Sight, before: SeenTime | None, now: Now
    ) -> None:
        """Note that a node was read, which was last read at `before` and was `known` then."""
        failures = (self._failed_at.pop(node, None), self._failed_at.get(org_of(node)))
        # read a moment ago: whatever failed in between has hidden no heartbeat
        if before is None or now.seen - before <= _SHORTEST:
            return
        if any(failed_at is not None and failed_at > before for failed_at in failures):
            heartbeat_at = known.heartbeat_at if isinstance(known, Node) else None
            is_silent = isinstance(found, Node) and found.heartbeat_at == heartbeat_at
            self.hide(node, heartbeat_at if is_silent else None, before, now)

    def hide(self, node: NodeId, heartbeat_at: datetime | None, read_at: SeenTime, now: Now) -> None:
        """Note that a node was hidden until now since it was read at `read_at`.

        `heartbeat_at` is its last one, None if it has sent another heartbeat since.
        """
        since, hidden = self.unseen_until(node), timedelta()
        # It was hidden before, and has sent nothing since: that silence was counted already, and
        # goes on. Without it, each restore would restart the wait for a dead holder (P5).
        if heartbeat_at is not None and since is not None and heartbeat_at < since:
            heartbeat_at, hidden = since, self.silent_before(node)
        silent = max(read_at - now.seen_at(heartbeat_at), timedelta()) if heartbeat_at is not None else timedelta()
        self._silent_before[node] = hidden + silent
        self._unseen_until[node] = now.wall

    def note_reset(self, org: OrgId, now: Now) -> None:
        """Note that the Exchange has gone back to an older state of this organisation."""
        self._reset_at[org] = now.wall

    def silent_before(self, node: NodeId) -> timedelta:
        """Return how long a node had been silent when it was hidden, as far as that is known."""
        own, whole = self._unseen_until.get(node), self._reset_at.get(org_of(node))
        # a reset after that has taken back whatever was known of the node
        is_of_then = own is not None and (whole is None or own >= whole)
        return self._silent_before.get(node, timedelta()) if is_of_then else timedelta()

    def date_stepped(self, step: timedelta) -> None:
        """Move all times by the step of our clock."""
        self._unseen_until = {node: at + step for node, at in self._unseen_until.items()}
        self._reset_at = {org: at + step for org, at in self._reset_at.items()}

    def unseen_until(self, node: NodeId) -> datetime | None:
        """Return until when a node was hidden, None if it was not."""
        own = self._unseen_until.get(node)
        whole = self._reset_at.get(org_of(node)) if self._reset_at else None  # hardly ever any
        return max(own, whole) if own is not None and whole is not None else own or whole
