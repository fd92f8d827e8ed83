"""Standard error that never blocks the daemon: a thread writes lines from a bounded queue.

A reader that stalls (a full pipe, a terminal stopped with Ctrl-S, a hanging journald) blocks that
thread alone. Lines that do not fit are dropped and counted. Lines keep their order. After a gap,
lines are accepted again once half of the queue has been written, and the first states how many are
missing. At the end the thread has a moment to write the rest, and is then abandoned.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

_MAX_BYTES: Final = 4_000_000
"""About ten thousand lines: minutes of a busy hub, and little memory."""
_FLUSH_SECONDS: Final = 1.0
"""How long the program waits for the reader at its end."""
_WRITE_BYTES: Final = 65_536
"""The capacity of a pipe, in one system call."""
_RETRY_MILLISECONDS: Final = 500


class LogQueue(io.TextIOBase):
    """A text stream whose `write` never waits.

    A context manager; any number of threads may write.
    """

    def __init__(
        self,
        out: TextIO | None,
        report_dropped: Callable[[int], None],
        *,
        max_bytes: int = _MAX_BYTES,
        flush_seconds: float = _FLUSH_SECONDS,
    ) -> None:
        """Write to the descriptor of `out`, past its buffer; None is a closed stream.

        `report_dropped` is called in the writing thread when lines are accepted again after so many
        were dropped.
        """
        super().__init__()
        self._file = -1 if out is None else out.fileno()
        self._is_terminal = out is not None and out.isatty()
        self._max_bytes = max_bytes
        self._flush_seconds = flush_seconds
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        """The size of all unwritten lines, including the one being written."""
        self._is_full = False
        """True until half of the queue is written: one gap of a hundred lines is reported once, not
        line by line."""
        self._is_over = False
        self._dropped = 0
        self._unreported = 0
        self._report_dropped = report_dropped
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)

    @property
    def dropped(self) -> int:
        """The number of dropped lines so far."""
        return self._dropped

    def fileno(self) -> int:
        """Return the descriptor.

        Raises:
            OSError: standard error is closed.
        """
        if self._file < 0:
            raise OSError("standard error is closed")
        return self._file

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._is_terminal

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def write(self, text: str) -> int:
        """Queue text (whole lines, as the log writes them) or drop it; never wait."""
        content = text.encode("utf-8", "backslashreplace")
        with self._changed:
            fits = self._waiting_bytes + len(content) <= self._max_bytes
            # Only a write ends this, and after a line that is longer than the whole queue there may
            # be nothing to write: it is dropped alone.
            self._is_full = self._is_full or (not fits and len(content) <= self._max_bytes)
            if not fits or self._is_full or self._is_over or self._file < 0:
                self._drop(1)
            else:
                self._lines.append(content)
                self._waiting_bytes += len(content)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Return at once: only the thread waits."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait a moment for the rest to be written."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, self._flush_seconds)
            self._is_over = True
            self._changed.notify_all()

    def _drop(self, lines: int) -> None:
        self._dropped += lines
        self._unreported += lines

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._is_over)
                if not self._lines:
                    return
                batch = self._next_batch()
            is_written = self._written(b"".join(batch))
            unreported = 0
            with self._changed:
                self._waiting_bytes -= sum(map(len, batch))
                self._is_full = self._is_full and self._waiting_bytes > self._max_bytes // 2
                if not is_written:
                    self._drop(len(batch))
                elif not self._is_full:
                    unreported, self._unreported = self._unreported, 0
                self._changed.notify_all()
            if unreported:
                self._report_dropped(unreported)

    def _next_batch(self) -> list[bytes]:
        batch = [self._lines.popleft()]
        size = len(batch[0])
        while self._lines and size + len(self._lines[0]) <= _WRITE_BYTES:
            batch.append(self._lines.popleft())
            size += len(batch[-1])
        return batch

    def _written(self, content: bytes) -> bool:
        """Write everything, however long that takes.

        False if there is no reader any more, or the disk is full.
        """
        left = memoryview(content)
        while left:
            try:
                left = left[os.write(self._file, left) :]
            except BlockingIOError:  # another process has made the file non-blocking
                _wait_for_room(self._file)
            except OSError:
                return False
        return True


def _wait_for_room(file: int) -> None:
    waiting = select.poll()
    waiting.register(file, select.POLLOUT)
    waiting.poll(_RETRY_MILLISECONDS)
