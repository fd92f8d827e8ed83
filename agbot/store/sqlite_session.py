"""The work of the store's thread: one connection, its transactions, and their errors.

Several writes may share a transaction and so one sync of the disk. Each of them is still atomic: if
one fails, the transaction is rolled back and each is tried again in a transaction of its own. If
the commit fails, all of them fail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from agbot.store.connection import unavailable
from agbot.store.contract import StoreUnavailableError

T = TypeVar("T")
Connect = Callable[[], sqlite3.Connection]
Work = Callable[[sqlite3.Connection], T]


class Watch(Protocol):
    """Keeps the session on the files that were opened.

    Every method may raise `StoreUnavailableError`. See `keeping.Keeper`.
    """

    def check(self) -> None:
        """Check that the files are the ones that were opened."""

    def committing(self) -> None:
        """Note that a commit begins."""

    def committed(self, connection: sqlite3.Connection) -> None:
        """Note that a commit is done."""

    def mend(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return the connection to use."""

    def closed(self) -> None:
        """Note that the connection is closed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The error to raise in the caller's task, in place of a result."""

    error: Exception


class _WorkFailedError(Exception):
    """One part of a transaction raised; nothing has been committed."""


class SqliteSession:
    """One connection to one file. It belongs to one thread, except for its creation."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self._path = path
        self._watch = watch
        self._connection: sqlite3.Connection | None = None
        self.commits = 0
        """The number of committed transactions."""

    def connect(self, connect: Connect) -> None:
        """Connect."""
        self._connection = connect()

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._watch.closed()

    def read(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Run functions that only read; return a result or a `Failed` for each."""
        return [self._read_one(work) for work in works]

    def mend(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Repair what can be repaired, then read."""
        if self._connection is not None:
            try:
                self._connection = self._watch.mend(self._connection)
            except Exception as error:  # noqa: BLE001 - see write
                return [Failed(self._explain("go on with", error)) for _ in works]
        return self.read(works)

    def write(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Run functions in one transaction.

        Return a result or a `Failed` for each, after the commit.
        """
        try:
            return self._transact(works)
        except _WorkFailedError as failure:
            # one bad write must not fail those that happen to share its transaction
            if len(works) == 1:
                return [Failed(self._explain("write to", failure.__cause__))]
            return [outcome for work in works for outcome in self.write([work])]
        except Exception as error:  # noqa: BLE001 - every error goes to the callers, not into an unwatched thread
            return [Failed(self._explain("write to", error)) for _ in works]

    def _read_one(self, work: Work[Any]) -> Any:  # noqa: ANN401 - the queue knows which result belongs to which caller
        try:
            return work(self._present())
        except Exception as error:  # noqa: BLE001 - see write
            return Failed(self._explain("read from", error))

    def _transact(self, works: Sequence[Work[Any]]) -> list[Any]:
        connection = self._present()
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = _each(works, connection)
            self._watch.committing()
            connection.execute("COMMIT")
        finally:
            # after some errors (a full disk) SQLite has rolled back by itself, after others not
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self.commits += 1
        # raises if the commit went into a file that has no name any more: then no caller is
        # answered
        self._watch.committed(connection)
        return results

    def _present(self) -> sqlite3.Connection:
        """Return the connection, if its files are still in place."""
        if self._connection is None:
            message = f"the store {self._path} is not open"
            raise StoreUnavailableError(message)
        self._watch.check()
        return self._connection

    def _explain(self, tried: str, error: BaseException | None) -> Exception:
        if isinstance(error, sqlite3.Error):
            explained = unavailable(tried, self._path, error)
            explained.__cause__ = error
            return explained
        return error if isinstance(error, Exception) else StoreUnavailableError(f"could not {tried} {self._path}")


def _each(works: Sequence[Work[Any]], connection: sqlite3.Connection) -> list[Any]:
    try:
        return [work(connection) for work in works]
    except Exception as error:
        raise _WorkFailedError from error
