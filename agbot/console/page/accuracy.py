"""Whether past rollouts ended when they were expected to, and when an estimate is kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agbot.console.page.forecast import Forecast
from agbot.console.page.standing import Standing, Summary
from agbot.events.rollouts import RolloutEnded, RolloutExpected
from agbot.rules.words import count

_STEPS: Final = 4
"""An estimate is kept after each further of so many equal parts of the groups."""
_LATEST: Final = 10
"""So many rollouts are counted."""
_IDLE: Final = timedelta(minutes=10)
"""So long no member has begun or asked when a rollout counts as ended that some never joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How the estimates of the last rollouts turned out."""

    rollouts: int
    held: int
    """Rollouts that ended within the interval of their first estimate."""
    later: int
    """Estimates after the first."""
    later_held: int

    def in_words(self) -> str:
        """Return a sentence; empty while no rollout has ended."""
        if not self.rollouts:
            return ""
        if self.rollouts == 1:
            return f"The last rollout {'ended' if self.held else 'did not end'} within its first interval."
        later = f"; of {count(self.later, 'later estimate')}, {self.later_held} held" if self.later else ""
        return f"The last {self.rollouts} rollouts ended within their first interval {count(self.held, 'time')}{later}."


def accuracy(ended: Sequence[RolloutEnded]) -> Accuracy:
    """Count how often the end came when it was expected, in the last rollouts."""
    latest = ended[-_LATEST:]
    return Accuracy(
        rollouts=len(latest),
        held=sum(each.held for each in latest),
        later=sum(each.later for each in latest),
        later_held=sum(each.later_held for each in latest),
    )


def to_keep(found: Forecast, done: int, kept: Sequence[RolloutExpected]) -> bool:
    """Whether this estimate is the first, or the first after a further quarter of the groups."""
    return not kept or _step(done, found.remaining) > _step(kept[-1].done, kept[-1].remaining)


def _step(done: int, remaining: int) -> int:
    return _STEPS * done // max(done + remaining, 1)


def ended(summary: Summary, kept: Sequence[RolloutExpected], now: datetime) -> RolloutEnded | None:
    """Return the end of a rollout, compared with its estimates; None while it goes on.

    It goes on while a member upgrades or waits. If groups are left in which none does, such as
    those with a dead member, it goes on for some minutes after the last end.
    """
    ends = [each.done_at for each in summary.stands if each.done_at is not None]
    # without an estimate there is nothing to compare, and a rollout of two groups is no news
    if not kept or not ends:
        return None
    last, left = max(ends), summary.expected - summary.counts[Standing.DONE]
    is_busy = bool(summary.counts[Standing.RUNNING] or summary.counts[Standing.WAITING])
    if is_busy or (left and now - last < _IDLE):
        return None
    first, *later = kept
    return RolloutEnded(
        subject=first.subject,
        kind=first.kind,
        earliest=first.earliest,
        latest=first.latest,
        ended_at=last,
        done=summary.counts[Standing.DONE],
        left=left,
        later=len(later),
        later_held=sum(each.earliest <= last <= each.latest for each in later),
    )
