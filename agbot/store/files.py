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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with the files."""

    text: str
    is_curable: bool = False
    """Nothing is lost yet: what only the removed file held can be moved into the main file from here."""


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
        self._written = (found.st_size, found.st_mtime_ns)
        self._others = {each: _identity(each) for each in (self.wal, self.shm)}
        self._log_bytes = self._log_size()

    def note_written(self) -> None:
        """Take down how a commit of ours left the files."""
        found = self._path.stat()
        self._written = (found.st_size, found.st_mtime_ns)
        self._log_bytes = self._log_size()

    def trouble(self) -> Trouble | None:
        """Say what is wrong; None when every name leads to the file that is open."""
        try:
            found = self._path.stat()
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._main_identity:
            return Trouble(
                text=f"{self._path} has been moved, removed or replaced under the running daemon; put it back, or restart the daemon"
            )
        if (found.st_size, found.st_mtime_ns) != self._written:
            return Trouble(
                text=f"another program has written to {self._path} under the running daemon; stop the daemon, put a backup in place with"
                " `agbot store restore` if the file was overwritten, and start it again"
            )
        gone = []
        for path, noted in self._others.items():
            present = _identity(path)
            if present is None:
                gone.append(path.name)
            elif present != noted:
                return Trouble(
                    text=f"{path} has been replaced under the running daemon; close whatever else has the store open, and"
                    " restart the daemon"
                )
        if gone:
            text = f"{' and '.join(gone)} beside {self._path} has been removed under the running daemon; nothing is lost while it runs"
            return Trouble(text=f"{text}, and it mends this by itself", is_curable=True)
        if self._log_size() < self._log_bytes:
            return Trouble(
                text=f"{self.wal} has been cut off under the running daemon; what stood there is lost, restart the daemon"
            )
        return None

    def _log_size(self) -> int:
        """Return the size of the log, which SQLite never makes shorter while it has it open."""
        try:
            return self.wal.stat().st_size
        except OSError:
            return 0

    def main_stamp(self) -> tuple[int, int, int]:
        """Return what tells this content of the main file from another one."""
        found = self.main.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def log_stamp(self) -> str:
        """Return what tells this log from another one; empty for none, or an empty one. SQLite takes no locks on this file."""
        try:
            descriptor = os.open(self.wal, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            found, header = os.fstat(descriptor), os.pread(descriptor, _LOG_HEADER_BYTES, 0)
        finally:
            os.close(descriptor)
        return f"{found.st_dev:x}:{found.st_ino:x}:{header.hex()}" if header else ""


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
