"""A network that a test can cut: a TCP proxy in front of a server.

It can end every connection, take no new ones, carry nothing (as a firewall that drops packets does), and lose one answer:
the server has done what it was asked, and the client never learns of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 65_536


class TcpProxy:
    """A proxy on a free port of 127.0.0.1, from `async with` to its end."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._host = host
        self.target = port
        """The port of the server, for connections from now on."""
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._passes = asyncio.Event()
        self._passes.set()
        self._lost: bytes | None = None
        self._losing: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.accepted = 0
        """The number of connections so far."""
        self.lost = 0
        """The number of answers that were lost."""
        self.is_refusing = False
        """Whether new connections are closed at once."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._passes.set()
        await self.cut()

    async def cut(self) -> None:
        """End every connection that is open."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stall(self) -> None:
        """Carry nothing from now on: neither data nor the end of a connection."""
        self._passes.clear()

    def resume(self) -> None:
        """Carry again, first what has been held back."""
        self._passes.set()

    def lose_answer_to(self, needle: bytes) -> None:
        """Lose the answer to the next request that contains these bytes, and end its connection."""
        self._lost = needle

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = (writer,)
        try:
            if self.is_refusing:
                return
            there, to_there = await asyncio.open_connection(self._host, self.target)
            self._open[task] = (writer, to_there)
            ways = [asyncio.ensure_future(self._requests(reader, to_there, writer))]
            ways.append(asyncio.ensure_future(self._answers(there, writer)))
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            for each in self._open.pop(task):
                each.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._passes.wait()
                if self._lost is not None and self._lost in data:
                    self._lost = None
                    self._losing.add(client)
                writer.write(data)
                await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._passes.wait()
                if writer in self._losing:
                    self._losing.discard(writer)
                    self.lost += 1
                    return
                writer.write(data)
                await writer.drain()
