"""A load balancer before several coordinators: TCP, one after the other, and none that does not answer its health check."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

from tests.acceptance.site import Site

_CHUNK_BYTES = 65_536
_LOOK_SECONDS = 0.3
_LATE_SECONDS = 1.0


class RoundRobin:
    """It listens on a free port of 127.0.0.1, from `start` to `stop`."""

    def __init__(self, sites: list[Site]) -> None:
        self._sites = sites
        self._well: list[Site] = []
        self._next = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.passed: dict[str, int] = {site.folder.name: 0 for site in sites}
        """How many connections each coordinator got."""

    @property
    def url(self) -> str:
        """What HZN_AGBOT_URL is set to."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, and look after the coordinators."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        for site in self._sites:
            task = asyncio.create_task(self._watch(site))
            self._tasks.add(task)

    async def stop(self) -> None:
        """End every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, site: Site) -> None:
        while True:
            is_well = False
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_LATE_SECONDS):
                    is_well = (await site.get("/livez"))[0] == HTTPStatus.OK
            if is_well != (site in self._well):
                self._well = [*self._well, site] if is_well else [each for each in self._well if each is not site]
            await asyncio.sleep(_LOOK_SECONDS)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            writer.transport.abort() if writer.transport.is_closing() else writer.close()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self._well)):
            self._next += 1
            site = self._well[self._next % len(self._well)] if self._well else None
            if site is None:
                return
            with suppress(OSError):
                there, to_there = await asyncio.open_connection("127.0.0.1", site.gateway_port)
                self.passed[site.folder.name] += 1
                try:
                    await self._both_ways((reader, to_there), (there, writer))
                finally:
                    to_there.close()
                return

    async def _both_ways(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        tasks = [asyncio.create_task(_one_way(*way)) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
