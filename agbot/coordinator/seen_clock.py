"""The clock that stands still while we cannot see (`agbot.rules.seen_time`).

It goes by looks: the change feed of the Exchange was read to its end. Between two looks it goes on with the monotonic clock, but never for
longer than its reach after the last one. So it stands while the Exchange cannot be read, while the process is frozen, while the machine
sleeps, before the first look, and while no process runs: all of these are a look that does not come.

Whoever is blind again and again must not be able to stop time for ever (P5). The time between the blindnesses counts, through restarts as
well, and after a number of them without a calm between, nobody is given time to settle any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agbot.coordinator.clocks import Clocks
from agbot.rules.facts import Waiter
from agbot.rules.lease import Lease
from agbot.rules.seen_time import ClockMark, Gap, Now, SeenTime

REACH = timedelta(seconds=20)
"""So long after a look time goes on without the next one. Agents send a report that was not taken again every 10 s."""
_CALM = timedelta(minutes=5)
_MOST_SETTLINGS = 10
_KEPT = timedelta(hours=12)
_MOST_GAPS = 16
_BEFORE_ALL = SeenTime(datetime(1970, 1, 1, tzinfo=UTC))
"""Before the store has been read nobody knows how late it is; what is read by then counts as old."""
_FIRST_SAVE = timedelta(seconds=5)
_LONGEST_UNSAVED = timedelta(seconds=30)


def latest_moment(leases: Iterable[Lease], waiters: Iterable[Waiter]) -> SeenTime | None:
    """Return the latest moment of seen time among all that is kept and has passed: the seen clock is at least there."""
    known = list(leases)
    holds = [lease.hold for lease in known if lease.hold is not None]
    moments = [moment for hold in holds for moment in (hold.renewed_at, hold.progress.moved_at)]
    moments += [lease.last_end.since for lease in known if lease.last_end is not None]
    return max([*moments, *(waiter.asked_at for waiter in waiters)], default=None)


class SeenClock:
    """Tells both kinds of time."""

    def __init__(self, clock: Clocks, reach: timedelta = REACH) -> None:
        self._clock = clock
        self._reach = reach
        self._mark: ClockMark | None = None
        """As it was at the last look."""
        self._looked_seconds = 0.0
        """When that look began, on the monotonic clock."""
        self._resumed: tuple[ClockMark, datetime] | None = None
        """What was stored, and what the wall clock showed when time went on from there."""
        self._saved_seconds = 0.0
        self._save_within = _FIRST_SAVE

    @property
    def is_running(self) -> bool:
        """Whether it was told where to go on."""
        return self._mark is not None

    def resume(self, mark: ClockMark | None, latest: SeenTime | None) -> None:
        """Go on from what is stored: never earlier than `latest`, a moment that has passed. A new store begins at the wall clock."""
        wall = self._clock.now()
        if mark is None:
            since = latest or SeenTime(wall)
            mark = ClockMark(seen=since, wall=min(since.as_if_never_blind, wall))
        if latest is not None and latest > mark.seen:
            mark = replace(mark, seen=latest, wall=mark.wall + (latest - mark.seen))
        away = max((wall - mark.wall).total_seconds(), 0.0)
        self._saved_seconds = self._clock.monotonic_seconds()
        self._mark, self._looked_seconds = mark, self._saved_seconds - away
        self._resumed = mark, wall

    def now(self) -> Now:
        """Return the present moment."""
        wall, mark = self._clock.now(), self._mark
        if mark is None:
            return Now(wall=wall, seen=_BEFORE_ALL)
        since_look = timedelta(seconds=self._clock.monotonic_seconds() - self._looked_seconds)
        return Now(
            wall=wall,
            seen=mark.seen + min(since_look, self._reach),
            clear_since=mark.clear_since,
            gaps=mark.gaps,
            is_steady=self._clock.is_steady,
        )

    def date_stepped(self, step: timedelta) -> None:
        """Let the moments of the wall clock that are kept here move along with the date."""
        if self._mark is not None:
            gaps = tuple(Gap(gap.start + step, gap.end + step) for gap in self._mark.gaps)
            self._mark = replace(self._mark, wall=self._mark.wall + step, gaps=gaps)

    def date_had_stepped(self, step: timedelta) -> None:
        """Take in that the date was moved by this while no process ran: for how long it did not run is known only now."""
        if self._mark is None or self._resumed is None:
            return
        stored, resumed_at = self._resumed
        since = tuple(gap for gap in self._mark.gaps if gap.start >= resumed_at)
        before = tuple(Gap(gap.start + step, gap.end + step) for gap in stored.gaps)
        ends = (gap.end for gap in self._mark.gaps if gap.start < resumed_at <= gap.end)
        away = Gap(stored.wall + step + self._reach, next(ends, resumed_at))
        gaps = (*before, *((away,) if away.start < away.end else ()), *since)
        self._mark = replace(self._mark, gaps=gaps, clear_since=self.now().seen)

    def looked(self, begun_seconds: float) -> timedelta:
        """Take down that a look, begun at this monotonic time, has succeeded. Return for how long we had been blind before it.

        Raises:
            ValueError: nobody has told where to go on.
        """
        if self._mark is None:
            message = "the store is read before the Exchange"
            raise ValueError(message)
        since_look = timedelta(seconds=max(begun_seconds - self._looked_seconds, 0.0))
        end = self._clock.now() - timedelta(seconds=self._clock.monotonic_seconds() - begun_seconds)
        blind = max(since_look - self._reach, timedelta())
        mark = replace(self._mark, seen=self._mark.seen + (since_look - blind), wall=end)
        self._mark = self._seeing_again(mark, Gap(end - blind, end)) if blind else mark
        self._looked_seconds = max(begun_seconds, self._looked_seconds)
        return blind

    def _seeing_again(self, mark: ClockMark, gap: Gap) -> ClockMark:
        kept = tuple(each for each in mark.gaps if gap.end - each.end <= _KEPT)[1 - _MOST_GAPS :]
        is_calm = mark.clear_since is None or mark.seen - mark.clear_since >= _CALM
        settlings = 1 if is_calm else mark.settlings + 1
        since = mark.seen if settlings <= _MOST_SETTLINGS else mark.clear_since
        return replace(mark, clear_since=since, settlings=settlings, gaps=(*kept, gap))

    def unsaved(self, *, at_once: bool = False) -> ClockMark | None:
        """Return what the store should hold by now, or None while it need not be written; `at_once` with a write that happens anyway."""
        unsaved = timedelta(seconds=self._clock.monotonic_seconds() - self._saved_seconds)
        return self._mark if at_once or unsaved >= self._save_within else None

    def saved(self) -> None:
        """Take down that it was written. It is written soon after a start, and then less often: a crash loop must not stop time."""
        self._save_within = min(2 * self._save_within, _LONGEST_UNSAVED)
        self._saved_seconds = self._clock.monotonic_seconds()
