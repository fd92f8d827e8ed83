"""What a measurement says: one figure per line of the table, with its rounds, and whether it keeps its bound.

Speed is told as a ratio to a bare baseline that was measured in alternation with it, because a number of requests per second says more
about the machine than about the program. Counts and delays are told as they are.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.bounds import BOUNDS, Bound


class Unit(StrEnum):
    """How a figure is to be read."""

    RATIO = "of bare"
    PER_SECOND = "/s"
    MILLISECONDS = "ms"
    SECONDS = "s"
    MICROSECONDS = "us"
    REQUESTS = "requests"
    MEBIBYTES = "MiB"
    SHARE = "of a core"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `rounds` are the same thing measured several times; what is judged is their median, or `worst` where given."""

    name: str
    unit: Unit
    rounds: Sequence[float]
    note: str = ""

    @property
    def median(self) -> float:
        """The middle one of the rounds."""
        return statistics.median(self.rounds)

    @property
    def bound(self) -> Bound | None:
        """What it must keep, if anything."""
        return BOUNDS.get(self.name)

    @property
    def keeps(self) -> bool:
        """Whether it keeps its bound; a figure without one always does."""
        bound = self.bound
        if bound is None:
            return True
        judged = max(self.rounds) if bound.every_round else self.median
        return judged >= bound.limit if bound.is_floor else judged <= bound.limit

    def as_json(self) -> Mapping[str, object]:
        """Return it for programs."""
        bound = self.bound
        return {
            "name": self.name,
            "unit": str(self.unit),
            "median": self.median,
            "min": min(self.rounds),
            "max": max(self.rounds),
            "rounds": list(self.rounds),
            "bound": None if bound is None else {"sense": bound.sense, "limit": bound.limit, "reason": bound.reason},
            "keeps": self.keeps,
            "note": self.note,
        }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, int(share * len(ordered) + 0.999999) - 1))]
