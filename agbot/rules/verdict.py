"""What a review of a lease can say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agbot.rules.lease import Progress
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import SeenTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Nothing new. `note` says what is odd, if anything is."""

    progress: Progress
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """Evidence that the upgrade goes on. `evidence_at` is when the evidence was made, where that is not now."""

    progress: Progress
    why: str
    evidence_at: SeenTime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Evidence that the upgrade is over."""

    cause: Cause
    why: str
    ended_at: datetime | None = None
    """When the upgrade ended, where the evidence says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """The lease has expired and nobody knows how the upgrade ended."""

    why: str
    progress: Progress


Verdict = Keep | Renew | Release | Suspect
