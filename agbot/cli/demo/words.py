"""The lines of the demo: one for each event that is of interest to people.

Names are without their organisation, because the demo has only one.
"""

from __future__ import annotations

from typing import Final

from agbot.cli.demo.stories import ORG
from agbot.events.event import Event, Level, Unread
from agbot.events.guard import GuardRefused
from agbot.events.leases import LeaseGranted
from agbot.events.waits import WaitChanged, WaitEnded
from agbot.rules.reasons import Code

_ORDINARY: Final = frozenset({Code.LEASE_HELD, Code.SOAKING, Code.VIEW_STALE})
"""The usual reasons for a wait. The view shows them, and a line for each would hide the others."""


def bare(qualified: object) -> str:
    """Return a name without its organisation."""
    return str(qualified or "").rpartition("/")[2]


def short(text: str) -> str:
    """Leave the organisation out of names."""
    return text.replace(f"{ORG}/", "")


def in_words(event: Event | Unread) -> str | None:
    """Return a line for people; None for an event that is not of interest to them."""
    if event.level is Level.DEBUG or isinstance(event, WaitEnded):
        return None
    if isinstance(event, GuardRefused) and event.code != Code.LEASE_HELD:
        return None
    if isinstance(event, WaitChanged):
        if not event.reasons or event.reasons[0].code in _ORDINARY:
            return None
        why = event.reasons[0].text
    elif isinstance(event, LeaseGranted):
        why = f"{event.kind}, token {event.token}"
    else:
        why = event.explanation()
    group = event.columns.get("group")
    return short(f"{f'{bare(group)}: ' if group else ''}{event.in_words()}{f' ({why})' if why else ''}")
