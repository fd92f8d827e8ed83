"""Backup and restore of a store file: `agbot store backup`, `restore` and `restored`.

A backup is one complete file, copied through SQLite from a store that may be in use. It is marked
as a copy, so that a daemon which finds it in place of its store begins a new generation. A restore
replaces the store atomically by a checked copy and keeps the previous one beside it. A kill in the
middle leaves the old store, the new one, or an empty one that its mark reveals.
"""

from __future__ import annotations

import glob
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Final

from agbot.store import generation, migrations
from agbot.store.connection import ADVICE, connect, unavailable
from agbot.store.contract import StoreSchemaError, StoreTakenError, StoreUnavailableError
from agbot.store.filelock import FileLock
from agbot.store.files import Files, sync
from agbot.store.keeping import Keeper

# a person waits for it; the daemon gives up after one second, because a question waits
_BUSY_SECONDS = 5.0
_KEPT = "before-restore"
"""Suffix of the previous store, which stays beside the restored one. A number follows from the
second restore on."""
_OF_BACKUPS: Final = dict.fromkeys(
    ("SQLITE_CORRUPT", "SQLITE_NOTADB"), "it is damaged or no backup of a lease store: name another one"
)


def back_up(store: Path, copy: Path, doubt: str) -> None:
    """Copy a store, in use or not, into one new file.

    `doubt` is the reason that a daemon gives which finds the copy in place of its store.

    Raises:
        StoreTakenError: the copy exists already.
        StoreUnavailableError: there is no such store, or reading or writing failed.
        StoreSchemaError: it is not a store of this program.
    """
    if copy.exists():
        message = f"{copy} exists already; name a file that does not, or remove that one"
        raise StoreTakenError(message)
    if not copy.resolve().parent.is_dir():
        message = f"{copy.parent} is not a directory; create it, or name another one"
        raise StoreUnavailableError(message)
    refuse_missing(store)
    _copy(store, copy, doubt)


def restore(store: Path, copy: Path, doubt: str) -> Path | None:
    """Replace the store by a checked copy.

    Return where the previous store is kept, None if there was none.

    Raises:
        StoreLockedError: a daemon uses the store.
        StoreUnavailableError: the copy is damaged or missing, or a file could not be written or
            moved.
        StoreSchemaError: the copy is not a store, or is of a newer program.
    """
    files = Files(store)
    if copy.exists() and files.main.exists() and copy.samefile(files.main):
        message = f"{copy} is the store itself; name the file of a backup"
        raise StoreUnavailableError(message)
    new = files.main.with_name(f"{files.main.name}.restoring")
    had_one = files.main.exists()
    with locked(store):
        new.unlink(missing_ok=True)
        _copy(copy, new, doubt, _OF_BACKUPS)
        kept = _free_name(files.main)
        try:
            _move_into_place(files, new, kept if had_one else None)
        except OSError as error:
            message = f"could not put {new} in place of {files.main}: {error.strerror}"
            raise StoreUnavailableError(message) from error
    return kept if had_one else None


def declare_restored(store: Path, doubt: str) -> None:
    """Begin a new generation at the next start: the store was restored, e.g. from a snapshot.

    Raises:
        StoreLockedError: a daemon uses the store.
        StoreUnavailableError: there is none, or it could not be written.
        StoreSchemaError: it is not a store of this program.
    """
    refuse_missing(store)
    with locked(store):
        keeper = keeper_of(store)
        with closing(keeper.connect()) as connection:
            generation.begin(connection, doubt, keeper.generation.token_floor)
        keeper.closed()


def refuse_missing(store: Path) -> None:
    """Refuse to work on a store that does not exist.

    Raises:
        StoreUnavailableError: there is no such file.
    """
    if not store.is_file():
        message = f"there is no store at {store}; correct [store] path"
        raise StoreUnavailableError(message)


