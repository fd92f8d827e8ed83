"""systemd's end of the line: a real datagram socket, and the environment that a `Type=notify` unit with a watchdog gets."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

WATCHDOG_SECONDS = 1.5
_GLANCE_SECONDS = 0.002
Message = dict[str, str]


@dataclass
class Systemd:
    """Hears everything that a service says."""

    path: Path
    line: socket.socket
    received: list[Message] = field(default_factory=list)
    reading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def environ(self) -> dict[str, str]:
        """What the service finds in its environment."""
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(round(WATCHDOG_SECONDS * 1_000_000))}

    def listen(self) -> list[Message]:
        """Take in what has come, and return everything from the beginning."""
        with self.reading, contextlib.suppress(BlockingIOError):
            while True:
                text = self.line.recv(65_536).decode()
                self.received.append(dict(each.split("=", 1) for each in text.split("\n")))
        return self.received

    def stated(self, key: str) -> list[str]:
        """Return every value that was stated for one key."""
        return [each[key] for each in self.listen() if key in each]


@contextmanager
def systemd() -> Iterator[Systemd]:
    """Listen as systemd does: all the time, because the kernel keeps ten messages and the service throws away what finds no room."""
    # not in the test's folder: the address of a socket has 107 bytes at most
    with (
        tempfile.TemporaryDirectory(prefix="agbot-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
    ):
        path = Path(folder) / "notify"
        line.bind(str(path))
        line.settimeout(0)
        found, over = Systemd(path, line), threading.Event()

        def take_in() -> None:
            while not over.wait(_GLANCE_SECONDS):
                found.listen()

        thread = threading.Thread(target=take_in)
        thread.start()
        try:
            yield found
        finally:
            over.set()
            thread.join()
