"""The result: when each group begins and ends, who stays blocked, and who is available. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agbot.rules.ids import GroupId, NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A member that is not done at the end of the forecast."""

    node: NodeId
    text: str
    code: str = ""
    """Of the reason (`docs/reasons.md`); empty if the member does not even ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCourse:
    """One group."""

    group: GroupId
    members: int
    upgraded: int
    """Members that end their upgrade in the forecast."""
    available: int
    """Members that are available before it."""
    lowest: int
    """The lowest number of available members."""
    begins_at: datetime | None = None
    ends_at: datetime | None = None
    """None also while a member is left: then the group does not end."""
    left: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The whole fleet from one moment on."""

    at: datetime
    upgrading: int
    """Members that upgrade."""
    done: int
    """Groups in which every member that asks is done."""
    available: int
    """Members of all groups that are available."""
    lowest: int
    """The lowest number of available members in any group of two or more of which a member was
    available before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A whole forecast."""

    begins_at: datetime
    ends_at: datetime
    """The last end of an upgrade; the beginning if there is none."""
    groups: Sequence[GroupCourse]
    """Those in which a member follows a policy of the forecast, by their begin."""
    points: Sequence[Point]

    @property
    def blocked(self) -> Sequence[GroupCourse]:
        """The groups in which a member is left."""
        return [each for each in self.groups if each.left]

    @property
    def upgraded(self) -> int:
        """All members that end their upgrade."""
        return sum(each.upgraded for each in self.groups)

    @property
    def lowest(self) -> Point:
        """The moment with the fewest available members."""
        return min(self.points, key=lambda each: each.available)


@dataclass(slots=True)
class Log:
    """Notes what happens, in order of time."""

    members: Mapping[GroupId, Mapping[NodeId, bool]]
    """Of every group: which members are available before the forecast."""
    wanted: Mapping[GroupId, int]
    """How many members are to be upgraded."""
    points: list[Point] = field(default_factory=list)
    begins: dict[GroupId, datetime] = field(default_factory=dict)
    ends: dict[GroupId, datetime] = field(default_factory=dict)
    upgraded: Counter[GroupId] = field(default_factory=Counter)
    lowest: dict[GroupId, int] = field(default_factory=dict)
    _now: dict[GroupId, int] = field(default_factory=dict)
    _levels: Counter[int] = field(default_factory=Counter)
    _upgrading: int = 0
    _done: int = 0
    _available: int = 0

    def __post_init__(self) -> None:
        """Count what is available before."""
        self._now = {group: sum(each.values()) for group, each in self.members.items()}
        self.lowest = dict(self._now)
        self._available = sum(self._now.values())
        self._levels = Counter(self._now[group] for group in self._now if self._counts(group))

    def begin(self, group: GroupId, node: NodeId, at: datetime) -> None:
        """Note that a member begins."""
        self.begins.setdefault(group, at)
        self._upgrading += 1
        self._step(group, -1 if self.members[group].get(node) else 0, at)

    def end(self, group: GroupId, node: NodeId, at: datetime, *, is_wanted: bool) -> None:
        """Note that a member is done; `is_wanted` if the forecast is about its upgrade."""
        self._upgrading -= 1
        if is_wanted:
            self.ends[group] = at
            self.upgraded[group] += 1
            # once per group, at its last wanted end
            self._done += self.upgraded[group] == self.wanted[group]
        self._step(group, 1 if self.members[group].get(node) else 0, at)

    def begin_with(self, at: datetime) -> None:
        """Note the state before anything happens."""
        self._point(at)

    def course_of(self, group: GroupId, left: Sequence[Left]) -> GroupCourse:
        """Return how it went in a group, of which these members are left."""
        members = self.members[group]
        return GroupCourse(
            group=group,
            members=len(members),
            upgraded=self.upgraded[group],
            available=sum(members.values()),
            lowest=self.lowest[group],
            begins_at=self.begins.get(group),
            ends_at=None if left else self.ends.get(group),
            left=tuple(left),
        )

    def _step(self, group: GroupId, by: int, at: datetime) -> None:
        # how many groups have each number of available members: so the lowest costs no look at all
        # groups in each step
        if self._counts(group):
            self._levels[self._now[group]] -= 1
            self._levels[self._now[group] + by] += 1
        self._now[group] += by
        self._available += by
        self.lowest[group] = min(self.lowest[group], self._now[group])
        self._point(at)

    def _point(self, at: datetime) -> None:
        levels = [level for level, groups in self._levels.items() if groups]
        point = Point(
            at=at,
            upgrading=self._upgrading,
            done=self._done,
            available=self._available,
            lowest=min(levels, default=0),
        )
        # of several changes of one moment only the outcome is shown
        if self.points and self.points[-1].at == at:
            self.points[-1] = point
        else:
            self.points.append(point)

    def _counts(self, group: GroupId) -> bool:
        # one that is down anyway, or has no peer, would make the lowest number 0 for the whole
        # fleet
        members = self.members[group]
        return len(members) > 1 and any(members.values())
