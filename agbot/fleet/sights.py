"""Until when a node could not be looked at, although somebody tried, or was shown as it had been: its silence counts only from then on.

The whole Exchange being away is the seen clock's matter (`agbot.rules.seen_time`). This is about the rest of the same kind: the feed is
answered and the reads of nodes are not, for all or for one organisation, and an Exchange that was restored shows heartbeats of long ago.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.fleet.changes import Read, What
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
        self._reset_at: dict[OrgId, datetime] = {}

    def failed(self, read: Read, now: Now) -> None:
        """Take down that this could not be read."""
        if read.what in {What.NODE, What.ORG}:
            self._failed_at[read.id] = now.seen

    def learnt(self, node: NodeId, before: SeenTime | None, now: Now) -> None:
        """Take down that a node was read, after the last time `before`."""
        failures = (self._failed_at.pop(node, None), self._failed_at.get(org_of(node)))
        was_hidden = before is not None and any(each is not None and each > before for each in failures)
        if was_hidden and before is not None and now.seen - before > _HIDES:
            self._unseen_until[node] = now.wall

    def reset(self, org: OrgId, now: Now) -> None:
        """Take down that what the Exchange says of this organisation is older than what it said before."""
        self._reset_at[org] = now.wall

    def date_stepped(self, step: timedelta) -> None:
        """Let all moments move along with the date."""
        self._unseen_until = {node: at + step for node, at in self._unseen_until.items()}
        self._reset_at = {org: at + step for org, at in self._reset_at.items()}

    def unseen_until(self, node: NodeId) -> datetime | None:
        """Return until when a node was hidden; None when it was not, lately."""
        own, whole = self._unseen_until.get(node), self._reset_at.get(org_of(node))
        return max(own, whole) if own is not None and whole is not None else own or whole
