"""What asyncio has no setting for: the size of one read, and what a closed connection leaves.

asyncio reads 256 kB at once. The data of one read are parsed in one step, and all other tasks wait
for it. Over TLS each connection also keeps a buffer of that size and as much encrypted data: 1.2 MB
for a connection whose body is not read, and before its client is authenticated.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

READ_BYTES: Final = 16_384
"""The largest read, and also the size of the largest TLS record."""


def take_small_reads(transport: asyncio.BaseTransport) -> None:
    """Limit each read of this connection to `READ_BYTES`. asyncio has no public setting for it."""
    tls: Any = getattr(transport, "_ssl_protocol", None)
    if tls is None:
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's transports of sockets
        return
    tls.max_size = READ_BYTES
    tls._ssl_buffer = bytearray(READ_BYTES)  # noqa: SLF001 - see above
    tls._ssl_buffer_view = memoryview(tls._ssl_buffer)  # noqa: SLF001 - see above
    transport.set_read_buffer_limits(high=2 * READ_BYTES)  # type: ignore[attr-defined]  # of those of TLS


def break_cycle(transport: asyncio.BaseTransport) -> None:
    """Let the memory of a lost connection in clear text be freed at once."""
    # asyncio's transport keeps a bound method of its own. That is a cycle, which would keep almost
    # a kilobyte until the next full collection (decision 39).
    if hasattr(transport, "_read_ready_cb"):
        transport._read_ready_cb = None  # noqa: SLF001 - see above
