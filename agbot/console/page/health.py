"""The health of a member in words, also of one whose group is idle. Pure.

Heartbeats make no change records, so they are read of the groups in which something happens. That
a member was not read for a while is no fault, and the words must not look like one. It counts
neither as available nor as missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agbot.console.availability import availability
from agbot.console.page.words import spoken
from agbot.coordinator.contract import GroupView, MemberView

WHY_IDLE: Final = (
    "Nothing happens in this group, so heartbeats are read here only for this view, "
    "and at once when a member asks to upgrade."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a member is."""

    look: str
    word: str
    why: str = ""


def health(member: MemberView, now: datetime) -> Health:
    """Say how a member is, or how it was when it was last read."""
    if member.available is not None:
        if member.available:
            return Health(look="done", word="available")
        return Health(look="failed", word="not available", why=member.why_unavailable)
    if member.read_at is None:
        return Health(look="quiet", word="not read yet")
    since = f"since {spoken(member.read_at, now)}"
    if not member.why_unavailable:
        return Health(look="quiet", word="not read", why=f"{since}; it was available then")
    return Health(look="suspect", word="not read", why=f"{since}; then: {member.why_unavailable}")


def unread(group: GroupView, now: datetime) -> str:
    """Say of how many members of a group it is not known whether they are available."""
    found = availability(group)
    return found.unread_in_words("" if found.since is None else spoken(found.since, now))
