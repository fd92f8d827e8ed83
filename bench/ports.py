"""Ports of the loopback interface: a free one, and the wait for a server."""

from __future__ import annotations

import socket
import time

_START_SECONDS = 20.0
_RETRY_SECONDS = 0.02


def free_port() -> int:
    """Return a port that is free now. If another program takes it, the server fails to start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until a server that has just been started listens.

    Raises:
        ConnectionRefusedError: it never did.
    """
    end = time.perf_counter() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if time.perf_counter() > end:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
