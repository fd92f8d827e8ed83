"""What every event has, and how it becomes a row of the journal and a line of the log.

Events are `msgspec.Struct`s and not dataclasses: a struct leaves out the fields that still have
their default (`omit_defaults`), reads a row of another version with the types checked, and
generates the JSON schema, without code for any single event. Fields that are columns of the journal
(`COLUMNS`) keep their names; all others are the event's facts.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

import msgspec

from agbot.events.shortening import in_a_line
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim
from agbot.rules.records import Deferral

COORDINATOR: Final = "coordinator"
"""The value of `who` if no person acted."""
COLUMNS: Final = ("group", "node", "subject", "token", "who")
DECISION_RECORD: Final = "decision_record"
"""The fact that holds the decision record: kilobytes, which only the history shows."""
_OF_JSON: Final[Mapping[str, object]] = {DECISION_RECORD: None, "rules": ()}
"""The facts that are JSON values already, each with its default: they are large, and not copied."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
DecisionRecord = Mapping[str, Any]
"""As `agbot.coordinator.decision_record` writes it."""


class Level(StrEnum):
    """How urgent an event is, with the names of the log and of `[log] level`."""

    DEBUG = "debug"
    """For debugging."""
    INFO = "info"
    """A normal change."""
    WARNING = "warning"
    """Something fails or is unusual, and the coordinator handles it."""
    ERROR = "error"
    """It needs the attention of an operator."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that has happened. The docstring of a class is its meaning in `docs/events.md`."""

    name: ClassVar[str] = ""
    """`noun.verb`; never changes its meaning."""
    level: ClassVar[Level] = Level.INFO
    words: ClassVar[str] = ""
    """The sentence for people, with fields as `{self.node}`. Without one the name is spelled
    out."""
    is_journalled: ClassVar[bool] = True
    """Whether it is written to the journal and delivered to other systems, or only logged."""

    who: str = COORDINATOR
    """The person who did it, or the coordinator."""

    @classmethod
    def meaning(cls) -> str:
        """Return the meaning of such an event in a few sentences."""
        return " ".join((inspect.getdoc(cls) or "").split())

    @property
    def columns(self) -> dict[str, Any]:
        """The fields that are columns of the journal, without those that are None."""
        found = ((name, getattr(self, name, None)) for name in COLUMNS)
        return {name: value for name, value in found if value is not None}

    @property
    def facts(self) -> dict[str, object]:
        """All other fields as JSON values, without those that still have their default."""
        # the large ones are taken out before the conversion, and put back as they are
        held = {name: value for name in _OF_JSON if (value := getattr(self, name, None))}
        rest = msgspec.structs.replace(self, **{name: _OF_JSON[name] for name in held}) if held else self
        written = {**msgspec.to_builtins(rest, builtin_types=(datetime,)), **held}
        return {name: _written(value) for name, value in written.items() if name not in COLUMNS}

    def in_words(self) -> str:
        """Return a sentence for people."""
        return self.words.format(self=self) if self.words else spelled_out(self.name)

    def explanation(self) -> str:
        """Return the reason for the event; empty if the sentence needs none."""
        return _first_of(self, ("why", "reason", "error"))

    def logged(self) -> dict[str, object]:
        """Return the fields of the log line besides name and level."""
        shown = _shown(self.columns, self.facts)
        # a debug line is for whoever looks for a cause, and is not cut
        return shown if self.level is Level.DEBUG else in_a_line(shown)


class LogEvent(Event, frozen=True, kw_only=True):
    """An event that is only logged: it is about the program itself, and not about an upgrade."""

    is_journalled: ClassVar[bool] = False


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the journal whose event or facts this program does not know.

    It is shown by its name, with all its facts.
    """

    name: str
    columns: Mapping[str, Any]
    facts: Mapping[str, object]
    level: Level = Level.INFO

    def in_words(self) -> str:
        """Return the name in words."""
        return spelled_out(self.name)

    def explanation(self) -> str:
        """Return the reason, if one of the facts is a reason."""
        found = (self.facts.get(name) for name in ("why", "reason", "error"))
        return next((str(each) for each in found if each), "")

    def logged(self) -> dict[str, object]:
        """Return the fields of the log line besides name and level."""
        return in_a_line(_shown(self.columns, self.facts))


def spelled_out(name: str) -> str:
    """Write the name of an event as words."""
    return name.replace(".", " ").replace("_", " ")


def listed(names: Iterable[object]) -> str:
    """Write names as one phrase: `a`, `a and b`, `a, b and c`."""
    *others, last = map(str, names)
    return f"{', '.join(others)} and {last}" if others else last


def _shown(columns: Mapping[str, Any], facts: Mapping[str, object]) -> dict[str, object]:
    named = {name: value for name, value in columns.items() if name != "who" or value != COORDINATOR}
    return {**named, **{name: fact for name, fact in facts.items() if name != DECISION_RECORD}}


def _written(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return list(value) if isinstance(value, tuple) else value


def _first_of(event: Event, names: Iterable[str]) -> str:
    found = (getattr(event, name, None) for name in names)
    return next((str(each) for each in found if each), "")


class OfGroup(Event, frozen=True, kw_only=True):
    """An event of one group."""

    group: GroupId
    node: NodeId | None = None
    subject: PolicyId | None = None
    """The policy that the upgrade follows; None if a service is down and its policy is not
    known."""

    @property
    def upgrade(self) -> str:
        """What is upgraded, for people."""
        return self.subject or f"a service of {self.node}"


def of_ask(ask: Ask) -> dict[str, Any]:
    """Return the columns of an event about a question."""
    return {"group": ask.group, "node": ask.node, "subject": ask.claim.subject}


def of_claim(claim: Claim) -> dict[str, Any]:
    """Return the columns of an event about a claim."""
    return {"node": claim.holder, "subject": claim.subject or None}


def of_deferral(deferral: Deferral) -> dict[str, Any]:
    """Return the columns of an event about a deferral."""
    # an empty policy, of a service that is down, is a missing one to whoever reads the journal
    return {"group": deferral.group, "node": deferral.node, "subject": deferral.subject or None}
