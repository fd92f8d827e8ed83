"""Opens the store's file with durable settings, and checks it before the first write.

WAL with `synchronous=FULL` syncs the log at every commit: a commit that has returned survives a
power failure. `isolation_level=None` keeps the driver from beginning transactions by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from agbot.store import migrations
from agbot.store.contract import StoreSchemaError, StoreUnavailableError

_OLDEST_SQLITE = (3, 35, 0)
"""The first version with RETURNING, and the oldest that is tested (Debian 12 has 3.40, RHEL 9 has
3.34)."""

ADVICE: Final[Mapping[str, str]] = {
    "SQLITE_FULL": "free space on its disk",
    "SQLITE_IOERR": "look for errors of its disk in the kernel's log",
    "SQLITE_READONLY": "make the file and its directory writable for this user",
    "SQLITE_PERM": "make the file and its directory writable for this user",
    "SQLITE_CANTOPEN": "the directory must exist and be writable for this user",
    "SQLITE_BUSY": "another program has it locked, perhaps an sqlite3 shell; close it",
    "SQLITE_LOCKED": "another program has it locked, perhaps an sqlite3 shell; close it",
    "SQLITE_CORRUPT": "the file is damaged: stop the daemon and restore it from a backup",
    "SQLITE_NOTADB": "the file is damaged or no database: stop the daemon and restore it from a backup",
}


def unavailable(
    tried: str, path: Path, error: sqlite3.Error, advice: Mapping[str, str] = ADVICE
) -> StoreUnavailableError:
    """Return an error that states what was tried, what came back and what to do."""
    name = getattr(error, "sqlite_errorname", "")  # the driver's own errors have none
    family = "_".join(name.split("_")[:2])
    step = advice.get(family) or ADVICE.get(family, "see the message of SQLite")
    return StoreUnavailableError(f"could not {tried} {path}: {name or type(error).__name__}, {error}; {step}")


def _ignore(_doing: str) -> None:
    """Ignore the progress."""


def connect(
    path: Path, busy_seconds: float, steps: Sequence[migrations.Step], report: Callable[[str], None] = _ignore
) -> sqlite3.Connection:
    """Open, check and migrate the file, and report each step: they take time for a large file.

    The connection belongs to the calling thread.

    Raises:
        StoreSchemaError: the schema is newer than this program, damaged, or another program's.
        StoreUnavailableError: the file cannot be opened or is damaged.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        message = f"the store needs SQLite 3.35 or newer, this Python has {sqlite3.sqlite_version}"
        raise StoreUnavailableError(message)
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
        _prepare(connection, path, steps, report)
    except sqlite3.Error as error:
        _close(connection)
        raise unavailable("open", path, error) from error
    except StoreSchemaError as error:
        _close(connection)
        message = f"cannot use {path}: {error}"
        raise StoreSchemaError(message) from error
    except StoreUnavailableError:
        _close(connection)
        raise
    connection.row_factory = sqlite3.Row
    return connection


def _prepare(
    connection: sqlite3.Connection, path: Path, steps: Sequence[migrations.Step], report: Callable[[str], None]
) -> None:
    report("reading its write-ahead log")
    migrations.check_origin(connection, steps)  # before the first write, which the next line may be
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        message = f"could not open {path} with a write-ahead log: its file system allows {mode!r} only; a store needs a local file system"
        raise StoreUnavailableError(message)
    connection.execute("PRAGMA synchronous = FULL")
    report("checking its integrity")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        message = f"could not open {path}: {verdict}; {ADVICE['SQLITE_CORRUPT']}"
        raise StoreUnavailableError(message)
    report(f"migrating its schema from version {migrations.version_of(connection)} to {len(steps)}")
    migrations.migrate(connection, steps)
    migrations.check_complete(connection, steps)


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()
