"""Notifications to systemd: ready, status, watchdog, reloading, stopping (sd_notify(3)).

Without systemd nothing is sent and nothing fails: the same daemon runs in a terminal. The watchdog
is fed by code that has seen progress, never by a timer alone.
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
    """Notifies systemd. Every call is one datagram and never blocks."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        environment = os.environ if environ is None else environ
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environment)
        """The interval in which systemd expects progress; None without a watchdog."""

    def ready(self, status: str = "") -> None:
        """The start or a reload is complete."""
        self._send("READY=1", status)

    def status(self, sentence: str) -> None:
        """Set the text that `systemctl status` shows."""
        self._send("", sentence)

    def extend(self, seconds: float, status: str = "") -> None:
        """Extend the timeout of the start to so many seconds from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * _MICROSECONDS)}", status)

    def watchdog(self, status: str = "") -> None:
        """Progress has been made."""
        self._send("WATCHDOG=1", status)

    def reloading(self) -> None:
        """A reload begins; `ready` ends it. The time lets systemd ignore old notifications."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", "")

    def stopping(self, status: str = "") -> None:
        """The daemon is stopping."""
        self._send("STOPPING=1", status)

    def _send(self, message: str, status: str) -> None:
        if self._address is None:
            return
        # A status is one line: a newline would begin another assignment. `systemctl status` shows
        # it on a terminal.
        lines = [each for each in (message, f"STATUS={escaped(' '.join(status.split()))}" if status else "") if each]
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        ):
            line.settimeout(0)
            line.sendto("\n".join(lines).encode(), self._address)


def _address(named: str) -> str | None:
    """Return the socket's address; `@` is the abstract namespace.

    Others, such as vsock, are not supported.
    """
    if named.startswith("/"):
        return named
    return f"\0{named[1:]}" if named.startswith("@") and len(named) > 1 else None


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    wanted = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", "")
    if not (wanted.isascii() and wanted.isdigit()) or int(wanted) == 0 or (meant_for and meant_for != str(os.getpid())):
        return None
    return int(wanted) / _MICROSECONDS
