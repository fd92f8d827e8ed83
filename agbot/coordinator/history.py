"""The journal told to people: what happened in words, who did it, and why.

The journal holds everything under the names of events; the history leaves out what only says that something went on (level debug), and says
the rest in a sentence. An event that has no words here is told by its name, so that nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from agbot.events.names import EVENTS, Level
from agbot.rules import words
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.store.contract import Entry

ORDINARY: Final = tuple(name for name, event in EVENTS.items() if event.level is not Level.DEBUG)
"""What is told when nobody asks for a kind."""


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


def view(entry: Entry) -> HistoryView:
    """Tell an entry."""
    tell = _WORDS.get(entry.event)
    return HistoryView(
        id=entry.id,
        at=entry.at,
        event=entry.event,
        what=tell(entry) if tell is not None else entry.event.replace(".", " ").replace("_", " "),
        why=_why(entry),
        who=entry.who,
        group=entry.group,
        node=entry.node,
        subject=entry.subject,
        token=entry.token,
        facts=entry.facts,
    )


def events_of(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the names of events of these kinds: a name, or a noun (`lease`) for all of its own.

    Raises:
        LookupError: with the kind that is none.
    """
    found: dict[str, None] = {}
    for kind in kinds:
        names = [name for name in EVENTS if kind in {name, name.partition(".")[0]}]
        if not names:
            raise LookupError(kind)
        found |= dict.fromkeys(names)
    return tuple(found)


def reasons_of(entry: Entry | HistoryView) -> list[Mapping[str, str]]:
    """Return the reasons of a refusal, each with `code` and `text`."""
    reasons = entry.facts.get("reasons")
    return [each for each in reasons if isinstance(each, Mapping)] if isinstance(reasons, list) else []


def _why(entry: Entry) -> str:
    if entry.event in {"lease.granted", "lease.taken_over"}:
        allowed_by = _fact(entry, "allowed_by")
        return f"allowed by {allowed_by}: {_fact(entry, 'allowed_why')}" if allowed_by else "every rule allows it"
    if reasons := reasons_of(entry):
        return "; ".join(str(each.get("text", "")) for each in reasons)
    return _fact(entry, "why") or _fact(entry, "reason") or _fact(entry, "error")


def _fact(entry: Entry, name: str) -> str:
    value = entry.facts.get(name)
    return "" if value is None else str(value)


def _waits(entry: Entry) -> str:
    codes = ", ".join(str(each.get("code", "")) for each in reasons_of(entry))
    return f"waits to upgrade {entry.subject}: {codes}"


def _held_back(entry: Entry) -> str:
    until = f" until {_fact(entry, 'until')}" if _fact(entry, "until") else ""
    return f"{_scope(entry)} is held{until}: no new upgrades"


def _what(entry: Entry) -> str:
    return entry.subject or "a service of it"


def _scope(entry: Entry) -> str:
    return words.scope(_fact(entry, "scope"))


def _numbers(entry: Entry) -> str:
    first, last = _fact(entry, "first"), _fact(entry, "last")
    return f"event {first}" if first == last else f"events {first} to {last}"


_WORDS: Final[Mapping[str, Callable[[Entry], str]]] = {
    "agbot.stuck": lambda entry: (
        f"the agbot keeps its row for {entry.subject}, which is over: {_fact(entry, 'why')}; cure: {_fact(entry, 'cure')}"
    ),
    "gateway.bypassed": lambda entry: (
        f"upgrades {entry.subject} and has not asked the coordinator: see its HZN_AGBOT_URL"
    ),
    "lease.granted": lambda entry: f"may upgrade {entry.subject}",
    "lease.exempted": lambda entry: f"may upgrade {entry.subject} without a lease: {_fact(entry, 'code')}",
    "lease.observed": lambda entry: (
        f"upgrades {_what(entry)} without having asked, and holds the lease" if entry.subject else "has lost a service"
    ),
    "lease.overlapped": lambda entry: (
        f"upgrades {_what(entry)} while others of its group upgrade; nobody could stop it"
    ),
    "lease.renewed": lambda entry: f"goes on with {_what(entry)}",
    "lease.released": lambda entry: f"no longer holds the lease for {_what(entry)}: {_fact(entry, 'cause')}",
    "lease.suspected": lambda entry: f"holds the lease for {_what(entry)}, and it is not known how that ended",
    "lease.taken_over": lambda entry: f"may upgrade {entry.subject}, with the lease of {_fact(entry, 'taken_from')}",
    "wait.changed": _waits,
    "wait.ended": lambda entry: f"waits no longer to upgrade {entry.subject}",
    "deferral.begun": lambda entry: (
        f"is in the middle of {entry.subject} ({_fact(entry, 'status')}): not gated until it ends"
    ),
    "deferral.ended": lambda entry: f"is gated like any other, after {entry.subject}",
    "brake.set": lambda entry: f"{entry.subject} is stopped in the group: {_fact(entry, 'cause')}",
    "brake.lifted": lambda entry: f"{entry.subject} may go on in the group",
    "success.contradicted": lambda entry: (
        f"reported success of {entry.subject} and runs {_fact(entry, 'runs')}, not {_fact(entry, 'reported')}: that counts as failed"
    ),
    "pause.set": _held_back,
    "pause.ended": lambda entry: f"{_scope(entry)} is no longer held",
    "rest.ended": lambda _entry: "the rest of the group is over",
    "clock.stepped": lambda entry: f"the date of this machine was set by {_fact(entry, 'seconds')} s",
    "allowance.given": lambda entry: (
        f"is allowed to begin {entry.subject or 'its next upgrade'} once, whatever most rules say"
    ),
    "allowance.ended": lambda _entry: "its allowance has ended without being used",
    "approval.given": lambda entry: f"{entry.subject} may begin in {_scope(entry)}",
    "store.changed": lambda _entry: "the lease store is not the one that was used last",
    "store.settled": lambda _entry: "grants go on after the lease store had changed",
    "store.recovered": lambda _entry: "the lease store works again",
    "delivery.lost": lambda entry: (
        f"{_fact(entry, 'sink')} {_fact(entry, 'receiver')} had not taken {_numbers(entry)} when the journal's time was over"
    ),
}
