"""How much one read of a connection takes, in clear and over TLS.

asyncio reads 256 kB at once. What has been read is parsed in one go, for which everybody else waits; and over TLS each connection keeps a
buffer of that size and as much again undecrypted: 1.2 MB for one whose body is not taken, before anybody has said who he is.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

READ_BYTES: Final = 16_384
"""Most that one read takes; also the size of the largest TLS record."""


def take_small_reads(transport: asyncio.BaseTransport) -> None:
    """Let no read of this connection be larger than `READ_BYTES`. asyncio has no public way to say so."""
    tls: Any = getattr(transport, "_ssl_protocol", None)
    if tls is None:
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's transports of sockets
        return
    tls.max_size = READ_BYTES
    tls._ssl_buffer = bytearray(READ_BYTES)  # noqa: SLF001 - see above
    tls._ssl_buffer_view = memoryview(tls._ssl_buffer)  # noqa: SLF001 - see above
    transport.set_read_buffer_limits(high=2 * READ_BYTES)  # type: ignore[attr-defined]  # of those of TLS
