"""When each group is due: at once, or at a moment of seen time."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from agbot.rules.ids import GroupId
from agbot.rules.seen_time import SeenTime


class Schedule:
    """The groups that are due. The earliest moment of a group counts."""

    def __init__(self) -> None:
        self._now: dict[GroupId, None] = {}
        self._due_at: dict[GroupId, SeenTime] = {}
        self._heap: list[tuple[SeenTime, GroupId]] = []

    def at_once(self, groups: Iterable[GroupId]) -> None:
        """Make these due now."""
        self._now.update(dict.fromkeys(groups))

    def at(self, group: GroupId, moment: SeenTime) -> None:
        """Make a group due at this moment, unless it is due earlier."""
        known = self._due_at.get(group)
        if known is None or moment < known:
            self._due_at[group] = moment
            heappush(self._heap, (moment, group))

    def take(self, now: SeenTime) -> list[GroupId]:
        """Return the groups that are due, and remove them from the schedule."""
        while self._heap and self._heap[0][0] <= now:
            moment, group = heappop(self._heap)
            if self._due_at.get(group) == moment:
                self._now[group] = None
        found = list(self._now)
        self._now.clear()
        for group in found:
            self._due_at.pop(group, None)
        return found
