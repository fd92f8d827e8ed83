"""`python -m bench scale`: the daemon's cost at 400, 4,000 and 40,000 nodes, and its growth.

Every group of two has an upgrade under way; twenty groups are in an organisation. The other members
ask once as fast as they are answered, and then once a minute as agents do. The simulated Exchange
and the agents run in a separate process (`bench.fleet`). The daemon's processor time is judged,
because other programs disturb it less than elapsed time; delays are shown next to the lag of the
asking process.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.figure import Figure, Unit, percentile
from bench.fleet import ASK_SECONDS, NEW
from bench.scale_hub import ScaleHub

NODES = (400, 4000)
_SETTLE_SECONDS = 20.0
_QUIET_SECONDS = 100.0
"""Longer than the interval of heartbeats of 20,000 groups, so that each is read once or more."""
_ASK_SECONDS = 30.0
_ROLL_SECONDS = 40.0


@dataclass(slots=True)
class Size:
    """The figures at one number of nodes."""

    nodes: int
    figures: list[Figure] = field(default_factory=list)
    growing: dict[str, float] = field(default_factory=dict)
    """The figures that must not grow faster than the number of nodes."""
    notes: list[str] = field(default_factory=list)
    asked_share: float = 0.0
    """Of a core, while every waiter asks once a minute."""
    quiet_share: float = 0.0
    """Of a core, while all leases are held and no member asks."""

    def add(self, name: str, unit: Unit, value: float, *, grows: bool = True, note: str = "") -> None:
        """Add a figure; with `grows` its growth is judged too."""
        self.figures.append(Figure(name=f"{self.nodes} nodes: {name}", unit=unit, rounds=[value], note=note))
        if grows:
            self.growing[name] = value


def measure(folder: Path, nodes: int, *, profile: Path | None = None) -> Size:
    """Measure one number of nodes."""
    size, hub = Size(nodes), ScaleHub(folder, nodes, profile)
    with hub.fleet(), hub.daemon():
        seconds = hub.wait_until_ready()
        size.add("cold start to ready", Unit.SECONDS, seconds, note="every group read")
        size.add("processor of the cold start", Unit.SECONDS, hub.cpu_seconds)
        _grants(hub, size)
        _first_questions(hub, size)
        time.sleep(_SETTLE_SECONDS)
        _questions(hub, size)
        _quiet(hub, size)
        _rolling(hub, size)
        size.add("memory", Unit.MEBIBYTES, hub.memory_mebibytes)
        size.notes.append(
            f"Exchange and agents: {hub.fleet_cpu_seconds:.1f} s of processor; the daemon: {hub.cpu_seconds:.1f} s"
        )
    return size


def _grants(hub: ScaleHub, size: Size) -> None:
    with hub.usage() as used:
        asked = hub.command("ask_all", member="a", most=hub.granted)
    _count(size, "first questions of the holders", asked)
    size.add(
        "processor per cold grant",
        Unit.MICROSECONDS,
        1e6 * used.cpu_seconds / hub.granted,
        note=f"{hub.granted} grants, with the cycles meanwhile",
    )
    size.add("p99 of a cold grant", Unit.MILLISECONDS, 1000 * percentile(asked["latencies"], 0.99))
    stale = sum(number for refusal, number in asked["refusals"].items() if "view-stale" in refusal)
    size.add("first questions refused as view-stale", Unit.REQUESTS, stale, grows=False)


def _first_questions(hub: ScaleHub, size: Size) -> None:
    """Let every other member ask for the first time: its node is read, and it becomes a waiter."""
    with hub.usage() as used:
        asked = hub.command("ask_all", member="b", most=hub.groups)
    _count(size, "first questions of the waiters", asked)
    size.add(
        "processor per first refusal",
        Unit.MICROSECONDS,
        1e6 * used.cpu_seconds / hub.groups,
        note=f"{hub.groups / used.seconds:.0f}/s, with the cycles meanwhile",
    )
    size.add("p99 of a first refusal", Unit.MILLISECONDS, 1000 * percentile(asked["latencies"], 0.99))


def _questions(hub: ScaleHub, size: Size) -> None:
    per_second = hub.nodes / ASK_SECONDS
    with hub.usage() as used:
        asked = hub.command("ask_evenly", member="b", seconds=_ASK_SECONDS, per_second=per_second)
    answered = len(asked["latencies"])
    size.add(
        "questions answered",
        Unit.PER_SECOND,
        answered / asked["seconds"],
        grows=False,
        note=f"asked {per_second:.1f}/s",
    )
    _delays(size, asked)
    _count(size, "questions", asked)
    size.asked_share = used.cpu_seconds / used.seconds
    size.add("processor while asked", Unit.SHARE, size.asked_share)


def _delays(size: Size, asked: dict[str, Any]) -> None:
    lag = 1000 * percentile(asked["lags"], 0.99)
    for share in (0.5, 0.99):
        value = 1000 * percentile(asked["latencies"], share)
        size.add(
            f"p{100 * share:.0f} of a question",
            Unit.MILLISECONDS,
            value,
            note=f"p99 of the asking process's own lag: {lag:.1f} ms",
        )


def _quiet(hub: ScaleHub, size: Size) -> None:
    before = Counter(hub.command("requests"))
    with hub.usage() as used:
        time.sleep(_QUIET_SECONDS)
    reads = Counter(hub.command("requests")) - before
    size.quiet_share = used.cpu_seconds / used.seconds
    size.add(
        "processor per cycle, all held",
        Unit.SECONDS,
        used.cpu_seconds / max(used.cycles, 1),
        note=f"{used.cycles:.0f} cycles",
    )
    size.add("reads per second, all held", Unit.PER_SECOND, reads.total() / used.seconds)
    size.notes.append(f"reads while all are held: {dict(reads.most_common(6))}")


def _rolling(hub: ScaleHub, size: Size) -> None:
    with hub.usage() as used:
        asked = hub.command("roll", seconds=_ROLL_SECONDS, per_second=hub.nodes / ASK_SECONDS)
    _count(size, "questions while rolling", asked)
    cycles = max(used.cycles, 1)
    answers = max(size.asked_share - size.quiet_share, 0.0) * used.seconds
    size.add(
        "processor per cycle, rolling",
        Unit.SECONDS,
        (used.cpu_seconds - answers) / cycles,
        note=f"{used.cycles:.0f} cycles; with the answers {used.cpu_seconds / cycles:.3f}",
    )
    took = hub.hand_offs()
    size.add(
        "hand-off, p50", Unit.SECONDS, percentile(took, 0.5), note=f"{len(took)} upgrades ended with version {NEW}"
    )
    size.add("hand-off, p99", Unit.SECONDS, percentile(took, 0.99))


def _count(size: Size, what: str, asked: dict[str, Any]) -> None:
    refusals = ", ".join(f"{number} {code}" for code, number in asked["refusals"].items())
    unanswered = sum(asked["failures"].values())
    failures = f"; {unanswered} without an answer: {asked['failures']}" if unanswered else ""
    size.notes.append(f"{what}: {asked['statuses']}; refused: {refusals or 'none'}{failures}")


def exponents(smaller: Size, larger: Size) -> list[Figure]:
    """Return the exponents of growth with the number of nodes: 1 is proportional, 0 is none."""
    ratio = math.log(larger.nodes / smaller.nodes)
    return [
        Figure(
            name=f"exponent, {smaller.nodes} to {larger.nodes} nodes: {name}",
            unit=Unit.EXPONENT,
            rounds=[math.log(larger.growing[name] / value) / ratio],
        )
        for name, value in smaller.growing.items()
        if value > 0 and larger.growing[name] > 0
    ]


def run(
    folder: Path, nodes: Sequence[int], *, profile: Path | None = None
) -> Iterator[tuple[str, list[Figure], list[str]]]:
    """Measure one number of nodes after the other; yield titles, figures and notes as they come."""
    sizes: list[Size] = []
    for number in sorted(nodes):
        at = folder / f"{number}-nodes"
        at.mkdir()
        size = measure(at, number, profile=profile)
        yield f"{number} nodes", size.figures, size.notes
        sizes.append(size)
    for smaller, larger in pairwise(sizes):
        yield f"growth from {smaller.nodes} to {larger.nodes} nodes", exponents(smaller, larger), []
