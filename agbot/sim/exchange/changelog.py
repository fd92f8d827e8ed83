"""The Exchange's change log: one global sequence of rows, each kept for four hours.

Rows are appended at the end and removed at the front. Which caller may see which row is decided in
`changes`, not here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

KEPT = timedelta(seconds=14400)
"""How long a row is kept (`api.resourceChanges.ttl`)."""

PURGE_EVERY = timedelta(seconds=3600)
"""How often old rows are removed: a row may be an hour older than `KEPT`."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One row. Callers of every organisation see `public` rows."""

    change_id: int
    at: datetime
    org: str
    id: str
    resource: str
    operation: str
    public: bool = False


class ChangeLog:
    """The rows and the sequence that numbers them.

    A write that is rolled back uses up numbers without leaving rows.
    """

    def __init__(self) -> None:
        """Start empty; the database sequence is then at 1."""
        self._rows: list[ChangeRow] = []
        self._next = 1
        self._purged_at: datetime | None = None

    @property
    def last_id(self) -> int:
        """Return the sequence's last value, 1 if nothing was ever written."""
        return max(1, self._next - 1)

    def __len__(self) -> int:
        """Return the number of rows that are kept."""
        return len(self._rows)

    def append(self, at: datetime, key: tuple[str, str], resource: str, operation: str, *, public: bool) -> None:
        """Add one row about a resource, given by its organisation and id."""
        self._rows.append(ChangeRow(self._next, at, *key, resource, operation, public))
        self._next += 1

    def burn(self, count: int) -> None:
        """Use up ids, as a rolled-back transaction does."""
        self._next += count

    def purge(self, now: datetime) -> None:
        """Remove the rows older than four hours, at most once an hour."""
        if self._purged_at is None:
            self._purged_at = now
        if now - self._purged_at < PURGE_EVERY:
            return
        self._purged_at = now
        self._rows = [row for row in self._rows if row.at >= now - KEPT]

    def from_id(
        self, change_id: int, overlap: timedelta, *, last_id: int, is_there: Callable[[ChangeRow], bool]
    ) -> Iterator[ChangeRow]:
        """Yield the rows from an id to `last_id`, both included, in order of ids.

        If the row with exactly that id exists and its transaction has ended, the rows that are
        younger than its time minus `overlap` are included, although their ids are lower. By design,
        clients see rows twice.
        """
        start = bisect_left(self._rows, change_id, key=lambda row: row.change_id)
        row = self._rows[start] if start < len(self._rows) else None
        if row is not None and row.change_id == change_id <= last_id and is_there(row):
            oldest = self._rows[start].at - overlap
            while start > 0 and self._rows[start - 1].at >= oldest:
                start -= 1
        yield from self._until(start, last_id)

    def since(self, moment: datetime, *, last_id: int) -> Iterator[ChangeRow]:
        """Yield the rows that are not older than a moment, in order of ids, up to `last_id`."""
        return (row for row in self._until(0, last_id) if row.at >= moment)

    def _until(self, start: int, last_id: int) -> Iterator[ChangeRow]:
        for index in range(start, len(self._rows)):
            if self._rows[index].change_id > last_id:
                return
            yield self._rows[index]
