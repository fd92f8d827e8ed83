"""Sends one head, and then the same bytes again and again, on many connections at once.

    attacker.py plain|tls PORT HEAD AGAIN CONNECTIONS SECONDS

A program of its own, so that what it costs is no one else's time. Head and bytes are hexadecimal;
`-` sends nothing after the head.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field

_BLOCK_BYTES = 262_144
_HANDSHAKE_SECONDS = 10.0


@dataclass
class Attacker:
    """All connections of one attack."""

    port: int
    context: ssl.SSLContext | None
    head: bytes
    block: bytes
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    rest: dict[socket.socket, bytes] = field(default_factory=dict)
    """What each connection has still to send before it begins with the block again."""

    def dial(self) -> None:
        dialled = socket.socket()
        dialled.settimeout(0 if self.context is None else _HANDSHAKE_SECONDS)
        dialled.connect_ex(("127.0.0.1", self.port))
        if self.context is not None:
            dialled = self.context.wrap_socket(dialled)
            dialled.settimeout(0)
        self.rest[dialled] = self.head
        self.selector.register(dialled, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def serve(self, dialled: socket.socket, events: int) -> None:
        """Send what there is room for; dial again where the other side has hung up."""
        try:
            if events & selectors.EVENT_READ and not dialled.recv(65_536):
                raise ConnectionResetError
            if events & selectors.EVENT_WRITE:
                self.send(dialled)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self.selector.unregister(dialled)
            del self.rest[dialled]
            dialled.close()
            self.dial()

    def send(self, dialled: socket.socket) -> None:
        now = self.rest[dialled] or self.block
        if now:
            self.rest[dialled] = now[dialled.send(now) :]
        else:
            self.selector.modify(dialled, selectors.EVENT_READ)


def _trusting_anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main(how: str, port: str, head: str, again: str, *bounds: str) -> None:
    """Attack on so many connections, until the time is over."""
    connections, seconds = bounds
    repeated = b"" if again == "-" else bytes.fromhex(again)
    block = repeated * (_BLOCK_BYTES // len(repeated) + 1) if repeated else b""
    context = _trusting_anybody() if how == "tls" else None
    attacker = Attacker(int(port), context, b"" if head == "-" else bytes.fromhex(head), block)
    for _ in range(int(connections)):
        attacker.dial()
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        for key, events in attacker.selector.select(timeout=0.1):
            if isinstance(key.fileobj, socket.socket):
                attacker.serve(key.fileobj, events)


if __name__ == "__main__":
    main(*sys.argv[1:])
