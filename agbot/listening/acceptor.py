"""Accepts connections on one address and creates a protocol for each.

asyncio's own server handles a lack of descriptors badly: it accepts again at once, as often as its
backlog is long, and logs a line for each try (24,840 lines in 40 s were seen). Here a failed accept
ends the round, the oldest idle connections are closed, and the next round starts after a pause.
Connections in their TLS handshake are counted, because nothing else limits them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import partial

from agbot.listening import binding
from agbot.listening.connection import Connection
from agbot.listening.connections import Connections
from agbot.listening.descriptors import Descriptors
from agbot.listening.shares import Place, Shares, client_of

_BATCH = 16
"""The most connections that are accepted before other tasks run."""
_PAUSE_SECONDS = 0.5
"""The delay until the next try after a lack of descriptors. The lack is over when there have been
enough for as long."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """One listener's sockets."""

    def __init__(
        self,
        connections: Connections,
        descriptors: Descriptors,
        *,
        backlog: int,
        tls: ssl.SSLContext | None = None,
        tls_seconds: float | None = None,
        max_handshakes: int = 1,
        keeps_spare: bool = False,
    ) -> None:
        """Store the dependencies; `start` opens the sockets.

        A handshake may take `tls_seconds`, and so may the shutdown of TLS when a connection is
        closed. `keeps_spare` keeps one descriptor open in reserve: it is freed to accept one more
        connection when no descriptor is left. The other listeners of this process accept nothing
        until there is a spare again.
        """
        self._connections = connections
        self._descriptors = descriptors
        self._backlog = backlog
        self._tls = tls
        self._tls_seconds = tls_seconds if tls else None
        self._handshakes = Shares(max_handshakes)
        self._keeps_spare = keeps_spare
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_try: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        """The port on which the listener accepts connections.

        Raises:
            RuntimeError: the listener has not been started.
        """
        if not self._sockets:
            raise RuntimeError("the listener has not been started")
        return int(self._sockets[0].getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listen on every address of the host; an empty host is every address of this machine.

        Raises:
            OSError: an address is in use or not local.
        """
        self._loop = asyncio.get_running_loop()
        found = await self._loop.run_in_executor(None, binding.addresses, host, port)
        try:
            for address in found:
                self._sockets.append(_listening(address, self._backlog))
        except OSError:
            self.close()
            raise
        self._take_spare()
        self._watch_sockets()

    def close(self) -> None:
        """Stop accepting."""
        if self._next_try is not None:
            self._next_try.cancel()
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets = []
        for task in self._tasks:
            task.cancel()
        if self._keeps_spare:
            self._descriptors.free_spare()

    def _watch_sockets(self) -> None:
        for each in self._sockets:
            self._loop.add_reader(each, self._accept, each)

    def _accept(self, listening: socket.socket) -> None:
        # the console keeps the spare, so that `/livez` answers when agents have taken all others
        if not self._keeps_spare and not self._descriptors.may_accept():
            self._pause()
            return
        for _ in range(_BATCH):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._ran_out(listening, error)
                    return
                continue  # the client has closed that connection already (accept(2))
            self._begin_connection(accepted, address)

    def _begin_connection(self, accepted: socket.socket, address: object) -> None:
        """Start a connection, or close it if the client has its share of the open handshakes."""
        accepted.setblocking(False)  # noqa: FBT003 - the standard library's own form
        if self._tls is None:
            if self._connections.begin_at_once(accepted, address, self._hand_over):
                return
            beginning = self._make_transport(accepted, self._connections)
        elif (place := self._handshakes.take(client_of(address))) is not None:
            beginning = self._shake_hands(accepted, place)
        else:
            accepted.close()
            return
        self._run(accepted, beginning)

    def _hand_over(self, accepted: socket.socket, connection: Connection) -> None:
        self._run(accepted, self._make_transport(accepted, lambda: connection))

    def _run(self, accepted: socket.socket, beginning: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(beginning)
        self._tasks.add(task)
        task.add_done_callback(partial(self._finished, accepted))

    def _finished(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # perhaps before its first step, so that none of its code has run
            accepted.close()

    async def _shake_hands(self, accepted: socket.socket, place: Place) -> None:
        with place:
            await self._make_transport(accepted, self._connections)

    async def _make_transport(self, accepted: socket.socket, new_protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        try:
            await self._loop.connect_accepted_socket(
                new_protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._tls_seconds,
                ssl_shutdown_timeout=self._tls_seconds,
            )
        except OSError:  # the handshake has failed, or no transport could be created
            accepted.close()

    def _ran_out(self, listening: socket.socket, error: OSError) -> None:
        self._descriptors.ran_out(error)
        if self._keeps_spare and self._descriptors.free_spare():
            # one connection by the spare; without it an operator could see nothing of the outage
            with contextlib.suppress(OSError):
                self._begin_connection(*listening.accept())
        self._pause()

    def _pause(self) -> None:
        """Close idle connections to free descriptors, and stop accepting until the next try."""
        self._connections.give_up(_BATCH)
        for each in self._sockets:
            self._loop.remove_reader(each)
        if self._next_try is not None:
            self._next_try.cancel()
        self._next_try = self._loop.call_later(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._take_spare()
        self._watch_sockets()
        self._next_try = self._loop.call_later(_PAUSE_SECONDS, self._check_recovery)

    def _check_recovery(self) -> None:
        self._next_try = None
        # a free descriptor now is not enough: the accepts of the last half second must have had
        # theirs
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            self._next_try = self._loop.call_later(_PAUSE_SECONDS, self._check_recovery)
        else:
            self._take_spare()
            self._descriptors.recovered()

    def _take_spare(self) -> None:
        if self._keeps_spare:
            self._descriptors.keep_spare()


def _listening(address: binding.Address, backlog: int) -> socket.socket:
    """Listen on one address.

    Raises:
        OSError: it is in use or not local.
    """
    made: socket.socket | None = None
    try:
        made = binding.bound(address)
        made.listen(backlog)
        made.setblocking(False)  # noqa: FBT003 - the standard library's own form
    except OSError as error:
        if made is not None:
            made.close()
        why = (error.strerror or str(error)).lower()
        message = f"error while attempting to bind on address {address.of!r}: {why}"
        raise OSError(error.errno, message) from error
    return made
