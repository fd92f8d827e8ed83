"""Keeps the store's thread on the opened store: checks its files around every commit.

It belongs to the store's thread, except for reads of `generation`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from agbot.store import generation as generations
from agbot.store.contract import Generation, StoreUnavailableError
from agbot.store.files import Files
from agbot.store.generation import Beside
from agbot.store.mark import Mark, MarkFile, boot_id

# well above the half minute that a mark may be behind after a power failure (decision 16)
_BEHIND_NS = 120_000_000_000
_T = TypeVar("_T")
_Connect = Callable[[], sqlite3.Connection]


class Keeper:
    """The files, the mark and the generation of one store, from `connect` to `closed`."""

    def __init__(self, path: Path, connect: _Connect) -> None:
        self._path = path
        self._connect = connect
        self._files = Files(path)
        self._mark_file = MarkFile(self._files.main)
        self._mark = Mark(generation="")
        self._is_closed = False
        self.generation = Generation(id="")

    def connect(self) -> sqlite3.Connection:
        """Open the store's file, determine its generation, and write its mark.

        Raises:
            StoreSchemaError: see `connection.connect`.
            StoreUnavailableError: it cannot be opened, or the mark cannot be written.
        """
        beside = self._look_beside()
        connection = self._connect()
        try:
            self._begin(connection, beside)
        except BaseException:
            connection.close()
            self._mark_file.close()
            raise
        return connection

    def check(self) -> None:
        """Check that the files are the ones that were opened.

        Raises:
            StoreUnavailableError: they are not.
        """
        trouble = self._files.trouble()
        if trouble is not None:
            raise StoreUnavailableError(trouble.text)
        if not self._mark_file.is_in_place():
            message = f"{self._mark_file.path} has been removed or replaced under the running daemon, which repairs this by itself"
            raise StoreUnavailableError(message)

    def noting(self, token: int, work: Callable[[sqlite3.Connection], _T]) -> Callable[[sqlite3.Connection], _T]:
        """Return the work with its token noted for the mark of its commit."""

        def noted(connection: sqlite3.Connection) -> _T:
            done = work(connection)
            # A swap that loses, or is rolled back, leaves it too high. That is harmless: the tokens
            # of the next generation only have to be above it.
            self._mark = msgspec.structs.replace(self._mark, token=max(self._mark.token, token))
            return done

        return noted

    def committing(self) -> None:
        """Record that a commit is in progress: only then may the main file change."""
        self._mark_file.write(msgspec.structs.replace(self._mark, is_writing=True))

    def committed(self, connection: sqlite3.Connection) -> None:
        """Record a commit, and verify that it went into the files with the store's names.

        Raises:
            StoreUnavailableError: it did not, and is lost at the end of the process; or the mark
                could not be written.
        """
        self._files.note_written()
        self._write_mark(connection)
        self.check()

    def mend(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return the connection to use: this one, or a new one after removed files were restored.

        Raises:
            StoreUnavailableError: that is not possible.
        """
        trouble = self._files.trouble()
        if trouble is not None and trouble.is_curable:
            return self._reopen(connection)
        if trouble is None and not self._mark_file.is_in_place():
            self._mark_file.make(self._mark)
        self.check()
        return connection

    def closed(self) -> None:
        """Record the state of the file after the connection was closed.

        Failures here are detected at the next start.
        """
        try:
            if self._files.main.exists():
                self._mark_file.write(
                    msgspec.structs.replace(self._mark, file=self._files.main_stamp(), log=self._files.log_stamp())
                )
            self._mark_file.close()
        except (OSError, StoreUnavailableError):
            return

    def _look_beside(self) -> Beside:
        """Read the mark; move a log of another file away before SQLite applies it."""
        mark, trouble = self._mark_file.read()
        if mark is None or not self._is_log_of_another(mark):
            return Beside(mark=mark, trouble=trouble)
        aside = self._files.wal.with_name(f"{self._files.wal.name}.replaced")
        # before `connect`: SQLite applies whatever log it finds beside the file
        try:
            self._files.wal.replace(aside)
            self._files.shm.unlink(missing_ok=True)
        except OSError as error:
            message = (
                f"could not move {self._files.wal} away, which belongs to another {self._path.name}: {error.strerror}"
            )
            raise StoreUnavailableError(message) from error
        trouble = (
            f"its file was replaced, but not the write-ahead log of the previous one; that log is now {aside.name}"
        )
        return Beside(mark=mark, trouble=trouble)

    def _is_log_of_another(self, mark: Mark) -> bool:
        """Whether the log is the one that was in use, but the main file is not."""
        # after an interrupted commit both may differ, because it was moving the log into the main
        # file
        log, main = self._files.log_stamp(), self._files.main
        if not log[0] or log[0] != mark.log[0] or (mark.is_writing and self._files.may_be_moving()):
            return False
        if main.exists() and self._files.main_stamp() == mark.file:
            return False
        if mark.boot and mark.boot == boot_id():
            return log == mark.log
        # After a power failure the mark, which is not synced, may be half a minute older than both:
        # the main file must have changed well after it, by the kernel's timestamp.
        return not main.exists() or main.stat().st_ctime_ns > mark.at + _BEHIND_NS

    def _begin(self, connection: sqlite3.Connection, beside: Beside) -> None:
        self.generation = generations.recognise(connection, beside, time.time_ns() // 1_000_000)
        token = generations.highest_known(connection, self.generation)
        self._mark = Mark(generation=self.generation.id, token=token, boot=boot_id())
        # so that a copy of the main file alone shows that it was in use
        connection.execute("PRAGMA wal_checkpoint").fetchone()
        self._files.note()
        self._mark = self._as_it_stands(connection)
        self._mark_file.make(self._mark)

    def _as_it_stands(self, connection: sqlite3.Connection) -> Mark:
        return msgspec.structs.replace(
            self._mark,
            entry=generations.last_entry(connection),
            file=self._files.main_stamp(),
            log=self._files.log_stamp(),
        )

    def _write_mark(self, connection: sqlite3.Connection) -> None:
        self._mark = self._as_it_stands(connection)
        self._mark_file.write(self._mark)

    def _reopen(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Move the content of the removed log into the main file, and open the store again."""
        if not self._is_closed:
            self.committing()
            busy, frames, moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy or frames != moved:
                message = f"the log of {self._path} cannot be replaced while another program reads the store; close it"
                raise StoreUnavailableError(message)
            connection.close()
            self._is_closed = True
            self._files.note_written()
        again = self._connect()
        self._is_closed = False
        self._files.note()
        found = generations.read(again)
        if found is None or found.id != self.generation.id or generations.last_entry(again) != self._mark.entry:
            again.close()
            message = f"{self._path} has changed since its log was removed; restart the daemon"
            raise StoreUnavailableError(message)
        self._mark = self._as_it_stands(again)
        self._mark_file.make(self._mark)
        return again
