"""Times have as many digits as Java's `Instant` writes: zeros at the end are left out in groups of three."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agbot.sim.exchange.stamp import Stamps, coarse
from tests.sim.plant import NODE, plant

SECOND = datetime(2026, 1, 21, 21, 39, 49, tzinfo=UTC)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "2026-01-21T21:39:49Z"),
        (500_000, "2026-01-21T21:39:49.500Z"),
        (123_450, "2026-01-21T21:39:49.123450Z"),
        (1, "2026-01-21T21:39:49.000001Z"),
    ],
)
def test_the_time_of_a_row_has_six_three_or_no_digits(micros: int, text: str) -> None:
    assert coarse(SECOND.replace(microsecond=micros)) == text


def test_now_and_then_a_time_with_nanoseconds_has_none() -> None:
    stamps = Stamps()
    written = [stamps.fine(SECOND.replace(microsecond=number)) for number in range(1, 200)]
    digits = {len(text.partition(".")[2]) - 1 for text in written}
    assert digits == {6, 9}


def test_times_rise_while_the_clock_stands_still() -> None:
    exchange = plant()
    times = []
    for _ in range(50):
        exchange.call("POST", "/orgs/o1/nodes/n1/heartbeat", caller=NODE)
        seconds, _, fraction = exchange.world.nodes["o1", "n1"].doc["lastHeartbeat"].rstrip("Z").partition(".")
        times.append((seconds, fraction.ljust(9, "0")))
    assert times == sorted(set(times))
