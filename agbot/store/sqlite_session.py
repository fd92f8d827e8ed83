"""What happens in the store's thread: one connection, transactions on it, and the words for what went wrong.

Several writes may share a transaction and with it one sync of the disk. Each still is all or nothing by itself: when one of them fails,
the transaction is rolled back and every one is tried again in a transaction of its own. When the commit fails, all of them are told so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agbot.store.connection import unavailable
from agbot.store.contract import StoreUnavailableError

T = TypeVar("T")
Connect = Callable[[], sqlite3.Connection]
Work = Callable[[sqlite3.Connection], T]


@dataclass(frozen=True, slots=True)
class Failed:
    """In place of a result: what to raise in the caller's task."""

    error: Exception


class _WorkFailedError(Exception):
    """One of the works of a transaction raised; nothing has been committed."""


class SqliteSession:
    """One connection to one file. Belongs to one thread, but for the making of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self.commits = 0
        """How many transactions have been committed."""

    def connect(self, connect: Connect) -> None:
        """Connect, and remember which file that is."""
        self._connection = connect()
        self._identity = self._identify()

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def read(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Run works that only read; a result or a `Failed` for each."""
        return [self._read_one(work) for work in works]

    def write(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Run works in one transaction; a result or a `Failed` for each, after the commit."""
        try:
            return self._transact(works)
        except _WorkFailedError as failure:
            if len(works) == 1:
                return [Failed(self._explain("write to", failure.__cause__))]
            return [outcome for work in works for outcome in self.write([work])]
        except Exception as error:  # noqa: BLE001 - whatever it was goes to the callers, not into a thread that nobody watches
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
            connection.execute("COMMIT")
        finally:
            # SQLite has rolled back by itself after some errors (a full disk), not after others
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self.commits += 1
        return results

    def _present(self) -> sqlite3.Connection:
        """Return the connection, if its file still is where it was: a commit to a file that was removed is lost at the next start."""
        if self._connection is None or self._identify() != self._identity:
            message = f"{self._path} has been moved, removed or replaced under the running daemon; put it back, or restart the daemon"
            raise StoreUnavailableError(message)
        return self._connection

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

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
