"""What happened in one run, line by line, and the promise that was broken, if one was.

The story is the run's identity: two runs of one seed report the same story, which is what its
digest is compared for.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

HUB = ""
"""In place of a group: what concerns all of them."""

_LAST = 40


class Promise(StrEnum):
    """DESIGN, section 2, and what the simulation adds to it."""

    ONE_HOLDER = "P1 one member at a time"
    OWN_TOKEN = "P2 a lease is released by its own token only"
    UNKNOWN_IS_NOT_DONE = "P3 unknown is never done"
    NO_TRUST_NO_GRANT = "P4 nothing is granted on what cannot be trusted"
    NOTHING_FOR_EVER = "P5 no lease stays for ever"
    OFFLINE_PEERS = "P6 an offline peer never blocks the upgrade of a service"
    REASONS = "P7 every waiter knows why it waits"
    CONTROLS = "controls: nothing begins that a window, a hold, the pace, a canary or a missing approval speaks against"
    WORDS = "words: nothing is said of a node or a release that it did not do, and what failed reaches nobody else"
    SERVED = "liveness: who wants an upgrade gets it"
    NO_BUGS = "no question and no cycle ends in a traceback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One broken promise; `tail` is what happened in the group before."""

    promise: Promise
    group: str
    text: str
    tail: tuple[str, ...]

    def __str__(self) -> str:
        """Report it as a person reads it."""
        lines = "\n".join(f"    {line}" for line in self.tail)
        return f"{self.promise}\n  {self.group or 'hub'}: {self.text}\n  the last events there:\n{lines}"


class Story:
    """Lines in order, each with the loop's time and the group it concerns."""

    def __init__(self, *, is_reported_aloud: bool = False) -> None:
        self._lines: list[tuple[str, str]] = []
        self._is_reported_aloud = is_reported_aloud
        self.broken: Broken | None = None
        self.ended = asyncio.Event()

    def report(self, group: str, text: str) -> None:
        """Write one line."""
        line = f"{stamp(asyncio.get_running_loop().time())} {group}: {text}" if group else f"{_now()} {text}"
        self._lines.append((group, line))
        if self._is_reported_aloud:
            print(line)  # noqa: T201 - a replay is read on the terminal

    def broke(self, promise: Promise, group: str, text: str) -> None:
        """Write down a broken promise; the first one ends the run."""
        self.report(group, f"BROKEN {promise}: {text}")
        if self.broken is None:
            tail = [line for about, line in self._lines if about in {group, HUB}][-_LAST:]
            self.broken = Broken(promise=promise, group=group, text=text, tail=tuple(tail))
            self.ended.set()

    def digest(self) -> str:
        """Return a hash of everything reported."""
        return hashlib.sha256("\n".join(line for _, line in self._lines).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._lines)


def stamp(seconds: float) -> str:
    """Write a time of the virtual loop."""
    whole = str(timedelta(seconds=int(seconds)))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}"


def _now() -> str:
    return stamp(asyncio.get_running_loop().time())
