"""For how long the coordinator could not see, through no fault of its own: what P6 has to leave it (DESIGN, section 5, "seen time").

Time does not count while the Exchange cannot be read or no program runs, nor what the store has
lost of it, and after such a gap everybody is given a minute to be received. That a look at the feed
did not come is blindness only where something outside was in its way: who does not look for reasons
of its own, such as a store that fails, is not excused. The other way round, that what is counted as
silence was seen, is judged in `silence_judge`.
"""

from __future__ import annotations

import asyncio

from agbot.rules.seen_time import SETTLING
from agbot.sim.faults import Fault, FaultKind
from tests.simulation.plan import COORDINATOR
from tests.support.hub import ORG

_REACH_SECONDS = 20.0
"""So long after a look time goes on without the next one."""
_READ_EVERY_SECONDS = 30.0
"""So often the node of a holder is read."""
_MARGIN_SECONDS = 15.0
"""From the end of what was in the way until the read that it was in the way of."""
_HINDER = frozenset(
    {FaultKind.LATENCY, FaultKind.STATUS, FaultKind.DROP, FaultKind.TRUNCATE, FaultKind.GARBAGE, FaultKind.HANG}
)

Span = tuple[float, float]


class Sight:
    """One run's blindness, on the loop's clock."""

    def __init__(self) -> None:
        self._looked: float | None = None
        """When the last look at the feed that was answered began, or what the store kept of
        that."""
        self._is_starting = False
        self.saved: float | None = None
        """The last look of which the store that is in place knows; whoever changes the store
        changes this."""
        self._in_the_way: list[Span] = []
        self._blind: list[Span] = []
        self._clear_since = -1e9

    def started(self) -> None:
        """Take in that a program starts: it goes on from what is stored."""
        self._looked, self._is_starting = self.saved, True

    def looked(self, begun: float) -> None:
        """Take in a look at the feed."""
        if self._looked is not None and self._is_excused(begun):
            self._blind.append((self._looked + _REACH_SECONDS, begun))
            self._clear_since = begun
        self._looked, self._is_starting = max(begun, self._looked or begun), False

    def wrote(self) -> None:
        """Take in a commit: with each it is stored how far time has come."""
        self.saved = self._looked

    def faulted(self, fault: Fault, seconds: float) -> None:
        """Take in what is in the way of the coordinator's reads for so long from now on."""
        now = _now()
        if fault.kind not in _HINDER:
            return
        if fault.selects("POST", "/orgs/IBM/changes", COORDINATOR):
            self._in_the_way.append((now, now + seconds))
        elif seconds >= _READ_EVERY_SECONDS and fault.selects("GET", f"/orgs/{ORG}/nodes", COORDINATOR):
            self._blind.append((now - _READ_EVERY_SECONDS, now + seconds + _MARGIN_SECONDS))

    def healed(self) -> None:
        """Take in that from now on nothing is in the way."""
        now = _now()
        self._in_the_way = [(begin, min(end, now)) for begin, end in self._in_the_way]
        self._blind = [(begin, min(end, now + _MARGIN_SECONDS)) for begin, end in self._blind]

    def is_settled(self) -> bool:
        """Whether whoever is alive has had the time to be received."""
        now = _now()
        ends = (end for begin, end in self._blind if begin <= now)
        since = max(self._clear_since, max(ends, default=self._clear_since))
        return not self._is_excused(now) and now - since >= SETTLING.total_seconds() + _MARGIN_SECONDS

    def unseen_seconds(self, since: float) -> float:
        """Return for how long since then nothing could be seen."""
        total, reached = 0.0, since
        for begin, end in sorted(self._blind):
            end_now = min(end, _now())
            total += max(end_now - max(begin, reached), 0.0)
            reached = max(reached, end_now)
        return total

    def _is_excused(self, until: float) -> bool:
        """Whether time stood still before this, for something outside."""
        last = self._looked
        if last is None or until - last <= _REACH_SECONDS:
            return False
        return self._is_starting or any(begin <= until and end >= last for begin, end in self._in_the_way)


def _now() -> float:
    return asyncio.get_running_loop().time()
