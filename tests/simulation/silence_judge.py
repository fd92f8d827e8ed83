"""P4: our own blindness is no evidence.

A holder is suspect, or given up for dead, only after a silence in which the feed could be read.

The time in which the coordinator could see is counted here on the loop's clock, from the looks at
the feed that were answered.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right

from agbot.rules.lease import Lease, State
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import SeenTime
from agbot.sim.exchange import Write
from tests.simulation.plan import Plan
from tests.simulation.story import Promise, Story

_REACH_SECONDS = 20.0
"""So long after a look it is still known how things stand."""
_MARGIN_SECONDS = 60.0
"""What the Exchange's clock may be moved by, and what a heartbeat takes until it is read."""
_UNREAD_SECONDS = 60.0
"""So long a node that has come back may not have been read yet."""


class SilenceJudge:
    """One run's looks and heartbeats."""

    def __init__(self, plan: Plan, story: Story) -> None:
        self._plan = plan
        self._story = story
        self._looks: list[float] = []
        self._seen: list[float] = []
        """Seconds in which we could see until each of these looks."""
        self._received: dict[str, list[float]] = {}
        self._renewals: dict[tuple[str, int, SeenTime], float] = {}
        """(group, token, when it was renewed by its own account) -> the commit: an older copy of
        the store shows an older one again."""

    def looked(self, begun: float) -> None:
        """Take in a look at the feed."""
        last, seen = (self._looks[-1], self._seen[-1]) if self._looks else (begun, 0.0)
        if begun >= last:
            self._looks.append(begun)
            self._seen.append(seen + min(begun - last, _REACH_SECONDS))

    def wrote(self, write: Write) -> None:
        """Take in a sign of life."""
        if write.resource == "nodemgmtpolstatus" or (write.resource == "node" and write.operation == "heartbeat"):
            self._received.setdefault(f"{write.org}/{write.id}", []).append(_now())

    def changed(self, old: Lease, new: Lease) -> None:
        """Look at what became of a lease."""
        if new.tenure is not None and (old.tenure is None or old.tenure.renewed_at != new.tenure.renewed_at):
            self._renewals[new.group, new.token, new.tenure.renewed_at] = _now()
        if old.tenure is None:
            return
        holder, limits = old.tenure.claim.holder, self._plan.limits
        if old.state is State.HELD and new.state is State.SUSPECT and old.token == new.token:
            self._silent(old, limits.lease_seconds, "suspect", self._renewed_at(old))
        end = new.last_end
        if new.tenure is None and end is not None and end.token == old.token and end.cause is Cause.EXPIRED:
            received = [at for at in self._received.get(holder, ()) if at <= _now() - _UNREAD_SECONDS]
            self._silent(old, limits.dead_after_seconds, "given up for dead", max(received, default=0.0))

    def _silent(self, lease: Lease, wanted: float, stated: str, since: float) -> None:
        seconds = self._seen_at(_now()) - self._seen_at(since)
        if seconds < wanted - _MARGIN_SECONDS:
            holder = lease.tenure.claim.holder if lease.tenure is not None else ""
            text = f"{holder} is {stated}: a sign of life at {since:.0f}, since then seen for {seconds:.0f} s, not {wanted:g}"
            self._story.broke(Promise.NO_TRUST_NO_GRANT, lease.group, text)

    def _renewed_at(self, lease: Lease) -> float:
        """Return when the sign of life came that renewed the lease last: before that commit."""
        if lease.tenure is None:
            return 0.0
        received = self._received.get(lease.tenure.claim.holder, [])
        committed = self._renewals.get((lease.group, lease.token, lease.tenure.renewed_at), 0.0)
        earlier = bisect_right(received, committed)
        return received[earlier - 1] if earlier else committed

    def _seen_at(self, moment: float) -> float:
        index = bisect_right(self._looks, moment)
        if not index:
            return 0.0
        return self._seen[index - 1] + min(moment - self._looks[index - 1], _REACH_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
