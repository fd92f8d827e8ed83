"""Which files are open, and whether they still are the ones at the store's path.

SQLite goes on writing into a log that somebody has removed, and into a main file that has been replaced: every commit succeeds, and is lost
with the process. So the names are compared with what is open around every commit. The main file may change only while a commit
of ours is under way (SQLite moves its log into it then): a change at any other time is another program's, a copy over it for example.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

Identity = tuple[int, int]
_LOG_HEADER_BYTES = 32
_MOVED_AT_BYTES = 1000 * 4096
"""SQLite's own default: a log of a thousand pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with the files."""

    text: str
    is_curable: bool = False
    """Nothing is lost yet: what only the removed file held can be moved into the main file from here."""


def sizes(path: Path) -> dict[str, float]:
    """Return how many bytes the files of a store take: `main`, and `log` for its write-ahead log; without those that are not there."""
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
        self._main_identity: Identity | None = None
        self._written: tuple[int, int] = (0, 0)
        self._others: dict[Path, Identity | None] = {}
        self._log_bytes = 0

    def note(self) -> None:
        """Take down the files as they are, when SQLite has just opened them."""
        found = self._path.stat()
        self._main_identity = (found.st_dev, found.st_ino)
        self._others = {each: _identity(_stat(each)) for each in (self.wal, self.shm)}
        self.note_written()

    def note_written(self) -> None:
        """Take down how a commit of ours left the files."""
        found, log = self._path.stat(), _stat(self.wal)
        self._written = (found.st_size, found.st_mtime_ns)
        self._log_bytes = log.st_size if log is not None else 0

    def trouble(self) -> Trouble | None:
        """Say what is wrong; None when every name leads to the file that is open."""
        found = _stat(self._path)
        if found is None or (found.st_dev, found.st_ino) != self._main_identity:
            return Trouble(
                text=f"{self._path} has been moved, removed or replaced under the running daemon; put it back, or restart the daemon"
            )
        if (found.st_size, found.st_mtime_ns) != self._written:
            return Trouble(
                text=f"another program has written to {self._path} under the running daemon; stop the daemon, put a backup in place with"
                " `agbot store restore` if the file was overwritten, and start it again"
            )
        present = {each: _stat(each) for each in self._others}
        for each, stat in present.items():
            if stat is not None and _identity(stat) != self._others[each]:
                return Trouble(
                    text=f"{each} has been replaced under the running daemon; close whatever else has the store open, and"
                    " restart the daemon"
                )
        gone = " and ".join(each.name for each, stat in present.items() if stat is None)
        if gone:
            text = (
                f"{gone} beside {self._path} has been removed under the running daemon; nothing is lost while it runs"
            )
            return Trouble(text=f"{text}, and it mends this by itself", is_curable=True)
        log = present.get(self.wal)
        if log is not None and log.st_size < self._log_bytes:  # SQLite never makes it shorter while it has it open
            return Trouble(
                text=f"{self.wal} has been cut off under the running daemon; what stood there is lost, restart the daemon"
            )
        return None

    def may_be_moving(self) -> bool:
        """Tell whether the log is as long as one that SQLite moves into the main file in the course of a commit."""
        log = _stat(self.wal)
        return log is not None and log.st_size >= _MOVED_AT_BYTES

    def main_stamp(self) -> tuple[int, int, int]:
        """Return what tells this content of the main file from another one."""
        found = self.main.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def log_stamp(self) -> tuple[int, str]:
        """Return the inode of the log and its header, which is random; (0, "") for none, or an empty one. SQLite locks no part of it."""
        try:
            descriptor = os.open(self.wal, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return 0, ""
        try:
            found, header = os.fstat(descriptor), os.pread(descriptor, _LOG_HEADER_BYTES, 0)
        finally:
            os.close(descriptor)
        return (found.st_ino, header.hex()) if header else (0, "")


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _identity(found: os.stat_result | None) -> Identity | None:
    return None if found is None else (found.st_dev, found.st_ino)
