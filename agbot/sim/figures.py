"""Statistics of durations: count, median and 99th percentile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Summary = Mapping[str, float | int | None]
"""`count`, `p50` and `p99`. The last two are None if there are no durations."""


def summary(seconds: Sequence[float]) -> Summary:
    """Return the count, the median and the 99th percentile (nearest rank) of durations."""
    ranked = sorted(seconds)
    if not ranked:
        return {"count": 0, "p50": None, "p99": None}
    return {
        "count": len(ranked),
        "p50": round(ranked[(len(ranked) - 1) // 2], 3),
        "p99": round(ranked[-(-99 * len(ranked) // 100) - 1], 3),
    }
