"""Ends a connection: at once, or after its last answer so that this arrives (RFC 9112, 9.6).

A socket that is closed with unread data resets its connection, and so does one to which data arrive
later: the kernel drops what it has not sent yet of the answer, and the client what it has not read.
So only our half is closed. What still arrives is discarded, until the client closes its half or the
owner of the connection aborts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from agbot.listening.reads import READ_BYTES, take_small_reads

LINGER_BYTES: Final = 16 * 2**20
"""No more than this is discarded: the client can send no more until its connection is aborted."""


def linger(wire: asyncio.Transport, sent: Callable[[], None]) -> None:
    """Close our half behind the answers, and discard what arrives, unless it is closing already.

    The protocol of the connection gets no more data, but is informed when the connection is lost.

    Args:
        wire: the transport of the connection.
        sent: called when the kernel has all answers.
    """
    if wire.is_closing():
        return
    tls: Any = getattr(wire, "_ssl_protocol", None)
    if tls is None:
        _Lingering(wire, wire.get_protocol(), wire.get_write_buffer_size, sent).begin()
        return
    # `close` writes the alert that ends our half. After it, asyncio would abort the connection for
    # any data of the client, so they are discarded undecrypted.
    tcp = tcp_of(wire)
    wire.resume_reading()
    wire.close()
    if not tcp.is_closing():
        _Lingering(tcp, tls, lambda: tcp.get_write_buffer_size() + tls._outgoing.pending, sent).begin()  # noqa: SLF001 - see above


def tcp_of(wire: asyncio.Transport) -> asyncio.Transport:
    """Return the transport below TLS; in clear text, this one."""
    tls: Any = getattr(wire, "_ssl_protocol", None)
    below: asyncio.Transport | None = getattr(tls, "_transport", None)
    return wire if below is None else below


def hang_up(wire: asyncio.Transport, tcp: asyncio.Transport) -> None:
    """Abort a connection at once. Answers that the client has not read are lost.

    What has arrived is read, so that the connection is not reset for that.

    Args:
        wire: the transport of the connection.
        tcp: what `tcp_of` has returned for it. After a second `close`, such as aiohttp's after
            ours, a transport over TLS knows it no longer, and its own `abort` does nothing
            (CPython 3.11 to 3.13).
    """
    found = tcp.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            os.read(found.fileno(), READ_BYTES)
    if not wire.is_closing():
        wire.close()  # over TLS it sends the alert that ends the connection
    tcp.abort()


def cut_off(wire: asyncio.Transport) -> None:
    """Reset a connection in the middle of an answer, so that no client takes it for a whole one.

    Without a length, and in HTTP/1.0 without chunks, an answer ends with its connection.
    """
    tcp = tcp_of(wire)
    found = tcp.get_extra_info("socket")
    if found is not None:  # over TLS the connection may be lost already
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.abort()


class _Lingering(asyncio.Protocol):
    """Takes the place of the protocol that has written the answers."""

    def __init__(
        self,
        tcp: asyncio.Transport,
        former: asyncio.BaseProtocol,
        unsent_bytes: Callable[[], int],
        sent: Callable[[], None],
    ) -> None:
        self._tcp = tcp
        self._former = former
        self._unsent_bytes = unsent_bytes
        self._sent = sent
        self._left = LINGER_BYTES

    def begin(self) -> None:
        """Take the place."""
        self._tcp.set_protocol(self)
        take_small_reads(self._tcp)
        self._tcp.resume_reading()
        self._tcp.set_write_buffer_limits(high=0)  # to be informed when all is sent
        self._close_half()

    def _close_half(self) -> None:
        if not self._unsent_bytes():
            with contextlib.suppress(OSError):  # the client has reset the connection
                self._tcp.write_eof()
            self._sent()

    def pause_writing(self) -> None:
        """Inform the protocol that wrote."""
        self._former.pause_writing()

    def resume_writing(self) -> None:
        """Inform the protocol that wrote, which may have more to send."""
        self._former.resume_writing()
        asyncio.get_running_loop().call_soon(self._close_half)

    def data_received(self, data: bytes) -> None:
        """Discard the data."""
        self._left -= len(data)
        if self._left < 0:
            self._tcp.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Inform the protocol that wrote."""
        self._former.connection_lost(exc)
