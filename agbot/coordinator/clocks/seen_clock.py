"""The clock of seen time, which stands still while the Exchange cannot be seen.

`agbot.rules.seen_time` has the reason. The clock follows the looks: a look is a read of the change
feed to its end. Between two looks the clock runs with the monotonic clock, but at most for its
reach after the last look. So it stands while the Exchange cannot be read, while the process is
frozen or the machine sleeps, before the first look, and while no process runs: in all these cases
no look follows. Time is an argument here: the date and the monotonic clock, read at one moment
(`dates`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agbot.rules.lease import Lease
from agbot.rules.records import Waiter
from agbot.rules.seen_time import ClockMark, Gap, Now, SeenTime

REACH = timedelta(seconds=20)
"""How long time runs after a look without the next one.

Agents repeat a report that was not accepted every 10 s.
"""
_CALM = timedelta(minutes=5)
_MOST_SETTLINGS = 10
_KEPT = timedelta(hours=12)
_MOST_GAPS = 16
_BEFORE_ALL = SeenTime(datetime(1970, 1, 1, tzinfo=UTC))
"""The time before the store has been read: it is not known yet, and what is read then counts as
old."""
_FIRST_SAVE = timedelta(seconds=5)
_LONGEST_UNSAVED = timedelta(seconds=30)


def latest_moment(leases: Iterable[Lease], waiters: Iterable[Waiter]) -> SeenTime | None:
    """Return the latest past moment of seen time in the store; the clock is never behind it."""
    known = list(leases)
    holds = [lease.tenure for lease in known if lease.tenure is not None]
    moments = [moment for tenure in holds for moment in (tenure.renewed_at, tenure.progress.moved_at)]
    moments += [lease.last_end.since for lease in known if lease.last_end is not None]
    return max([*moments, *(waiter.asked_at for waiter in waiters)], default=None)


def _moved(mark: ClockMark, step: timedelta) -> ClockMark:
    gaps = tuple(replace(gap, start=gap.start + step, end=gap.end + step) for gap in mark.gaps)
    return replace(mark, wall=mark.wall + step, gaps=gaps)


class SeenClock:
    """Shows wall time and seen time."""

    def __init__(self, reach: timedelta) -> None:
        self._reach = reach
        self._mark: ClockMark | None = None
        """The clock at the last look."""
        self._looked_seconds = 0.0
        """When that look began, on the monotonic clock."""
        self._resumed: tuple[ClockMark, datetime] | None = None
        """What was stored, and the wall time at which the clock was resumed from it."""
        self._saved_seconds = 0.0
        self._save_within = _FIRST_SAVE

    @property
    def is_running(self) -> bool:
        """Whether the clock has been resumed."""
        return self._mark is not None

    def resume(self, mark: ClockMark | None, latest: SeenTime | None, wall: datetime, seconds: float) -> None:
        """Resume from the stored mark, but not before `latest`, a moment that has passed.

        With a new store the clock begins at the wall time.
        """
        if mark is None:
            since = latest or SeenTime(wall)
            mark = ClockMark(seen=since, wall=min(since.as_if_never_blind, wall))
        if latest is not None and latest > mark.seen:
            mark = replace(mark, seen=latest, wall=mark.wall + (latest - mark.seen))
        away = max((wall - mark.wall).total_seconds(), 0.0)
        self._saved_seconds = seconds
        self._mark, self._looked_seconds = mark, seconds - away
        self._resumed = mark, wall

    def now(self, wall: datetime, seconds: float, *, is_steady: bool) -> Now:
        """Return the present moment."""
        mark = self._mark
        if mark is None:
            return Now(wall=wall, seen=_BEFORE_ALL)
        since_look = timedelta(seconds=seconds - self._looked_seconds)
        return Now(
            wall=wall,
            seen=mark.seen + min(since_look, self._reach),
            clear_since=mark.clear_since,
            gaps=mark.gaps,
            is_steady=is_steady,
            blind=max(since_look - self._reach, timedelta()),
        )

    def date_stepped(self, step: timedelta) -> None:
        """Move the moments of wall time that are kept here along with the date."""
        if self._mark is not None:
            self._mark = _moved(self._mark, step)
        if self._resumed is not None:
            stored, resumed_at = self._resumed
            self._resumed = _moved(stored, step), resumed_at + step

    def date_had_stepped(self, step: timedelta, now: SeenTime) -> None:
        """Handle a step of the date while no process ran, and correct how long that was."""
        if self._mark is None or self._resumed is None:
            return
        stored, back_at = self._resumed
        since = [gap for gap in self._mark.gaps if gap not in stored.gaps]
        if since and since[0].start < back_at:
            back_at = since.pop(0).end  # it began before this start
        left_at = stored.wall + step
        away = back_at - left_at
        if away < timedelta():  # time does not run back, so it is the Exchange's clock that was set
            away = max(back_at - stored.wall, timedelta())
        gap = Gap(left_at + min(away, self._reach), back_at, is_step=True)
        self._mark = replace(self._mark, gaps=(*_moved(stored, step).gaps, gap, *since), clear_since=now)

    def looked(self, begun_seconds: float, wall: datetime, seconds: float) -> timedelta:
        """Note a successful look that began at this monotonic time; return how long we were blind.

        Raises:
            ValueError: the clock has not been resumed.
        """
        if self._mark is None:
            message = "the store must be read before the Exchange"
            raise ValueError(message)
        since_look = timedelta(seconds=max(begun_seconds - self._looked_seconds, 0.0))
        end = wall - timedelta(seconds=seconds - begun_seconds)
        blind = max(since_look - self._reach, timedelta())
        mark = replace(self._mark, seen=self._mark.seen + (since_look - blind), wall=end)
        self._mark = self._seeing_again(mark, Gap(end - blind, end)) if blind else mark
        self._looked_seconds = max(begun_seconds, self._looked_seconds)
        return blind

    def _seeing_again(self, mark: ClockMark, gap: Gap) -> ClockMark:
        kept = tuple(each for each in mark.gaps if gap.end - each.end <= _KEPT)[1 - _MOST_GAPS :]
        # Repeated blindness must not stop time indefinitely (P5): the time between two blind
        # periods counts, across restarts too, and after many of them without a calm period in
        # between nodes are no longer given time to settle.
        is_calm = mark.clear_since is None or mark.seen - mark.clear_since >= _CALM
        settlings = 1 if is_calm else mark.settlings + 1
        since = mark.seen if settlings <= _MOST_SETTLINGS else mark.clear_since
        return replace(mark, clear_since=since, settlings=settlings, gaps=(*kept, gap))

    def unsaved(self, seconds: float, *, at_once: bool) -> ClockMark | None:
        """Return the mark to write to the store, or None if a write is not due.

        With `at_once`, for a write that happens anyway, it is always due.
        """
        unsaved = timedelta(seconds=seconds - self._saved_seconds)
        return self._mark if at_once or unsaved >= self._save_within else None

    def saved(self, seconds: float) -> None:
        """Note that the mark was written.

        It is written soon after a start and then less often, so that a crash loop does not stop
        time.
        """
        self._save_within = min(2 * self._save_within, _LONGEST_UNSAVED)
        self._saved_seconds = seconds
