"""The socket to the real agbot: a write that comes too late is no error, and one read takes little.

A server may answer before it has read the whole request (401, 413), and close. The next write then fails, and asyncio closes the
connection at once, with the answer still unread in the kernel. Here such a write counts as done: reading goes on to the end, and a
connection that ends without an answer is told from that.

What is read is parsed in one go: of the heads of interim answers (1xx), which may come without an end until the time is over, asyncio would
take thousands at once.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agbot.listening.reads import READ_BYTES

if TYPE_CHECKING:
    from aiohttp.connector import AddrInfoType

_TOO_LATE = BrokenPipeError, ConnectionResetError


class PatientSocket(socket.socket):
    """A TCP socket for one request."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive no more than that."""
        return super().recv(min(size, READ_BYTES), flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0, /) -> int:  # noqa: ANN401 - see `send`
        """Receive no more than that; TLS does it so."""
        return super().recv_into(buffer, min(size or len(buffer), READ_BYTES), flags)

    def send(self, data: Any, flags: int = 0, /) -> int:  # noqa: ANN401 - whatever bytes-like thing asyncio writes
        """Send, or do as if."""
        try:
            return super().send(data, flags)
        except _TOO_LATE:
            return len(data)

    def sendmsg(self, buffers: Iterable[Any], *args: Any) -> int:  # noqa: ANN401 - see `send`
        """Send, or do as if: asyncio writes so from Python 3.12 on."""
        parts = list(buffers)
        try:
            return super().sendmsg(parts, *args)
        except _TOO_LATE:
            return sum(map(len, parts))


def patient_socket(address: AddrInfoType) -> socket.socket:
    """Make one for an address that was looked up."""
    family, kind, protocol, _, _ = address
    made = PatientSocket(family, kind, protocol)
    made.settimeout(0)
    return made
