"""A figure of a measurement: a line of the table, with its rounds and its bound.

Speed is a ratio to a bare baseline that was measured in alternation with it, because a number of
requests per second depends more on the machine than on the program. Counts and delays are absolute.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.bounds import Bound, bound_of


class Unit(StrEnum):
    """The unit of a figure."""

    RATIO = "of bare"
    PER_SECOND = "/s"
    MILLISECONDS = "ms"
    SECONDS = "s"
    MICROSECONDS = "us"
    REQUESTS = "requests"
    MEBIBYTES = "MiB"
    SHARE = "of a core"
    EXPONENT = "exponent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure.

    `rounds` are repeated measurements. Their median is judged, or the worst of them if the bound is
    for every round.
    """

    name: str
    unit: Unit
    rounds: Sequence[float]
    note: str = ""

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def bound(self) -> Bound | None:
        """Its bound, if it has one."""
        return bound_of(self.name)

    @property
    def is_within_bound(self) -> bool:
        """Whether it is within its bound; a figure without one always is."""
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
            "keeps": self.is_within_bound,
            "note": self.note,
        }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, int(share * len(ordered) + 0.999999) - 1))]
