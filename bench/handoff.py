"""From `successful` in the Exchange to the free lease, at default settings, over real HTTP."""

from __future__ import annotations

import time
from pathlib import Path

from bench import load
from bench.figure import Figure, Unit
from bench.hub import Hub

_BETWEEN_SECONDS = 0.37
"""Out of step with the poll."""


def measure(folder: Path, *, upgrades: int) -> list[Figure]:
    """Measure a number of upgrades, one after the other, each in its own group."""
    took: list[float] = []
    with Hub(folder, groups=upgrades) as hub:
        load.drive(hub.gateway_port, hub.questions("a"), in_flight=4).expect(201)
        for group in hub.groups:
            hub.report(f"{group}a", "downloaded")
        time.sleep(3.0)
        for number, group in enumerate(hub.groups):
            time.sleep(_BETWEEN_SECONDS)
            held = upgrades - number
            hub.report(f"{group}a", "successful")
            took.append(hub.wait_until(lambda seen, held=held: seen["held"] < held))  # type: ignore[misc]  # a default binds the loop's value
    return [Figure(name="hand-off", unit=Unit.SECONDS, rounds=took, note=f"{upgrades} upgrades, default settings")]
