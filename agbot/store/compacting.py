"""Compaction: returns the space of deleted entries to the disk (`agbot store compact`).

SQLite keeps the pages of deleted rows and reuses them. Compaction writes the content into a new
file and replaces the old one atomically, under the store's lock. The generation stays the same: the
leases are current, so nothing is in doubt afterwards.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agbot.store import generation, migrations
from agbot.store.connection import unavailable
from agbot.store.contract import StoreUnavailableError
from agbot.store.copies import keeper_of, locked, refuse_missing
from agbot.store.files import Files, sync

_SPARE: Final = 1.05
"""The pages of a new file are filled slightly differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The size of the file before and after, in bytes."""

    before: int
    after: int


def compact(store: Path) -> Sizes:
    """Shrink the file of a store that is not in use to its content.

    Raises:
        StoreLockedError: a daemon uses the store.
        StoreUnavailableError: there is none, there is too little free space, or reading or writing
            failed; it is unchanged.
        StoreSchemaError: it is not a store of this program.
    """
    refuse_missing(store)
    files = Files(store)
    new = files.main.with_name(f"{files.main.name}.compacting")
    with locked(store):
        keeper = keeper_of(store)
        try:
            with closing(keeper.connect()) as connection:
                before = files.main.stat().st_size
                _refuse_without_room(connection, files.main.parent)
                _write_again(connection, new)
            _put_in_place(files, new)
            return Sizes(before=before, after=files.main.stat().st_size)
        except sqlite3.Error as error:
            raise unavailable("compact", store, error) from error
        except OSError as error:
            message = f"could not put {new} in place of {files.main}: {error.strerror}"
            raise StoreUnavailableError(message) from error
        finally:
            new.unlink(missing_ok=True)
            keeper.closed()


def _refuse_without_room(connection: sqlite3.Connection, folder: Path) -> None:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    needed, there = int((pages - free) * size * _SPARE), shutil.disk_usage(folder).free
    if there < needed:
        message = (
            f"compacting needs {needed / 1e6:.1f} MB beside the store, and {folder} has {there / 1e6:.1f} MB free; free space there,"
            " or lower [store] journal_days or journal_megabytes first, and run the daemon until old events are deleted"
        )
        raise StoreUnavailableError(message)


def _write_again(connection: sqlite3.Connection, new: Path) -> None:
    """Write the content into the new file, and verify what identifies a store."""
    new.unlink(missing_ok=True)  # of a compaction that was killed; VACUUM INTO refuses a file that exists
    connection.execute("VACUUM INTO ?", (str(new),))
    with closing(sqlite3.connect(new, isolation_level=None)) as written:
        (verdict,) = written.execute("PRAGMA quick_check(1)").fetchone()
        same = all(
            identify(connection) == identify(written)
            for identify in (generation.read, generation.last_entry, generation.highest_token, migrations.version_of)
        )
    if verdict != "ok" or not same:
        message = f"the content of {new} differs from the store's ({verdict}); look for errors of the disk"
        raise StoreUnavailableError(message)


def _put_in_place(files: Files, new: Path) -> None:
    """Replace the closed file; its log is gone, unless another program reads it."""
    if files.wal.exists():
        message = f"another program has {files.main} open, perhaps an sqlite3 shell or a backup; close it"
        raise StoreUnavailableError(message)
    # SQLite has created it by the umask of whoever typed the command
    new.chmod(files.main.stat().st_mode & 0o777)
    sync(new)
    new.replace(files.main)
    sync(files.main.parent)
