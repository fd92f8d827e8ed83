"""Shortens a store's journal in batches, so that a grant waits for one at most.

Deleting gigabytes in one transaction would take minutes, and a write-ahead log of that size. The
size of a batch is adjusted to a few hundredths of a second on this disk. `in_batches` is for every
store, and the work below for SQLite.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from agbot.rules.seen_time import SeenTime
from agbot.store.contract import ENTRY_BYTES, Pace
from agbot.store.queries import QUERIES
from agbot.store.texts import Row, seen_stamp

_FIRST_STRETCH: Final = 64
LONGEST_STRETCH: Final = 2048
AIM_SECONDS: Final = 0.02
"""About one sync of a slow disk: waiting for a batch is like waiting for one more writer."""
LONGEST_LOG_BYTES: Final = 64_000_000
"""While another program reads the store, e.g. a long backup, the write-ahead log cannot be moved
into the file and grows."""
MORE_THAN_ADDED: Final = 8
"""How many more entries a write may drop than it adds: older ones may have been smaller."""


_Work = TypeVar("_Work")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result of one batch."""

    gone: int
    rest: Work | None
    """The rest of the work; None if there is none."""


class Work(Protocol):
    """The remaining part of a long deletion.

    It is immutable: a batch whose transaction failed is repeated.
    """

    def step(self, connection: sqlite3.Connection, stretch: int) -> Done:
        """Examine so many entries, and delete those that match."""


async def in_batches(
    work: _Work, batch: Callable[[_Work, int], Awaitable[tuple[int, _Work | None]]], pace: Pace
) -> int:
    """Do the work; return the number of deleted entries.

    `batch` examines so many entries, and returns how many it has deleted and the rest of the work.
    """
    loop, gone, stretch = asyncio.get_running_loop(), 0, _FIRST_STRETCH
    rest: _Work | None = work
    while rest is not None:
        began = loop.time()
        deleted, rest = await batch(rest, stretch)
        took_seconds = loop.time() - began
        gone += deleted
        if rest is not None and not await pace(took_seconds):
            break
        stretch = next_stretch(stretch, took_seconds)
    return gone


def next_stretch(stretch: int, took_seconds: float) -> int:
    """Return the size of the next batch, after one that took so many seconds."""
    if took_seconds > 2 * AIM_SECONDS:
        return max(stretch // 2, 1)
    return min(stretch * 2, LONGEST_STRETCH) if took_seconds < AIM_SECONDS / 2 else stretch


@dataclass(frozen=True, slots=True)
class Pruning:
    """Deletes entries older than a date.

    It examines all: after a wrong clock, an old one may come after newer ones.
    """

    before: str
    after: int = 0

    def step(self, connection: sqlite3.Connection, stretch: int) -> Done:
        """Examine the next entries, oldest first."""
        row: Row = {"after": self.after, "stretch": stretch}
        window = connection.execute(QUERIES["journal.window"], row).fetchall()
        if not window:
            return Done(gone=0, rest=None)
        upto = window[-1]["id"]
        # each entry is compared, and none ends the search: after a wrong clock an old one may come
        # after newer ones (decision 26)
        old = sum(found["at"] < self.before for found in window)
        if old:
            row = {"after": self.after, "upto": upto, "before": self.before}
            connection.execute(QUERIES["journal.prune"], row)
        return Done(gone=old, rest=None if len(window) < stretch else replace(self, after=upto))


@dataclass(frozen=True, slots=True)
class Trimming:
    """Deletes the oldest entries while all are larger than a limit."""

    most_bytes: int

    def step(self, connection: sqlite3.Connection, stretch: int) -> Done:
        """Delete as many of the oldest entries as exceed the limit."""
        too_much = connection.execute(QUERIES["journal.bytes"]).fetchone()["bytes"] - self.most_bytes
        if too_much <= 0:
            return Done(gone=0, rest=None)
        gone, upto = 0, 0
        for found in connection.execute(QUERIES["journal.oldest"], {"stretch": stretch}).fetchall():
            if too_much <= 0:
                break
            too_much -= found["bytes"] + ENTRY_BYTES
            upto, gone = found["id"], gone + 1
        connection.execute(QUERIES["journal.cut"], {"upto": upto})
        return Done(gone=gone, rest=None if too_much <= 0 or not gone else self)


def prune_turns(connection: sqlite3.Connection, before: SeenTime) -> None:
    """Delete older turns: at most one per member, so never many."""
    connection.execute(QUERIES["turn.prune"], {"before": seen_stamp(before)})
