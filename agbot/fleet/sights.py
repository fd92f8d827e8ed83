"""Until when a node could not be looked at, although somebody tried, or was shown as it had been: its silence goes on only from then.

The whole Exchange being away is the seen clock's matter (`agbot.rules.seen_time`). This is about the rest of the same kind: the feed is
answered and the reads of nodes are not, for all or for one organisation, and an Exchange that was restored shows heartbeats of long ago.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.fleet.changes import Read, What
from agbot.rules.facts import Node, Sight
from agbot.rules.ids import NodeId, OrgId, org_of
from agbot.rules.seen_time import Now, SeenTime

_HIDES = timedelta(seconds=60)
"""A shorter time without a look hides nothing that the next one does not show."""


class Sights:
    """What was hidden from us, node by node."""

    def __init__(self) -> None:
        self._failed_at: dict[str, SeenTime] = {}
        """Node or organisation -> when a read of it last failed."""
        self._unseen_until: dict[NodeId, datetime] = {}
        self._silent_before: dict[NodeId, timedelta] = {}
        self._reset_at: dict[OrgId, datetime] = {}

    def failed(self, read: Read, now: Now) -> None:
        """Take down that this could not be read."""
        if read.what in {What.NODE, What.ORG}:
            self._failed_at[read.id] = now.seen

    def learnt(self, node: NodeId, known: Node | Sight, found: Node | Sight, before: SeenTime | None, now: Now) -> None:
        """Take down that a node was read, after it was last read at `before` and was `known` then."""
        failures = (self._failed_at.pop(node, None), self._failed_at.get(org_of(node)))
        was_hidden = before is not None and any(each is not None and each > before for each in failures)
        if was_hidden and before is not None and now.seen - before > _HIDES:
            heard_at = known.heartbeat_at if isinstance(known, Node) else None
            is_silent = isinstance(found, Node) and found.heartbeat_at == heard_at
            self.hide(node, heard_at if is_silent else None, before, now)

    def hide(self, node: NodeId, heard_at: datetime | None, read_at: SeenTime, now: Now) -> None:
        """Take down that a node was hidden until now since it was read, with its last heartbeat; None where it has sent another since."""
        since, hidden = self.unseen_until(node), timedelta()
        if heard_at is not None and since is not None and heard_at < since:
            heard_at, hidden = since, self.silent_before(node)
        silent = max(read_at - now.seen_at(heard_at), timedelta()) if heard_at is not None else timedelta()
        self._silent_before[node] = hidden + silent
        self._unseen_until[node] = now.wall

    def reset(self, org: OrgId, now: Now) -> None:
        """Take down that what the Exchange says of this organisation is older than what it said before."""
        self._reset_at[org] = now.wall

    def silent_before(self, node: NodeId) -> timedelta:
        """Return for how long a node had been silent when it was hidden, as far as that is known."""
        own, whole = self._unseen_until.get(node), self._reset_at.get(org_of(node))
        is_of_then = own is not None and (whole is None or own >= whole)
        return self._silent_before.get(node, timedelta()) if is_of_then else timedelta()

    def date_stepped(self, step: timedelta) -> None:
        """Let all moments move along with the date."""
        self._unseen_until = {node: at + step for node, at in self._unseen_until.items()}
        self._reset_at = {org: at + step for org, at in self._reset_at.items()}

    def unseen_until(self, node: NodeId) -> datetime | None:
        """Return until when a node was hidden; None when it was not, lately."""
        own, whole = self._unseen_until.get(node), self._reset_at.get(org_of(node))
        return max(own, whole) if own is not None and whole is not None else own or whole
