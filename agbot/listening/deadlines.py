"""When connections must be ended that all have the same time: one timer for all of them.

Each gets its time when it begins or is renewed, so their deadlines are in the order of that. A
timer for each would cost as much as an answer.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Limited(Protocol):
    """A connection with a limited time."""

    def hang_up(self) -> None:
        """Abort the connection, and `end` its deadline."""


class Deadlines:
    """The deadlines of connections, in the event loop's time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Give each connection these seconds."""
        self._loop = loop
        self._seconds = seconds
        self._of: dict[Limited, float] = {}
        """By connection, the earliest first."""
        self._timer: asyncio.TimerHandle | None = None

    def renew(self, one: Limited) -> None:
        """Give a connection the whole time from now on."""
        # to the end of the dictionary, which keeps it in the order of the deadlines
        self._of.pop(one, None)
        self._of[one] = deadline = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._hang_up_late)

    def end(self, one: Limited) -> float:
        """Forget a connection; return what its deadline was."""
        return self._of.pop(one)

    def _hang_up_late(self) -> None:
        self._timer = None
        while self._of:
            # the timer is not moved by a renewal, so the earliest may be later by now
            first = next(iter(self._of))
            if self._of[first] > self._loop.time():
                self._timer = self._loop.call_at(self._of[first], self._hang_up_late)
                return
            first.hang_up()
