"""Detects that the open files are not those at the store's path any more.

SQLite continues to write to a log that has been removed and to a main file that has been replaced:
every commit succeeds, and is lost at the end of the process. So the names are compared with the
open files around every commit. The main file may change only during a commit of ours (SQLite then
moves its log into it): any other change comes from another program, such as a copy over it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_Identity = tuple[int, int]
_LOG_HEADER_BYTES = 32
_MOVED_AT_BYTES = 1000 * 4096
"""SQLite's default: a log of a thousand pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with the files."""

    text: str
    is_curable: bool = False
    """Nothing is lost yet: the content of the removed file can still be moved into the main
    file."""


def sizes(path: Path) -> dict[str, float]:
    """Return the sizes in bytes of the store's files: `main`, and `log` for its write-ahead log."""
    files = Files(path)
    found = {"main": _stat(files.main), "log": _stat(files.wal)}
    return {name: each.st_size for name, each in found.items() if each is not None}


class Files:
    """The files of one store: the main file, its write-ahead log and the log's index."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.main = path.resolve()
        self.wal = self.main.with_name(f"{self.main.name}-wal")
        self.shm = self.main.with_name(f"{self.main.name}-shm")
        self._main_identity: _Identity | None = None
        self._written: tuple[int, int] = (0, 0)
        self._others: dict[Path, _Identity | None] = {}
        self._log_bytes = 0

    def note(self) -> None:
        """Record the files when SQLite has just opened them."""
        found = self._path.stat()
        self._main_identity = (found.st_dev, found.st_ino)
        self._others = {each: _identity(_stat(each)) for each in (self.wal, self.shm)}
        self.note_written()

    def note_written(self) -> None:
        """Record the files after a commit of ours."""
        found, log = self._path.stat(), _stat(self.wal)
        self._written = (found.st_size, found.st_mtime_ns)
        self._log_bytes = log.st_size if log is not None else 0

    def trouble(self) -> Trouble | None:
        """Return what is wrong; None if every name refers to the open file."""
        found = _stat(self._path)
        if found is None or (found.st_dev, found.st_ino) != self._main_identity:
            return Trouble(
                text=f"{self._path} has been moved, removed or replaced under the running daemon; put it back, or restart the daemon"
            )
        # only a commit of ours moves the log into it: a copy over it keeps the inode
        if (found.st_size, found.st_mtime_ns) != self._written:
            return Trouble(
                text=f"another program has written to {self._path} under the running daemon; stop the daemon, put a backup in place with"
                " `agbot store restore` if the file was overwritten, and start it again"
            )
        present = {each: _stat(each) for each in self._others}
        for each, stat in present.items():
            if stat is not None and _identity(stat) != self._others[each]:
                return Trouble(
                    text=f"{each} has been replaced under the running daemon; close other programs that have the store open, and"
                    " restart the daemon"
                )
        gone = " and ".join(each.name for each, stat in present.items() if stat is None)
        if gone:
            text = (
                f"{gone} beside {self._path} has been removed under the running daemon; nothing is lost while it runs"
            )
            return Trouble(text=f"{text}, and it repairs this by itself", is_curable=True)
        log = present.get(self.wal)
        # SQLite never truncates it while it has it open
        if log is not None and log.st_size < self._log_bytes:
            return Trouble(
                text=f"{self.wal} has been truncated under the running daemon; its content is lost, restart the daemon"
            )
        return None

    def may_be_moving(self) -> bool:
        """Whether the log is so long that a commit may move it into the main file."""
        log = _stat(self.wal)
        return log is not None and log.st_size >= _MOVED_AT_BYTES

    def main_stamp(self) -> tuple[int, int, int]:
        """Return what identifies this content of the main file."""
        found = self.main.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def log_stamp(self) -> tuple[int, str]:
        """Return the inode of the log and its random header; (0, "") if there is none."""
        # closing a descriptor ends SQLite's locks on that file, but it locks no part of the log
        try:
            descriptor = os.open(self.wal, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return 0, ""
        try:
            found, header = os.fstat(descriptor), os.pread(descriptor, _LOG_HEADER_BYTES, 0)
        finally:
            os.close(descriptor)
        return (found.st_ino, header.hex()) if header else (0, "")


def sync(path: Path) -> None:
    """Sync a file to its disk, or a folder after a file in it was created or replaced."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _identity(found: os.stat_result | None) -> _Identity | None:
    return None if found is None else (found.st_dev, found.st_ino)
