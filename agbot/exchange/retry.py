"""Trying a background read again, with growing random pauses, until a deadline.

Only what may pass by itself is tried again: no answer, or a 5xx. Wrong credentials, missing rights and unreadable replies stay. The read
that stands before a grant is never retried: it has three seconds, and the agent asks again anyway.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from agbot.clock import Clock
from agbot.exchange.errors import Failed, Unreachable

Value = TypeVar("Value")


class Retry:
    """How a background read is tried again, on the coordinator's clock (tenacity's own rules know only the real one)."""

    def __init__(
        self,
        clock: Clock,
        *,
        deadline_seconds: float = 30.0,
        first_pause_seconds: float = 0.5,
        longest_pause_seconds: float = 8.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """No attempt begins later than `deadline_seconds` after the first; the last one may take its own time beyond it.

        `chance` returns a number from 0 to 1 and scatters the pauses, so that replicas do not return in step.
        """
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._first_pause_seconds = first_pause_seconds
        self._longest_pause_seconds = longest_pause_seconds
        self._chance = chance

    async def __call__(self, read: Callable[[], Awaitable[Value]]) -> Value:
        """Read, if need be several times.

        Raises:
            ExchangeError: the last attempt's.
        """
        last_start = self._clock.monotonic_seconds() + self._deadline_seconds

        def too_late(state: RetryCallState) -> bool:
            return self._clock.monotonic_seconds() + state.upcoming_sleep > last_start

        async def attempt() -> (
            Value
        ):  # tenacity awaits only what is declared async: not a lambda that returns an awaitable
            return await read()

        attempts = AsyncRetrying(
            sleep=self._clock.sleep,
            stop=too_late,
            wait=self._pause_seconds,
            retry=retry_if_exception(may_pass),
            reraise=True,
        )
        return await attempts(attempt)

    def _pause_seconds(self, state: RetryCallState) -> float:
        doubled = self._first_pause_seconds * 2.0 ** min(state.attempt_number - 1, 30)
        return min(doubled, self._longest_pause_seconds) * (0.5 + self._chance() / 2)


def may_pass(error: BaseException) -> bool:
    """Tell whether the same question may be answered a moment later."""
    if isinstance(error, Failed):
        return error.status is not None and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, Unreachable)
