"""The health of a member in words, also of one whose group is idle. Pure.

Heartbeats make no change records, so they are read of the groups in which something happens. That
an idle member was not read for a while is no fault, and the words must not look like one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agbot.console.page.words import relative
from agbot.coordinator.contract import MemberView

WHY_IDLE: Final = (
    "Nothing happens in this group, so heartbeats are seldom read here. "
    "They are read at once when a member asks to upgrade."
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
        available = Health(look="done", word="available")
        return (
            available if member.available else Health(look="failed", word="not available", why=member.why_unavailable)
        )
    if member.read_at is None:
        return Health(look="quiet", word="not read yet")
    when = relative(member.read_at, now)
    if member.was_alive:
        return Health(look="quiet", word="idle", why=f"alive when it was last read, {when}")
    return Health(look="quiet", word="idle", why=f"silent or not registered when it was last read, {when}")
