"""Accepts connections on one address, and makes of each a protocol.

asyncio's own server does not take running out of descriptors well: it accepts again at once, as often as its backlog is long, with a line
in the log for each try (24,840 in 40 s were seen). Here a try that fails ends the round, the oldest idle connections are given up, and
the next round comes after a pause. Connections that are still in their TLS handshake are counted: nothing else bounds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl

from agbot.listening.connection import Connections, client_of
from agbot.listening.descriptors import Descriptors
from agbot.listening.shares import Place, Shares

BATCH = 16
"""So many are accepted before others get their turn."""
PAUSE_SECONDS = 0.5
"""Until the next try after one that failed for want of descriptors; also how long there must have been enough for it to be over."""
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
        """Take what is needed; nothing happens before `start`.

        A handshake may take `tls_seconds`, and so may the end of TLS once a connection is being closed.
        `keeps_spare` keeps a descriptor open that makes room for one more connection where there is none left.
        """
        self._connections = connections
        self._descriptors = descriptors
        self._backlog = backlog
        self._tls = tls
        self._tls_seconds = tls_seconds if tls else None
        self._handshakes = Shares(max_handshakes)
        self._keeps_spare = keeps_spare
        self._spare: int | None = None
        self._sockets: list[socket.socket] = []
        self._taking: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        """The port that is listened on.

        Raises:
            RuntimeError: nothing is listened on.
        """
        if not self._sockets:
            raise RuntimeError("nothing is listened on")
        return int(self._sockets[0].getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listen on every address that the host has; an empty host is every address of this machine.

        Raises:
            OSError: an address is taken or not ours.
        """
        self._loop = asyncio.get_running_loop()
        found = await self._loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, address in dict.fromkeys((each[0], each[4]) for each in found):
                self._sockets.append(_listening(family, address, self._backlog))
        except OSError:
            self.close()
            raise
        self._keep_spare()
        self._accept_again()

    def close(self) -> None:
        """Accept nothing any more."""
        if self._resuming is not None:
            self._resuming.cancel()
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets = []
        for task in self._taking:
            task.cancel()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _accept_again(self) -> None:
        for each in self._sockets:
            self._loop.add_reader(each, self._accept, each)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(listening, error)
                    return
                continue  # that connection is gone already (accept(2))
            self._take(accepted, address)

    def _take(self, accepted: socket.socket, address: object) -> None:
        """Begin with a connection. A client that has its share of the handshakes under way is hung up on."""
        accepted.setblocking(False)  # noqa: FBT003 - the standard library's own form
        if self._tls is None:
            beginning = self._begin(accepted)
        elif (place := self._handshakes.take(client_of(address))) is not None:
            beginning = self._shake_hands(accepted, place)
        else:
            accepted.close()
            return
        task = self._loop.create_task(beginning)
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _shake_hands(self, accepted: socket.socket, place: Place) -> None:
        with place:
            await self._begin(accepted)

    async def _begin(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._connections,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._tls_seconds,
                ssl_shutdown_timeout=self._tls_seconds,
            )
        except (OSError, TimeoutError):
            return  # a handshake that fails is the client's affair
        except asyncio.CancelledError:
            accepted.close()
            raise

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Make room, and accept nothing for a moment."""
        self._descriptors.ran_out(error)
        self._connections.give_up(BATCH)
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
            with contextlib.suppress(OSError):
                self._take(*listening.accept())
        for each in self._sockets:
            self._loop.remove_reader(each)
        if self._resuming is not None:
            self._resuming.cancel()
        self._resuming = self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._keep_spare()
        self._accept_again()
        self._resuming = self._loop.call_later(PAUSE_SECONDS, self._over)

    def _over(self) -> None:
        self._resuming = None
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            self._resuming = self._loop.call_later(PAUSE_SECONDS, self._over)
        else:
            self._keep_spare()
            self._descriptors.sufficed()

    def _keep_spare(self) -> None:
        if self._keeps_spare and self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)


def _listening(family: int, address: tuple[object, ...], backlog: int) -> socket.socket:
    """Bind one address.

    Raises:
        OSError: it is taken or not ours.
    """
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(backlog)
        made.setblocking(False)  # noqa: FBT003 - the standard library's own form
    except OSError as error:
        made.close()
        said = (error.strerror or str(error)).lower()
        message = f"error while attempting to bind on address {address!r}: {said}"
        raise OSError(error.errno, message) from error
    return made
