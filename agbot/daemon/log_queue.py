"""Standard error for a daemon that nobody may stop: lines go through a bounded queue, and a thread of its own writes them.

A reader that stalls (a full pipe, a terminal that somebody has stopped with Ctrl-S, a journald that hangs) holds up that thread alone. What
finds no room is dropped and counted. Lines keep their order; after a gap, lines are taken again when half of the queue is written, and the
first one says how many are missing. At the end the thread gets a moment to write what is left, and is then left behind.
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

MAX_BYTES: Final = 4_000_000
"""Some ten thousand lines: minutes of a busy hub, and no matter for its memory."""
FLUSH_SECONDS: Final = 1.0
"""How long the end of the program waits for the reader."""
_WRITE_BYTES: Final = 65_536
"""As much as a pipe holds, in one system call."""
_RETRY_MILLISECONDS: Final = 500


class LogQueue(io.TextIOBase):
    """A text stream whose `write` never waits. For any number of writing threads, between `with` and its end."""

    def __init__(
        self,
        out: TextIO | None,
        tell_dropped: Callable[[int], None],
        *,
        max_bytes: int = MAX_BYTES,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        """Take the stream that is written to (through its descriptor, past its buffer; None is a closed one), and who tells of a gap.

        `tell_dropped` is called in the thread that writes, when lines are taken again after so many were dropped.
        """
        super().__init__()
        self._file = -1 if out is None else out.fileno()
        self._is_terminal = out is not None and out.isatty()
        self._max_bytes = max_bytes
        self._flush_seconds = flush_seconds
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        """Of all lines that are not written yet, the one that is being written included."""
        self._is_full = False
        """Until half of the queue is written: one gap of a hundred lines is told once, not line by line."""
        self._is_over = False
        self._dropped = 0
        self._untold = 0
        self._tell_dropped = tell_dropped
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)

    @property
    def dropped(self) -> int:
        """How many lines were dropped so far."""
        return self._dropped

    def fileno(self) -> int:
        """Return where it leads, for whoever asks what that is.

        Raises:
            OSError: nowhere.
        """
        if self._file < 0:
            raise OSError("standard error is closed")
        return self._file

    def isatty(self) -> bool:
        """Whether a person looks."""
        return self._is_terminal

    def writable(self) -> bool:
        """It takes text."""
        return True

    def write(self, text: str) -> int:
        """Take text, whole lines as the log writes them, or drop it; never wait."""
        content = text.encode("utf-8", "backslashreplace")
        with self._changed:
            self._is_full = self._is_full or self._waiting_bytes + len(content) > self._max_bytes
            if self._is_full or self._is_over or self._file < 0:
                self._drop(1)
            else:
                self._lines.append(content)
                self._waiting_bytes += len(content)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Return at once: waiting is the thread's business."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for what is left to be written, for a moment."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, self._flush_seconds)
            self._is_over = True
            self._changed.notify_all()

    def _drop(self, lines: int) -> None:
        self._dropped += lines
        self._untold += lines

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._is_over)
                if not self._lines:
                    return
                batch = self._next_batch()
            is_written = self._written(b"".join(batch))
            untold = 0
            with self._changed:
                self._waiting_bytes -= sum(map(len, batch))
                self._is_full = self._is_full and self._waiting_bytes > self._max_bytes // 2
                if not is_written:
                    self._drop(len(batch))
                elif not self._is_full:
                    untold, self._untold = self._untold, 0
                self._changed.notify_all()
            if untold:
                self._tell_dropped(untold)

    def _next_batch(self) -> list[bytes]:
        batch = [self._lines.popleft()]
        size = len(batch[0])
        while self._lines and size + len(self._lines[0]) <= _WRITE_BYTES:
            batch.append(self._lines.popleft())
            size += len(batch[-1])
        return batch

    def _written(self, content: bytes) -> bool:
        """Write all of it, for as long as it takes. False when nobody will ever read it, or the disk is full."""
        left = memoryview(content)
        while left:
            try:
                left = left[os.write(self._file, left) :]
            except BlockingIOError:  # somebody else has made the file non-blocking
                _wait_for_room(self._file)
            except OSError:
                return False
        return True


def _wait_for_room(file: int) -> None:
    waiting = select.poll()
    waiting.register(file, select.POLLOUT)
    waiting.poll(_RETRY_MILLISECONDS)
