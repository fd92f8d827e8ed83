"""A connection with plain requests only, which a function answers at once, read by read.

Nearly all requests to a listener may have one plain form and an answer in memory. aiohttp's
connection would use two tasks, a stream, a request and a response for each. Here the answer is
written in the same step of the event loop. The rule kept here: data without an immediate answer are
handed over, unchanged, to aiohttp's connection, which then keeps the client. Nothing is parsed,
queued or awaited here. So there are few limits: the time until data arrive, and a client that does
not read its answers is handed over too.

There are two classes. In clear text a socket is read and written directly, because asyncio's
transport costs as much as the rest of an answer. Over TLS the transport is necessary.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, cast

from agbot.listening.connection import Connection
from agbot.listening.deadlines import Deadlines
from agbot.listening.lingering import hang_up, linger, tcp_of
from agbot.listening.reads import READ_BYTES, take_small_reads
from agbot.listening.shares import client_of
from agbot.listening.watch import Watch

AtOnce = Callable[[bytes], bytes | None]
"""Answers the data of one read; None if they are not one whole, plain request or need more time."""


class Keeper(Protocol):
    """The part of `agbot.listening.connections` that a quick connection uses."""

    def arrived(self, one: Quick | Connection) -> None:
        """Count a connection."""

    def left(self, one: Quick | Connection) -> None:
        """Stop counting it."""

    def new_connection(self) -> Connection:
        """Create a connection of the kind that aiohttp serves."""


class Quick(ABC):
    """What both classes share: the client is counted and has limited time for its next request."""

    __slots__ = ("_answer", "_deadlines", "_keeper", "client", "is_open")

    is_idle = True
    """An answer is written in the same step, so none is ever in progress."""

    def __init__(self, keeper: Keeper, answer: AtOnce, deadlines: Deadlines) -> None:
        self._keeper = keeper
        self._answer = answer
        self._deadlines = deadlines
        """When the next request must have arrived."""
        self.client = ""
        """The client, as `client_of` names it."""
        self.is_open = False
        """Whether it still occupies a descriptor here: it is neither ended nor handed over."""

    @abstractmethod
    def hang_up(self) -> None:
        """Abort the connection. Answers that the client has not read are lost."""

    @abstractmethod
    def leave(self) -> None:
        """Close our half, and answer nothing more."""

    def _register(self, address: object) -> None:
        self.client = client_of(address)
        self.is_open = True
        self._deadlines.renew(self)
        self._keeper.arrived(self)

    def _unregister(self) -> float:
        """Count it no more; return its deadline."""
        self.is_open = False
        self._keeper.left(self)
        return self._deadlines.end(self)

    def _successor(self, data: bytes, unsent: bytes = b"") -> Connection:
        """Create the connection, served by aiohttp, that continues from here."""
        deadline = self._unregister()
        connection = self._keeper.new_connection()
        connection.go_on_with(data, unsent=unsent, deadline=deadline)
        return connection


HandOver = Callable[[socket.socket, Connection], None]
"""Continues a socket as a connection that aiohttp serves."""


class QuickSocket(Quick):
    """A connection in clear text, until it is handed over."""

    __slots__ = ("_descriptor", "_hand_over", "_is_leaving", "_socket", "_watch")

    def __init__(
        self,
        keeper: Keeper,
        answer: AtOnce,
        deadlines: Deadlines,
        *,
        watch: Watch,
        hand_over: HandOver,
    ) -> None:
        super().__init__(keeper, answer, deadlines)
        self._watch = watch
        self._hand_over = hand_over
        self._socket: socket.socket
        self._descriptor = -1
        """The descriptor of the socket while it is watched."""
        self._is_leaving = False

    def begin(self, accepted: socket.socket, address: object) -> None:
        """Start the connection, and answer the data that have already arrived."""
        self._socket = accepted
        self._register(address)
        self._read()
        if self.is_open:
            self._descriptor = accepted.fileno()
            self._watch.add(self._descriptor, self._read)

    def hang_up(self) -> None:
        """Abort the connection."""
        if self.is_open:
            with contextlib.suppress(OSError):  # closed with unread data, it would be reset
                self._socket.recv(READ_BYTES)
            self._end()

    def leave(self) -> None:
        """Close our half, and discard what arrives until the client closes its own."""
        self._is_leaving = True
        with contextlib.suppress(OSError):  # the client has reset the connection
            self._socket.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        self._unregister()
        if self._descriptor >= 0:
            self._watch.closing(self._descriptor)
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        if self._is_leaving:
            return
        answer = self._answer(data)
        if answer is None:
            self._go_on(self._successor(data))
            return
        if self._descriptor >= 0:  # otherwise it has just begun
            self._deadlines.renew(self)
        sent = 0
        with contextlib.suppress(OSError):  # the next read detects that the client has closed
            sent = self._socket.send(answer)
        # a client that does not read: aiohttp's connection has the timer for it
        if sent < len(answer):
            self._go_on(self._successor(b"", answer[sent:]))

    def _go_on(self, connection: Connection) -> None:
        if self._descriptor >= 0:
            self._watch.remove(self._descriptor)
        self._hand_over(self._socket, connection)


class QuickConnection(Quick, asyncio.Protocol):
    """A connection over TLS, until it is handed over."""

    __slots__ = ("_wire",)

    def __init__(self, keeper: Keeper, answer: AtOnce, deadlines: Deadlines) -> None:
        super().__init__(keeper, answer, deadlines)
        self._wire: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the connection."""
        take_small_reads(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._register(transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        """Answer the data, or hand them over."""
        if not self.is_open or self._wire.is_closing():
            return  # what was read before our half was closed still arrives
        answer = self._answer(data)
        if answer is None:
            self._hand_over(data)
        else:
            self._deadlines.renew(self)
            self._wire.write(answer)

    def pause_writing(self) -> None:
        """Hand over a client that does not read: aiohttp's connection limits its time."""
        if self.is_open:
            self._hand_over(b"").pause_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Record that the connection has ended."""
        if self.is_open:
            self._unregister()

    def hang_up(self) -> None:
        """Abort the connection."""
        if self.is_open:
            self._unregister()
            hang_up(self._wire, tcp_of(self._wire))

    def leave(self) -> None:
        """Close our half, and discard what arrives until the client closes its own."""
        linger(self._wire, lambda: None)

    def _hand_over(self, data: bytes) -> Connection:
        connection = self._successor(data)
        self._wire.set_protocol(connection)
        connection.connection_made(self._wire)
        return connection
