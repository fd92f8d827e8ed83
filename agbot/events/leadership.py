"""Events of the leadership among several coordinators on one store."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Event, Level, LogEvent


class LeaderTaken(Event, frozen=True, kw_only=True):
    """This coordinator leads now. It reads the store and the Exchange from the beginning.

    `before` is the one that led until then; empty if none has. `why` states whether that one gave
    the leadership up, handed it over, or was lost.
    """

    name: ClassVar[str] = "leader.taken"
    words: ClassVar[str] = "the coordinator {self.leader} has taken the leadership"

    leader: str
    epoch: int
    before: str = ""
    why: str


class LeaderHandedOver(Event, frozen=True, kw_only=True):
    """An operator has ordered the leader to hand over: to the coordinator `to`, or to any other."""

    name: ClassVar[str] = "leader.handed_over"

    leader: str
    epoch: int
    to: str = ""
    reason: str

    def in_words(self) -> str:
        return f"{self.who} has ordered the coordinator {self.leader} to hand over to {self.to or 'any other'}"


class LeaderLost(LogEvent, frozen=True, kw_only=True):
    """This coordinator led, and another has taken the leadership meanwhile.

    What it decided since then was refused by the store.
    """

    name: ClassVar[str] = "leader.lost"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "another coordinator has taken the leadership from this one"

    leader: str
    epoch: int


class LeaderFollowed(LogEvent, frozen=True, kw_only=True):
    """This coordinator stands by, and forwards questions to the leader."""

    name: ClassVar[str] = "leader.followed"
    words: ClassVar[str] = "this coordinator stands by and forwards questions to {self.leader}"

    leader: str
    epoch: int
    gateway: str


class LeaderMissing(LogEvent, frozen=True, kw_only=True):
    """No coordinator is known to lead; questions are refused as `no-leader`.

    `why` states whether `before`, the last leader, gave the leadership up or was lost.
    """

    name: ClassVar[str] = "leader.missing"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "no coordinator leads, and questions are refused"

    before: str = ""
    why: str


class LeadershipFailed(LogEvent, frozen=True, kw_only=True):
    """The row of the leader cannot be read or renewed."""

    name: ClassVar[str] = "leadership.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the row of the leader cannot be read or renewed"

    error: str


class LeadershipRecovered(LogEvent, frozen=True, kw_only=True):
    """The row of the leader can be read and renewed again."""

    name: ClassVar[str] = "leadership.recovered"
    words: ClassVar[str] = "the row of the leader can be read and renewed again"


class ForwardFailed(LogEvent, frozen=True, kw_only=True):
    """A request could not be forwarded to the leader at `leader`. Logged once until it can be."""

    name: ClassVar[str] = "forward.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "a request could not be forwarded to the leader at {self.leader}"

    leader: str
    error: str


class ForwardRecovered(LogEvent, frozen=True, kw_only=True):
    """Requests are forwarded to the leader at `leader` again."""

    name: ClassVar[str] = "forward.recovered"
    words: ClassVar[str] = "requests are forwarded to the leader at {self.leader} again"

    leader: str
