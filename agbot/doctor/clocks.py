"""Compares another machine's clock with ours."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from agbot.doctor.finding import Finding, ok, warning

CHECK: Final = "clocks"
_TOLERANCE_SECONDS: Final = 2.0


def against_ours(whose: str, theirs: datetime, sent_at: datetime, received_at: datetime) -> Finding:
    """Compare a time that was read between these two moments of our clock."""
    half_way = (received_at - sent_at) / 2
    ahead = (theirs - sent_at - half_way).total_seconds()
    # it may have been read at the begin or at the end of a slow answer, so that shows less
    within = _TOLERANCE_SECONDS + max(half_way.total_seconds(), 0.0)
    if abs(ahead) < within:
        return ok(CHECK, f"{whose} agrees with ours within {within:.0f} s")
    way = "ahead of" if ahead > 0 else "behind"
    next_step = "let both machines follow NTP (timedatectl)"
    return warning(CHECK, f"{whose} is {abs(ahead):.0f} s {way} ours", next_step=next_step)
