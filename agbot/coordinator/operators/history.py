"""The journal for people: what happened in a sentence, who did it, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from agbot.events.catalogue import EVENTS
from agbot.events.event import COORDINATOR, Level
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.store.contract import Entry

LEFT_OUT: Final = tuple(name for name, event in EVENTS.items() if event.is_journalled and event.level is Level.DEBUG)
"""Events that are shown only on request: they only show that something goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """One entry of the journal with the words for it."""

    id: int
    at: datetime
    event: str
    what: str
    why: str = ""
    who: str = ""
    group: GroupId | None = None
    node: NodeId | None = None
    subject: PolicyId | None = None
    token: int | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def by(self) -> str:
        """Who did it; empty for the coordinator, and where the words name them already."""
        is_named = self.what.startswith(f"{self.who} ") or f"by {self.who}" in f"{self.what} {self.why}"
        return "" if self.who == COORDINATOR or is_named else self.who


def view(entry: Entry) -> HistoryView:
    """Put an entry into words.

    An event that this program does not know, or cannot read, is shown by its name, so that nothing
    is hidden.
    """
    event = entry.read()
    return HistoryView(
        id=entry.id,
        at=entry.at,
        event=entry.event,
        what=event.in_words(),
        why=event.explanation(),
        who=entry.who,
        group=entry.group,
        node=entry.node,
        subject=entry.subject,
        token=entry.token,
        facts=entry.facts,
    )


def by_time(entries: Iterable[HistoryView]) -> list[HistoryView]:
    """Return entries as people read them: the latest moment first.

    A wait is written some seconds after it has begun, so the order of the ids may be another one.
    """
    return sorted(entries, key=lambda each: (each.at, each.id), reverse=True)


def events_of(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the names of events of these kinds: a name, or a noun (`lease`) for all of its events.

    Raises:
        LookupError: with the kind that does not exist.
    """
    found: dict[str, None] = {}
    for kind in kinds:
        names = [name for name in EVENTS if kind in {name, name.partition(".")[0]}]
        if not names:
            raise LookupError(kind)
        found |= dict.fromkeys([name for name in names if EVENTS[name].is_journalled] or names)
    return tuple(found)


def reasons_of(entry: Entry | HistoryView) -> list[Mapping[str, str]]:
    """Return the reasons of a refusal, each with `code` and `text`."""
    reasons = entry.facts.get("reasons")
    return [each for each in reasons if isinstance(each, Mapping)] if isinstance(reasons, list | tuple) else []
