"""Shortens the journal on PostgreSQL in batches, so that a grant waits for one at most.

The statements that SQLite's `agbot.store.shortening` makes, as parts of fenced ones, with the size
of the journal kept in the same transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from agbot.store.contract import ENTRY_BYTES
from agbot.store.postgres.quoting import filled

Read = Callable[[str], Awaitable[list[dict[str, Any]]]]

_GONE: Final = "RETURNING octet_length(facts) AS size"
_LESS: Final = (
    f"UPDATE journal_end SET bytes = bytes - (SELECT coalesce(sum(size + {ENTRY_BYTES}), 0) FROM part_0) FROM done"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The parts of one statement, how many entries it deletes, and the rest of the work."""

    parts: tuple[str, ...] = ()
    gone: int = 0
    rest: Work | None = None


class Work(Protocol):
    """The remaining part of a long deletion."""

    async def next(self, read: Read, stretch: int) -> Batch:
        """Examine so many entries, and say what to delete of them."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """Deletes entries older than a date; it examines all, oldest first."""

    before: str
    after: int = 0

    async def next(self, read: Read, stretch: int) -> Batch:
        """Examine the next entries."""
        window = await read(
            filled(
                "SELECT id, at FROM journal WHERE id > :after ORDER BY id LIMIT :stretch",
                {"after": self.after, "stretch": stretch},
            )
        )
        if not window:
            return Batch()
        upto, old = window[-1]["id"], sum(row["at"] < self.before for row in window)
        rest = None if len(window) < stretch else replace(self, after=upto)
        row: dict[str, str | int | None] = {"after": self.after, "upto": upto, "before": self.before}
        delete = filled("DELETE FROM journal USING done WHERE id > :after AND id <= :upto AND at < :before", row)
        return Batch(parts=(f"{delete} {_GONE}", _LESS) if old else (), gone=old, rest=rest)


@dataclass(frozen=True, slots=True)
class Trimming:
    """Deletes the oldest entries while all are larger than a limit."""

    most_bytes: int

    async def next(self, read: Read, stretch: int) -> Batch:
        """Choose as many of the oldest entries as exceed the limit."""
        too_much = (await read("SELECT bytes FROM journal_end"))[0]["bytes"] - self.most_bytes
        if too_much <= 0:
            return Batch()
        gone, upto = 0, 0
        oldest = "SELECT id, octet_length(facts) AS size FROM journal ORDER BY id LIMIT :stretch"
        for row in await read(filled(oldest, {"stretch": stretch})):
            if too_much <= 0:
                break
            too_much -= row["size"] + ENTRY_BYTES
            upto, gone = row["id"], gone + 1
        delete = filled("DELETE FROM journal USING done WHERE id <= :upto", {"upto": upto})
        rest = None if too_much <= 0 or not gone else self
        return Batch(parts=(f"{delete} {_GONE}", _LESS) if gone else (), gone=gone, rest=rest)
