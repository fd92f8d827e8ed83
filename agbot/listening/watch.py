"""Watches many sockets, each read once or twice, through one entry in the event loop's selector.

For such sockets asyncio's `add_reader` and `remove_reader` cost more than the reads: a handle, a
lookup that raises, and two table entries for each. Here a socket is one entry in an epoll set, and
the kernel removes it when the socket is closed. The event loop watches the set itself (epoll(7): a
set may contain another one).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

BATCH = 32
"""The most sockets that are read before other tasks run."""


class Watch:
    """The sockets that are watched, by descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._ready)

    def add(self, descriptor: int, reader: Callable[[], None]) -> None:
        """Call `reader` whenever the socket is readable."""
        self._readers[descriptor] = reader
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop watching a socket that stays open."""
        del self._readers[descriptor]
        self._epoll.unregister(descriptor)

    def closing(self, descriptor: int) -> None:
        """Stop watching a socket that is closed next."""
        del self._readers[descriptor]

    def close(self) -> None:
        """Stop watching all sockets."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        for descriptor, _events in self._epoll.poll(0, BATCH):
            reader = self._readers.get(descriptor)
            if reader is not None:  # an earlier reader of this round may have ended it
                reader()
