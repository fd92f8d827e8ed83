"""Events of nodes whose workload asks for no agent upgrade."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Event, Level, LogEvent, Moment
from agbot.rules.ids import NodeId
from agbot.rules.words import clock


class OfBusyNode(Event, frozen=True, kw_only=True):
    """An event of a node that is busy, or was."""

    node: NodeId
    why: str = ""


class BusyBegun(OfBusyNode, frozen=True, kw_only=True):
    """The workload of a node asks for no agent upgrade until `until`; `why` is its text."""

    name: ClassVar[str] = "busy.begun"

    until: Moment

    def in_words(self) -> str:
        return f"{self.node} is busy and asks for its agent not to be upgraded until {clock(self.until)}"


class BusyEnded(OfBusyNode, frozen=True, kw_only=True):
    """A node is no longer busy: the node has stated so, or its time is over."""

    name: ClassVar[str] = "busy.ended"
    words: ClassVar[str] = "{self.node} is no longer busy"


class BusyIgnored(OfBusyNode, frozen=True, kw_only=True):
    """A node has been busy for longer than `max_busy_seconds`; its word is ignored from now on."""

    name: ClassVar[str] = "busy.ignored"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "{self.node} has been busy for longer than it may, and its agent may be upgraded now"

    since: Moment


class BusyRefused(LogEvent, frozen=True, kw_only=True):
    """A message to a `busy` topic is invalid and changes nothing.

    Logged once for each topic until a valid one arrives.
    """

    name: ClassVar[str] = "busy.refused"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "a message to {self.topic} is not valid and changes nothing"

    topic: str
    error: str
