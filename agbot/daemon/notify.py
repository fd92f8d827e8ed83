"""What systemd is told: ready, what the last cycle did, still alive, reloading, stopping (sd_notify(3), datagrams on $NOTIFY_SOCKET).

Without systemd nothing is told and nothing fails: the same daemon runs in a terminal. The watchdog is fed by whoever has seen progress,
never by a bare timer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

from agbot.foreign_text import escaped

_MICROSECONDS: Final = 1_000_000


class Notifier:
    """The line to systemd. Every call is one datagram and never blocks."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        environment = os.environ if environ is None else environ
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environment)
        """How often systemd wants to see progress; None when nobody watches."""

    @property
    def is_listened_to(self) -> bool:
        """Whether there is a systemd to tell."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """The start, or a reload, is over."""
        self._tell("READY=1", status)

    def status(self, sentence: str) -> None:
        """What `systemctl status` shows."""
        self._tell("", sentence)

    def extend(self, seconds: float, status: str = "") -> None:
        """Ask for so much more time for the start, counted from now."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * _MICROSECONDS)}", status)

    def watchdog(self, status: str = "") -> None:
        """Progress has been made."""
        self._tell("WATCHDOG=1", status)

    def reloading(self) -> None:
        """The settings are read anew; `ready` ends it. systemd needs the moment to tell an old notification from a new one."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", "")

    def stopping(self, status: str = "") -> None:
        """The daemon ends."""
        self._tell("STOPPING=1", status)

    def _tell(self, message: str, status: str) -> None:
        if self._address is None:
            return
        # A status is one line: a newline in it would begin another assignment. `systemctl status` shows it on a terminal.
        lines = [each for each in (message, f"STATUS={escaped(' '.join(status.split()))}" if status else "") if each]
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        ):
            line.settimeout(0)
            line.sendto("\n".join(lines).encode(), self._address)


def _address(named: str) -> str | None:
    """Return the socket's address; `@` stands for the abstract namespace. Anything else (such as vsock) is not for us."""
    if named.startswith("/"):
        return named
    return f"\0{named[1:]}" if named.startswith("@") and len(named) > 1 else None


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    wanted = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", "")
    if not (wanted.isascii() and wanted.isdigit()) or int(wanted) == 0 or (meant_for and meant_for != str(os.getpid())):
        return None
    return int(wanted) / _MICROSECONDS
