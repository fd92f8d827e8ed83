"""How many members of a group are available, and how one member is, in words. Pure.

Heartbeats make no change records, so they are read of the groups in which something happens. Of a
member that was not read for a while it is not known whether it is available: it counts neither as
available nor as missing, and that is no fault, which the words must not look like.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agbot.console.page.words import spoken
from agbot.coordinator.contract import GroupView, MemberView
from agbot.rules.words import count

WHY_IDLE: Final = (
    "Nothing happens in this group, so heartbeats are read here only for this view, "
    "and at once when a member asks to upgrade."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """The members of a group, counted."""

    members: int
    available: int
    unavailable: int
    missed: int
    """Of those that are not known, how many were not available when they were last read."""
    since: datetime | None
    """The last read of the one that was not read for longest; None if one was never read."""

    @property
    def unread(self) -> int:
        """Members of which it is not known whether they are available."""
        return self.members - self.available - self.unavailable

    def unread_in_words(self, since: str) -> str:
        """Say how many are not known; `since` is that moment in words."""
        if not self.unread:
            return ""
        number = "" if self.unread == self.members else f"{self.unread} "
        missed = f", {self.missed} not available then" if self.missed else ""
        return f"{number}not read since {since}{missed}" if self.since is not None else f"{number}not read yet"


def availability(group: GroupView) -> Availability:
    """Count the members of a group."""
    unread = [member for member in group.members if member.available is None]
    reads = [member.read_at for member in unread if member.read_at is not None]
    return Availability(
        members=len(group.members),
        available=sum(member.available is True for member in group.members),
        unavailable=sum(member.available is False for member in group.members),
        # of those whose silence has been seen: they look like a fault, the other unread ones do not
        missed=sum(bool(member.why_unavailable) for member in unread),
        # of all or of none: "not read since" is true only of the one that was not read for longest
        since=min(reads) if unread and len(reads) == len(unread) else None,
    )


def in_words(group: GroupView, since: str) -> str:
    """Say how many members there are and how many are available, as far as it is known."""
    found = availability(group)
    unread = found.unread_in_words(since)
    if not unread:
        verb = "is" if found.members == 1 else "are"
        return f"{found.available} of {count(found.members, 'member')} {verb} available"
    known = [f"{found.available} available"] if found.available else []
    missing = [f"{found.unavailable} not available"] if found.unavailable else []
    return ", ".join([count(found.members, "member"), *known, *missing, unread])


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
