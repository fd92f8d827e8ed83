"""Attacks on a listener, from a process of their own, and how long the daemon stands still under them, seen from outside.

The daemon is measured by what a monitor sees: `/livez` on a new connection, again and again, by a
thread that shares nothing with it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.patience import PATIENCE_SECONDS

LOOPBACK = Path(__file__).parents[1] / "integration" / "gateway" / "loopback.pem"
"""Certificate and key of a listener that speaks TLS."""
ATTACKER = Path(__file__).with_name("attacker.py")
_PULSE_SECONDS = 0.02


@dataclass
class Pulse:
    """How long each look at `/livez` took, in seconds; endless where there was no answer."""

    seconds: list[float] = field(default_factory=list)

    @property
    def worst(self) -> float:
        return max(self.seconds)


def look(port: int, path: str = "/livez") -> bool:
    """Whether the listener answers with 200."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as dialled:
        dialled.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        return dialled.recv(4096).startswith(b"HTTP/1.1 200")


@contextmanager
def pulse_of(console_port: int) -> Iterator[Pulse]:
    """Look at `/livez` again and again while the block runs, and once more at its end."""
    found, over = Pulse(), threading.Event()

    def watch() -> None:
        while True:
            is_last = over.is_set()
            began_at = time.monotonic()
            try:
                lives = look(console_port)
            except OSError:
                lives = False
            found.seconds.append(time.monotonic() - began_at if lives else float("inf"))
            if is_last:
                return
            over.wait(_PULSE_SECONDS)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def attack(
    port: int, head: bytes, again: bytes = b"", *, connections: int = 1, seconds: float = 3.0, tls: bool = False
) -> None:
    """Send a head and then the same bytes again and again, on so many connections at once.

    Whoever is cut off dials again.
    """
    words = [
        "tls" if tls else "plain",
        str(port),
        head.hex() or "-",
        again.hex() or "-",
        str(connections),
        str(seconds),
    ]
    subprocess.run([sys.executable, str(ATTACKER), *words], check=True, timeout=PATIENCE_SECONDS)
