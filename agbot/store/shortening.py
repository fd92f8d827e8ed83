"""Making the SQLite store's journal shorter, a stretch in each transaction: a grant waits for one stretch at most, never for all of them.

Deleting gigabytes in one transaction takes minutes, and a write-ahead log as long as what is deleted. A stretch is as long as a few
hundredths of a second allow, on this disk and with entries of this size.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from agbot.store.contract import ENTRY_BYTES
from agbot.store.queries import QUERIES
from agbot.store.texts import Row, stamp

FIRST_STRETCH: Final = 64
LONGEST_STRETCH: Final = 2048
AIM_SECONDS: Final = 0.02
"""About what one sync of a slow disk takes: waiting for a stretch is waiting for one more writer."""
LONGEST_LOG_BYTES: Final = 64_000_000
"""While another program reads the store, a long backup for example, the write-ahead log cannot be moved into the file and only grows."""
MORE_THAN_ADDED: Final = 8
"""So many more entries than it adds a write may drop: those before may have been smaller than the new ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one stretch has done."""

    gone: int
    rest: Work | None
    """What is left to do; None: nothing."""


class Work(Protocol):
    """One long deletion, as far as it is not done yet. It never changes: a stretch whose transaction failed is done again."""

    def step(self, connection: sqlite3.Connection, stretch: int) -> Done:
        """Look at so many entries, and delete those of them that are to go."""


def next_stretch(stretch: int, took_seconds: float) -> int:
    """Return how long the next stretch may be, after one that took so long."""
    if took_seconds > 2 * AIM_SECONDS:
        return max(stretch // 2, 1)
    return min(stretch * 2, LONGEST_STRETCH) if took_seconds < AIM_SECONDS / 2 else stretch


@dataclass(frozen=True, slots=True)
class Pruning:
    """Deletes what is older than a date. Looks at every entry: after a clock that was wrong, an old one may stand behind newer ones."""

    before: str
    after: int = 0

    def step(self, connection: sqlite3.Connection, stretch: int) -> Done:
        """Look at the next entries, the oldest first."""
        row: Row = {"after": self.after, "stretch": stretch}
        window = connection.execute(QUERIES["journal.window"], row).fetchall()
        if not window:
            return Done(gone=0, rest=None)
        upto = window[-1]["id"]
        old = sum(found["at"] < self.before for found in window)
        if old:
            row = {"after": self.after, "upto": upto, "before": self.before}
            connection.execute(QUERIES["journal.prune"], row)
        return Done(gone=old, rest=None if len(window) < stretch else replace(self, after=upto))


@dataclass(frozen=True, slots=True)
class Trimming:
    """Deletes the oldest while all take more than a bound."""

    most_bytes: int

    def step(self, connection: sqlite3.Connection, stretch: int) -> Done:
        """Delete of the oldest entries as many as have no room."""
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


def forget_served(connection: sqlite3.Connection, before: datetime) -> None:
    """Delete marks of members that were served before this date: one per member at most, so never many."""
    connection.execute(QUERIES["served.prune"], {"before": stamp(before)})
