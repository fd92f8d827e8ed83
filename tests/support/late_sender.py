"""A client that sends more after the server has closed its half, and then reads what has come.

If the server closes its socket while that is unread or under way, the connection is reset, which
takes what of the answer is still on its way. The calls block: use them in a thread.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import PATIENCE_SECONDS

_SMALL_BYTES = 4096


@contextmanager
def connected(port: int, authority: Path | None = None) -> Iterator[socket.socket]:
    """Connect, over TLS if there is an authority; the system keeps little for the client that it has not read."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
        made.settimeout(PATIENCE_SECONDS)
        made.connect(("127.0.0.1", port))
        if authority is None:
            yield made
        else:
            context = ssl.create_default_context(cafile=str(authority))
            with context.wrap_socket(made, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as tls:
                yield tls


def read_late(client: socket.socket, more: bytes = b"GET /more HTTP/1.1\r\nHost: h\r\n\r\n") -> bytes:
    """Wait until the server has closed its half, send more, and read to the end.

    Raises:
        ConnectionError: the server has reset the connection.
    """
    ending = select.poll()
    ending.register(client, select.POLLRDHUP)
    assert ending.poll(PATIENCE_SECONDS * 1000), "the server has not closed its half"
    client.sendall(more)
    client.sendall(more)
    return read_all(client)


def read_all(client: socket.socket) -> bytes:
    """Read to the end.

    Raises:
        ConnectionError, ssl.SSLError: the server has reset the connection.
    """
    received = b""
    while piece := client.recv(65_536):
        received += piece
    return received
