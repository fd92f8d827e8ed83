"""The bounds of `make bench`, each with its reason. A figure without a bound is only shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A lower or an upper limit."""

    limit: float
    reason: str
    is_floor: bool = False
    every_round: bool = False
    """Judge the worst round, not the median: for promises that hold every time."""

    @property
    def sense(self) -> str:
        """The comparison with the limit."""
        return ">=" if self.is_floor else "<="


BOUNDS: Mapping[str, Bound] = MappingProxyType(
    {
        "refusals, ratio by processor time": Bound(
            limit=0.9,
            is_floor=True,
            reason="a refusal with its whole decision may cost as much as bare HTTP with the C parser, and a tenth for noise",
        ),
        "listener alone, ratio by processor time": Bound(
            limit=2.0, is_floor=True, reason="half of the cost of bare HTTP is for the decision"
        ),
        "cycles of 100 groups, ratio": Bound(
            limit=0.5, is_floor=True, reason="a durable write may cost two bare commits, no more"
        ),
        "PostgreSQL, 100 groups, of pgbench": Bound(
            limit=0.5, is_floor=True, reason="a grant may cost two of the bare transactions of its database"
        ),
        "own reads per warm grant": Bound(
            limit=1, every_round=True, reason="a grant reads the asking node once, with the node's credentials"
        ),
        "reads per warm refusal": Bound(limit=0, every_round=True, reason="a refusal is answered from memory"),
        "p99 of a cold grant": Bound(limit=3000, reason="a question is answered within 3 s ([gateway] answer_seconds)"),
        "p99 of a warm grant": Bound(limit=3000, reason="a question is answered within 3 s ([gateway] answer_seconds)"),
        "p99 of a warm refusal": Bound(
            limit=3000, reason="a question is answered within 3 s ([gateway] answer_seconds)"
        ),
        "idle, feed reads per poll": Bound(limit=1, reason="one read of the feed per poll, for any number of groups"),
        "idle, other reads": Bound(limit=0, reason="idle groups cost nothing, because every read has a reason"),
        "hand-off": Bound(
            limit=5,
            every_round=True,
            reason="from `successful` in the Exchange to the free lease, at default settings",
        ),
    }
)

_SCALE: Mapping[str, Bound] = MappingProxyType(
    {
        "40000 nodes: processor per cycle, all held": Bound(
            limit=0.5, reason="a quarter of the time between two cycles"
        ),
        "40000 nodes: processor per cycle, rolling": Bound(
            limit=0.5, reason="no more than with all held; answers have a bound of their own"
        ),
        "40000 nodes: hand-off, p99": Bound(limit=5, reason="the same as with a single group, at default settings"),
        "40000 nodes: questions answered": Bound(
            limit=666, is_floor=True, reason="40,000 agents that ask once a minute are 667 questions a second"
        ),
        "40000 nodes: p99 of a question": Bound(limit=100, reason="a question does not wait for the cycle"),
        "40000 nodes: memory": Bound(
            limit=238, reason="250 MB: it fits next to an agbot and a database on the smallest hub"
        ),
        "40000 nodes: cold start to ready": Bound(limit=15, reason="a restart ends before an agent asks again"),
    }
)
_GROWTH = Bound(limit=1.05, reason="costs are proportional to the number of nodes; the rest is noise")
_GUARDED = Bound(
    limit=0.33,
    is_floor=True,
    reason="a claim may cost three of the bare ones: an agbot reads the Exchange before each, and so makes at most 200 a second",
)
_GUARDED_AMONG_MANY = Bound(
    limit=0.5, is_floor=True, reason="the agbot's own search in its table, which has no index, is most of the cost"
)
_NO_STALE_VIEW = Bound(limit=0, reason="the feed is read at its own pace, for any number of questions")


def bound_of(name: str) -> Bound | None:
    """Return the bound of a figure, if it has one."""
    if name.startswith("exponent, "):
        return _GROWTH
    if name.startswith("guard, "):
        return _GUARDED_AMONG_MANY if " 20000 rows" in name else _GUARDED
    if name.endswith(": first questions refused as view-stale"):
        return _NO_STALE_VIEW
    return BOUNDS.get(name) or _SCALE.get(name)
