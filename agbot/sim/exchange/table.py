"""A table of the simulated Exchange with an index by organisation.

With 40,000 nodes in 1,000 organisations, a list of one organisation must not go through all others.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeVar

Key = tuple[str, str]
"""Organisation and id."""
Row = TypeVar("Row")


class Table(dict[Key, Row]):
    """Rows by key. Rows are only set, deleted and popped."""

    def __init__(self, rows: dict[Key, Row] | None = None) -> None:
        """Start with these rows."""
        super().__init__()
        self._of_org: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        for key, row in (rows or {}).items():
            self[key] = row

    def of_org(self, org: str) -> list[tuple[str, Row]]:
        """Return the rows of one organisation with their ids, in order of creation."""
        return list(self._of_org.get(org, {}).items())

    def __setitem__(self, key: Key, row: Row) -> None:
        """Add or replace a row."""
        super().__setitem__(key, row)
        self._of_org[key[0]][key[1]] = row

    def __delitem__(self, key: Key) -> None:
        """Delete a row."""
        super().__delitem__(key)
        del self._of_org[key[0]][key[1]]

    def pop(self, key: Key, *default: Any) -> Any:
        """Delete a row and return it."""
        self._of_org[key[0]].pop(key[1], None)
        return super().pop(key, *default)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the rows; the index follows from them."""
        return Table, (dict(self),)
