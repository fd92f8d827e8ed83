"""Looks at the file of a store as the daemon would meet it at its start. It changes nothing.

It judges with the code of the daemon. What only the daemon's own open can show, such as a damaged
page, is not looked for.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from agbot.store import migrations
from agbot.store.connection import ADVICE, unavailable
from agbot.store.contract import StoreSchemaError
from agbot.store.files import Files

_BYTES_OF_NEW: Final = 400_000
"""A new store takes 350,000 bytes with its log."""
_BYTES_OF_START: Final = 40_000
"""The index of the log and the mark, which every start writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found."""

    problem: str = ""
    """Why a daemon could not start with it; empty if it could."""
    next_step: str = ""
    """What to do about that."""
    depends_on_user: bool = False
    """Another user, such as that of the service, may be able to use it."""
    holder: str = ""
    """The process that uses it, as `process 12`; empty if none does."""
    exists: bool = True
    occupied: int = 0
    """How many leases are held or suspect, as far as that can be read without changing anything."""


def inspect(path: Path) -> Inspection:
    """Look at folder, disk, lock and schema of the store at `path`."""
    try:
        return _inspected(path)
    except PermissionError as error:
        return Inspection(problem=f"this user may not use {error.filename}", depends_on_user=True)
    except OSError as error:
        return Inspection(problem=f"cannot use {path}: {error.strerror}", next_step="set the path of a file")


def _inspected(path: Path) -> Inspection:
    file = path.resolve()
    found = file.stat() if file.exists() else None
    holder = "" if found is None else _holder(file)
    if holder:
        return Inspection(holder=holder)
    if file.is_dir():
        return Inspection(problem=f"{path} is a directory", next_step="set the path of a file in it")
    unusable = _of_folder(file.parent, _BYTES_OF_START if found and found.st_size else _BYTES_OF_NEW)
    if unusable.problem:
        return unusable
    if found is None or not found.st_size:
        return Inspection(exists=False)
    if not os.access(file, os.R_OK | os.W_OK):
        return Inspection(problem=f"this user may not read and write {path}", depends_on_user=True)
    return _of_content(path, file)


def _of_folder(folder: Path, needed_bytes: int) -> Inspection:
    if not folder.is_dir():
        why = "is not a directory" if folder.exists() else "does not exist"
        step = "create it, mount its disk, or set another path"
        return Inspection(problem=f"the folder {folder} {why}", next_step=step)
    disk = os.statvfs(folder)
    if disk.f_flag & os.ST_RDONLY:
        step = "mount it for writing, or set another path"
        return Inspection(problem=f"the disk of {folder} is mounted read-only", next_step=step)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Inspection(problem=f"this user may not write to the folder {folder}", depends_on_user=True)
    if disk.f_bavail * disk.f_frsize < needed_bytes:
        return Inspection(problem=f"the disk of {folder} is full", next_step=ADVICE["SQLITE_FULL"])
    return Inspection()


def _holder(file: Path) -> str:
    """Return who has the store's locks; empty if none has.

    A lock is taken to try, and given back at once.
    """
    beside = file.with_name(f"{file.name}.lock")
    for each in (beside, file):
        if not each.is_file():
            continue
        with each.open("rb") as opened:
            try:
                # shared, so that two doctors do not find each other
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                number = beside.read_text(encoding="ascii", errors="replace").strip() if beside.is_file() else ""
                return f"process {number}" if number else "another process"
    return ""


def _of_content(path: Path, file: Path) -> Inspection:
    """Look at the file and, after a kill, at its log."""
    # Without the index of the log, which a kill leaves beside it, SQLite would create files for
    # anything more than reading the main file as immutable. What is in the log is then judged at
    # the start only.
    files = Files(path)
    has_log = bool(files.log_stamp()[0])
    reads_log = has_log and os.access(files.shm, os.R_OK | os.W_OK)
    occupied = 0
    steps = migrations.shipped()
    try:
        uri = f"file:{quote(str(file))}?mode=ro{'' if reads_log else '&immutable=1'}"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            migrations.check_origin(connection, steps)
            if migrations.version_of(connection) == len(steps) and (reads_log or not has_log):
                migrations.check_complete(connection, steps)
                (occupied,) = connection.execute("SELECT count(*) FROM lease WHERE state != 'free'").fetchone()
    except sqlite3.Error as error:
        problem, step = unavailable("open", path, error).parted()
        return Inspection(problem=problem, next_step=step)
    except StoreSchemaError as error:
        problem, step = error.parted()
        return Inspection(problem=f"cannot use {path}: {problem}", next_step=step)
    return Inspection(occupied=occupied)
