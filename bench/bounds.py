"""What `make bench` holds the figures to, each with its reason. A figure that is not named here is only shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A floor, or a ceiling."""

    limit: float
    reason: str
    is_floor: bool = False
    every_round: bool = False
    """Judge the worst round, not the median: for promises that hold each time."""

    @property
    def sense(self) -> str:
        """How the limit is to be read."""
        return ">=" if self.is_floor else "<="


BOUNDS: Mapping[str, Bound] = MappingProxyType(
    {
        "refusals, ratio": Bound(
            limit=0.6, is_floor=True, reason="all that a refusal needs may cost two thirds of the bare HTTP, no more"
        ),
        "cycles of 100 groups, ratio": Bound(
            limit=0.5, is_floor=True, reason="a cycle is two durable writes: it may cost two bare commits, no more"
        ),
        "own reads per warm grant": Bound(
            limit=1, every_round=True, reason="a grant reads the asking node with its own credentials, once"
        ),
        "other reads per warm grant": Bound(limit=0, every_round=True, reason="and nothing else that is known"),
        "reads per warm refusal": Bound(limit=0, every_round=True, reason="a refusal comes from memory"),
        "p99 of a cold grant": Bound(limit=3000, reason="a question is answered within 3 s ([gateway] answer_seconds)"),
        "p99 of a warm grant": Bound(limit=3000, reason="a question is answered within 3 s ([gateway] answer_seconds)"),
        "p99 of a warm refusal": Bound(
            limit=3000, reason="a question is answered within 3 s ([gateway] answer_seconds)"
        ),
        "idle, feed reads per poll": Bound(
            limit=1, reason="one look at the feed per poll, whatever the number of groups"
        ),
        "idle, other reads": Bound(limit=0, reason="idle groups cost nothing: every read has a reason"),
        "hand-off": Bound(
            limit=5,
            every_round=True,
            reason="from `successful` in the Exchange to the lease being free, default settings",
        ),
    }
)
