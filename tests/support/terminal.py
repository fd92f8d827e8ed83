"""A stream that says it is a terminal, and a pseudo terminal for a process."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_on_terminal(
    command: Sequence[str | Path], environ: Mapping[str, str], types: bytes = b"", *, interrupt_at: bytes = b""
) -> tuple[int, str]:
    """Run a command with a pseudo terminal; return its exit code and what was seen there, without styles.

    What is typed is typed before it asks, as a fast typist does. Where the text `interrupt_at` is
    seen, Ctrl-C is pressed.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(environ)) as process:
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
    return process.returncode, _STYLE.sub("", seen.decode().replace("\r\n", "\n"))
