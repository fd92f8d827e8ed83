"""Retries of background reads, with growing random delays, until a deadline.

Only transient errors are retried: no answer, or a 5xx. Wrong credentials, missing permissions and
unreadable replies are not. The reads before a grant are never retried: they have three seconds, and
the agent asks again anyway.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from agbot.clock import Clock
from agbot.exchange.errors import Failed, Unreachable

_Value = TypeVar("_Value")


class Retry:
    """The retry policy, on the coordinator's clock (tenacity's own strategies use the real one)."""

    def __init__(
        self,
        clock: Clock,
        *,
        deadline_seconds: float = 30.0,
        first_delay_seconds: float = 0.5,
        longest_delay_seconds: float = 8.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """No attempt begins later than `deadline_seconds` after the first; the last may end later.

        `chance` returns a number from 0 to 1, which randomises the delays, so that clients do not
        retry in step.
        """
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._first_delay_seconds = first_delay_seconds
        self._longest_delay_seconds = longest_delay_seconds
        self._chance = chance

    async def __call__(self, read: Callable[[], Awaitable[_Value]]) -> _Value:
        """Read, with retries if necessary.

        Raises:
            ExchangeError: the last attempt's.
        """
        last_start = self._clock.monotonic_seconds() + self._deadline_seconds

        def too_late(state: RetryCallState) -> bool:
            return self._clock.monotonic_seconds() + state.upcoming_sleep > last_start

        # tenacity awaits only async functions, not a lambda that returns an awaitable
        async def attempt() -> _Value:
            return await read()

        attempts = AsyncRetrying(
            sleep=self._clock.sleep,
            stop=too_late,
            wait=self._delay_seconds,
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        return await attempts(attempt)

    def _delay_seconds(self, state: RetryCallState) -> float:
        doubled = self._first_delay_seconds * 2.0 ** min(state.attempt_number - 1, 30)
        # half of it is random: after an outage all reads of all coordinators would come together
        return min(doubled, self._longest_delay_seconds) * (0.5 + self._chance() / 2)


def _may_pass(error: BaseException) -> bool:
    """Whether the error is transient."""
    if isinstance(error, Failed):
        return error.status is not None and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, Unreachable)
