"""All connections of one listener: created, counted by client, and limited in number."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web

from agbot.listening.connection import Bounds, Connection, Handler, Refuse, RequestFactory
from agbot.listening.deadlines import Deadlines
from agbot.listening.quick import AtOnce, HandOver, Quick, QuickConnection, QuickSocket
from agbot.listening.watch import Watch


class Connections(web.Server):
    """Creates the connections, and closes idle ones when there are too many."""

    def __init__(
        self,
        handler: Handler,
        bounds: Bounds,
        *,
        refuse: Refuse,
        request_factory: RequestFactory | None = None,
        at_once: AtOnce | None = None,
    ) -> None:
        """Store the dependencies.

        Args:
            handler: answers a request that aiohttp has parsed.
            bounds: the limits of one connection and of all of them.
            refuse: answers a request that could not be parsed.
            request_factory: creates aiohttp's request.
            at_once: answers a plain request before aiohttp reads it.
        """
        super().__init__(handler, request_factory=request_factory)
        self._bounds = bounds
        self._refuse = refuse
        self._at_once = at_once
        self._deadlines = Deadlines(self._loop, bounds.head_seconds)
        self._watch: Watch | None = None
        """Watches the connections in clear text that have not been handed over; None before the
        first."""
        self._by_client: dict[str, dict[Connection | Quick, None]] = {}
        self.number = 0
        """The number of open connections."""
        self._none_is_left: asyncio.Future[None] | None = None
        """Done when the last connection has ended, after the beginning of the shutdown."""

    def __call__(self) -> Connection | QuickConnection:  # type: ignore[override]  # aiohttp knows its own protocol alone
        """Create the protocol of a new connection."""
        if self._at_once is None:
            return self.new_connection()
        return QuickConnection(self, self._at_once, self._deadlines)

    def begin_at_once(self, accepted: socket.socket, address: object, hand_over: HandOver) -> bool:
        """Start a connection in clear text without a transport.

        Returns False, and does nothing, if this listener answers nothing at once.
        """
        if self._at_once is None:
            return False
        if self._watch is None:
            self._watch = Watch(self._loop)
        quick = QuickSocket(self, self._at_once, self._deadlines, watch=self._watch, hand_over=hand_over)
        quick.begin(accepted, address)
        return True

    def new_connection(self) -> Connection:
        """Create a connection of the kind that aiohttp serves."""
        return Connection(self, loop=self._loop, bounds=self._bounds, refuse=self._refuse)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection that aiohttp serves."""
        super().connection_made(handler, transport)
        if isinstance(handler, Connection):
            self.arrived(handler)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Stop counting a connection that aiohttp serves."""
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection):
            self.left(handler)

    def arrived(self, one: Connection | Quick) -> None:
        """Count a connection. If there are too many, close an idle one, or else this one."""
        self._by_client.setdefault(one.client, {})[one] = None
        self.number += 1
        if self.number > self._bounds.max_connections:
            # not at once: it may be the new connection, whose task does not run yet
            self._loop.call_soon(self.give_up, 1)

    def left(self, one: Connection | Quick) -> None:
        """Stop counting it."""
        mine = self._by_client[one.client]
        del mine[one]
        self.number -= 1
        if not mine:
            del self._by_client[one.client]
        if not self._by_client and self._none_is_left is not None and not self._none_is_left.done():
            self._none_is_left.set_result(None)

    def give_up(self, number: int) -> None:
        """Close `number` idle connections, each time the oldest of the client that has the most."""
        for _ in range(number):
            by_number = sorted(self._by_client.values(), key=len, reverse=True)
            # of the client with the most: one that opens many cannot push out those that open few
            idle = (one for each in by_number for one in each if one.is_idle and one.is_open)
            oldest = next(idle, None)
            if oldest is None:
                return
            oldest.hang_up()

    def pre_shutdown(self) -> None:
        """Accept no further request on any connection, and close the idle ones."""
        for each in self._all():
            each.leave()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Abort the connections that have not ended within this time."""
        await super().shutdown(timeout)
        if self.number:
            self._none_is_left = self._loop.create_future()
            await asyncio.wait([self._none_is_left], timeout=timeout)
        for each in self._all():
            each.hang_up()
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _all(self) -> list[Connection | Quick]:
        return [one for mine in self._by_client.values() for one in mine]
