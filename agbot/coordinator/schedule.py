"""When each group is due: at once, or at a moment of seen time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil

from agbot.rules.ids import GroupId
from agbot.rules.seen_time import SeenTime


@dataclass(slots=True, eq=False)
class _Second:
    """The groups that are due at the end of one second. A group may have become due earlier."""

    end: int
    groups: list[GroupId] = field(default_factory=list)


class Schedule:
    """The groups that are due. The earliest moment of a group counts."""

    def __init__(self) -> None:
        self._now: dict[GroupId, None] = {}
        self._due_at: dict[GroupId, _Second] = {}
        self._seconds: dict[int, _Second] = {}
        self._ends: list[int] = []
        """A heap."""

    def at_once(self, groups: Iterable[GroupId]) -> None:
        """Make these due now."""
        self._now.update(dict.fromkeys(groups))

    def at(self, group: GroupId, moment: SeenTime) -> None:
        """Make a group due at this moment, unless it is due earlier."""
        # A moment counts as the end of its second. Thousands of groups share the seconds of a
        # minute, so each costs two references and no time of its own.
        end = ceil(_seconds(moment))
        known = self._due_at.get(group)
        if known is not None and known.end <= end:
            return
        second = self._seconds.get(end)
        if second is None:
            second = self._seconds[end] = _Second(end)
            heappush(self._ends, end)
        second.groups.append(group)
        self._due_at[group] = second

    def take(self, now: SeenTime) -> list[GroupId]:
        """Return the groups that are due, and remove them from the schedule."""
        until = _seconds(now)
        while self._ends and self._ends[0] <= until:
            second = self._seconds.pop(heappop(self._ends))
            for group in second.groups:
                if self._due_at.get(group) is second:
                    self._now[group] = None
        found = list(self._now)
        self._now.clear()
        for group in found:
            self._due_at.pop(group, None)
        return found


def _seconds(moment: SeenTime) -> float:
    return moment.as_if_never_blind.timestamp()
