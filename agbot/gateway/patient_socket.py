"""The socket to the real agbot: it ignores errors of late writes, and reads little at a time.

A server may answer before it has read the whole request (401, 413), and close. The next write then
fails, and asyncio closes the connection at once, although the answer is still unread in the kernel.
Here such a write counts as done and reading continues to the end, where a connection that ends
without an answer shows as an error.

The data of one read are parsed in one step. Interim answers (1xx) may arrive without end until the
time is over, and asyncio would read thousands of their heads at once.
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
        """Receive at most `READ_BYTES`."""
        return super().recv(min(size, READ_BYTES), flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0, /) -> int:  # noqa: ANN401 - see `send`
        """Receive at most `READ_BYTES`; TLS uses this call."""
        return super().recv_into(buffer, min(size or len(buffer), READ_BYTES), flags)

    def send(self, data: Any, flags: int = 0, /) -> int:  # noqa: ANN401 - any bytes-like object
        """Send, or ignore the data if the server has closed."""
        try:
            return super().send(data, flags)
        except _TOO_LATE:
            return len(data)

    def sendmsg(self, buffers: Iterable[Any], *args: Any) -> int:  # noqa: ANN401 - see `send`
        """Send, or ignore the data if the server has closed; asyncio calls it since Python 3.12."""
        parts = list(buffers)
        try:
            return super().sendmsg(parts, *args)
        except _TOO_LATE:
            return sum(map(len, parts))


def patient_socket(address: AddrInfoType) -> socket.socket:
    """Create a socket for a resolved address."""
    family, kind, protocol, _, _ = address
    made = PatientSocket(family, kind, protocol)
    made.settimeout(0)
    return made
