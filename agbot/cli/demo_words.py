"""What happens in the demo, in plain words: one line for each journal entry that a person would want to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, cast

from agbot.cli.demo_stories import ORG
from agbot.rules.reasons import Code
from agbot.store.contract import Entry

_ORDINARY: Final = frozenset({Code.LEASE_HELD, Code.SOAKING, Code.VIEW_STALE})
"""Why everybody waits now and then: the view shows it, and a line for each would hide the rest."""


def bare(qualified: object) -> str:
    """Return a name without its organisation."""
    return str(qualified or "").rpartition("/")[2]


def short(text: str) -> str:
    """Leave the organisation out of names: the demo has only one."""
    return text.replace(f"{ORG}/", "")


def _granted(entry: Entry) -> str:
    return f"{bare(entry.node)} may upgrade {bare(entry.subject)} ({entry.facts.get('kind')}, token {entry.token})"


def _observed(entry: Entry) -> str:
    subject = f" {bare(entry.subject)}" if entry.subject else ""
    return f"{bare(entry.node)} upgrades{subject} without having asked, and holds the group's lease from now on (token {entry.token})"


def _overlapped(entry: Entry) -> str:
    return f"{bare(entry.node)} upgrades {bare(entry.subject)} unasked while another member upgrades: the next grant waits for both"


def _bypassed(entry: Entry) -> str:
    return f"the agent of {bare(entry.node)} asks somebody else: its HZN_AGBOT_URL does not point to the coordinator"


def _stuck(entry: Entry) -> str:
    return f"the agbot keeps the row of {bare(entry.node)}: {entry.facts.get('why')}"


def _exempted(entry: Entry) -> str:
    return f"{bare(entry.node)} goes without a lease: {entry.facts.get('code')}"


def _released(entry: Entry) -> str:
    return f"the lease of {bare(entry.node)} ends: {entry.facts.get('cause')} ({entry.facts.get('why')})"


def _suspected(entry: Entry) -> str:
    return f"it is not known how the upgrade of {bare(entry.node)} ended: {entry.facts.get('why')}"


def _waits(entry: Entry) -> str | None:
    reasons = [dict(each) for each in cast("Iterable[Mapping[str, str]]", entry.facts.get("reasons", ()))]
    if not reasons or reasons[0]["code"] in _ORDINARY:
        return None
    return f"{bare(entry.node)} waits to upgrade {bare(entry.subject)}: {reasons[0]['code']} ({reasons[0]['text']})"


def _deferral_begun(entry: Entry) -> str:
    return f"{bare(entry.node)} is in the middle of its own upgrade: its membership is deferred until that has ended"


def _deferral_ended(entry: Entry) -> str:
    return f"{bare(entry.node)} counts as a member from now on"


def _brake_set(entry: Entry) -> str:
    return f"{bare(entry.subject)} failed on {bare(entry.node)}: stopped before the next member"


def _brake_lifted(entry: Entry) -> str:
    return f"{bare(entry.subject)} may go on: {entry.facts.get('why')}"


_WORDS: Final[Mapping[str, Callable[[Entry], str | None]]] = MappingProxyType(
    {
        "lease.granted": _granted,
        "lease.taken_over": _granted,
        "lease.observed": _observed,
        "lease.overlapped": _overlapped,
        "gateway.bypassed": _bypassed,
        "agbot.stuck": _stuck,
        "lease.exempted": _exempted,
        "lease.released": _released,
        "lease.suspected": _suspected,
        "wait.changed": _waits,
        "deferral.begun": _deferral_begun,
        "deferral.ended": _deferral_ended,
        "brake.set": _brake_set,
        "brake.lifted": _brake_lifted,
    }
)


def in_words(entry: Entry) -> str | None:
    """Return a line for people, or None for an entry that only fills the screen."""
    words = _WORDS.get(entry.event)
    said = words(entry) if words else None
    return short(f"{bare(entry.group)}: {said}") if said else None