def _move_into_place(files: Files, new: Path, kept: Path | None) -> None:
    """Keep the old file with its log, and put the new one in place."""
    # In this order, because a kill may come after any step: beside the new file, the old log would
    # be applied to it, and its index belongs to no other log.
    files.shm.unlink(missing_ok=True)
    if kept is None:
        files.wal.unlink(missing_ok=True)
    else:
        if files.wal.exists():
            files.wal.replace(_log_of(kept))
        files.main.replace(kept)
    new.replace(files.main)
    sync(files.main.parent)


def _free_name(main: Path) -> Path:
    """Return a name to keep the store under."""
    # Not that of an earlier restore: whoever restores the wrong backup first, and then the right
    # one, may need the very first store.
    first = main.with_name(f"{main.name}.{_KEPT}")
    names = chain([first], (first.with_name(f"{first.name}-{number}") for number in count(2)))
    return next(each for each in names if not any(map(os.path.lexists, (each, _log_of(each)))))


def _log_of(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}-wal")


def _copy(source: Path, target: Path, doubt: str, advice: Mapping[str, str] = ADVICE) -> None:
    """Copy through SQLite, check the result and mark it as a copy.

    The target appears complete or not at all.
    """
    part = target.with_name(f"{target.name}.part")
    if not source.is_file():
        message = f"{source} is missing or not a file; name the file of a backup"
        raise StoreUnavailableError(message)
    try:
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(_read_only(source), uri=True)) as read:
            migrations.check_origin(read, migrations.shipped())
            with closing(sqlite3.connect(part, isolation_level=None)) as written:
                read.backup(written)
                # in WAL mode a file is complete only with its log, of which whoever copies a backup
                # knows nothing
                written.execute("PRAGMA journal_mode = DELETE")
        _mark_as_copy(part, doubt)
        sync(part)
        part.replace(target)
        sync(target.parent)
    except sqlite3.Error as error:
        raise unavailable("copy", source, error, advice) from error
    except OSError as error:
        message = f"could not write {target}: {error.strerror}; free space on its disk, and make its directory writable"
        raise StoreUnavailableError(message) from error
    finally:
        part.unlink(missing_ok=True)


def _read_only(source: Path) -> str:
    """Return a URI for reading, also on a medium where SQLite cannot create files."""
    has_log = source.with_name(f"{source.name}-wal").exists()
    is_fixed = not has_log and not os.access(source.parent, os.W_OK)
    return f"{source.resolve().as_uri()}?{'immutable=1' if is_fixed else 'mode=ro'}"


def _mark_as_copy(path: Path, doubt: str) -> None:
    """Check a whole file, migrate it, and mark it so that a new generation begins with it."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            steps = migrations.shipped()
            migrations.check_origin(connection, steps)
            if migrations.version_of(connection) == 0:
                message = f"{path} is empty and not a lease store"
                raise StoreSchemaError(message)
            # not the quick one of a start: a backup is checked once, and may be needed a year later
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                message = f"{path} is damaged: {verdict}; use another backup"
                raise StoreUnavailableError(message)
            migrations.migrate(connection, steps)
            migrations.check_complete(connection, steps)
            generation.begin(connection, doubt, generation.highest_known(connection, generation.read(connection)))
    except sqlite3.Error as error:
        raise unavailable("read", path, error) from error


def keeper_of(store: Path) -> Keeper:
    """Return the keeper of a file that is locked here, for a while."""
    return Keeper(store, partial(connect, store, _BUSY_SECONDS, migrations.shipped()))


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Lock a store, and give its files to the owner of its folder, if that is not root.

    Raises:
        StoreLockedError: one of them uses it.
    """
    lock = FileLock(store)
    lock.take()
    try:
        yield
    finally:
        _give_away(Files(store).main)
        lock.give_back()


def _give_away(main: Path) -> None:
    """Give files that root has created to the daemon's user, which systemd does not do."""
    folder = main.parent.stat()
    if os.geteuid() == 0 and folder.st_uid != 0:
        for each in main.parent.glob(f"{glob.escape(main.name)}*"):
            # a link itself and not its target, which may be any file of root's
            os.chown(each, folder.st_uid, folder.st_gid, follow_symlinks=False)
