"""The verdicts of a review of a lease, and what may follow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agbot.rules.progress import Progress
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import SeenTime
from agbot.rules.words import span


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """No new evidence. `note` states what is odd, if anything is."""

    progress: Progress
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """Evidence that the upgrade continues.

    `evidence_at` is when the evidence arose, if that is not now.
    """

    progress: Progress
    why: str
    evidence_at: SeenTime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Evidence that the upgrade is over."""

    cause: Cause
    why: str
    ended_at: datetime | None = None
    """When the upgrade ended, if the evidence shows that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """The lease has expired and it is not known how the upgrade ended."""

    why: str
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What becomes of an occupied lease next if nothing new is seen, for operators."""

    then: str
    """Such as `taken back`, `suspect`, `ends as failed`, `held until proof`."""
    unless: str
    """What would change that, or what ends it."""
    at: datetime | None = None
    """When, at the earliest; None: no time alone decides it."""
    sets_brake: bool = False
    """Whether that end stops the upgrade in the group."""

    def when(self, now: datetime) -> str:
        """Write when: `in 3 min`; empty if no time alone decides it."""
        if self.at is None:
            return ""
        left = (self.at - now).total_seconds()
        return f"in {span(left)}" if left >= 1 else "at the next review"

    @property
    def brake(self) -> str:
        """What follows it, if it stops the upgrade, as the end of a sentence."""
        return ", and the brake then stops that upgrade here" if self.sets_brake else ""


Verdict = Keep | Renew | Release | Suspect
