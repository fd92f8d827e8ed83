"""A stream that says it is a terminal, and a pseudo terminal for a process."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import signal
from collections.abc import Mapping, Sequence

from tests.acceptance.programs import template
from tests.support.patience import PATIENCE_SECONDS

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_on_terminal(
    words: Sequence[str], environ: Mapping[str, str], types: bytes = b"", *, interrupt_at: bytes = b""
) -> tuple[int, str]:
    """Run `agbot` with a pseudo terminal; return its exit code and what was seen there, without styles.

    What is typed is typed before it asks, as a fast typist does. Where the text `interrupt_at` is
    seen, Ctrl-C is pressed.
    """
    code, seen = seen_on_terminal(words, environ, types, interrupt_at=interrupt_at)
    return code, _STYLE.sub("", seen)


def seen_on_terminal(
    words: Sequence[str], environ: Mapping[str, str], types: bytes = b"", *, interrupt_at: bytes = b""
) -> tuple[int, str]:
    """Do the same with the styles."""
    ours, theirs = pty.openpty()
    process = template().fork(words, environ, stdin=theirs, stdout=theirs, stderr=theirs, open_files=None)
    os.close(theirs)
    os.write(ours, types)
    seen = b""
    with contextlib.suppress(OSError):  # the terminal is gone when the command has ended
        while part := os.read(ours, 65536):
            seen += part
            if interrupt_at and interrupt_at in seen:
                process.send_signal(signal.SIGINT)
                interrupt_at = b""
    os.close(ours)
    return process.wait(PATIENCE_SECONDS), seen.decode().replace("\r\n", "\n")
