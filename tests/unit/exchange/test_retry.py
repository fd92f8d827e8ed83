"""Which errors are worth a second try, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agbot.exchange.errors import ExchangeError, Failed, Forbidden, Refused, Unreachable, Unreadable
from agbot.exchange.retry import Retry
from tests.support.clocks import NOON, HandClock


def error(kind: type[ExchangeError], status: int | None = None) -> ExchangeError:
    return kind("GET", "/orgs/o1/nodes", "something", "do something", status=status)


def answering(*answers: ExchangeError | str, tries: list[int]) -> Callable[[], Awaitable[str]]:
    """Return a read that gives these answers in order, the last one forever."""

    async def read() -> str:
        answer = answers[min(len(tries), len(answers) - 1)]
        tries.append(1)
        if isinstance(answer, ExchangeError):
            raise answer
        return answer

    return read


@pytest.mark.parametrize("passing", [error(Unreachable), error(Failed, 500), error(Failed, 503)])
async def test_what_may_pass_by_itself_is_tried_again(passing: ExchangeError) -> None:
    tries: list[int] = []

    assert await Retry(HandClock())(answering(passing, passing, "good", tries=tries)) == "good"
    assert len(tries) == 3


@pytest.mark.parametrize(
    "lasting",
    [
        error(Refused, 401),
        error(Forbidden, 403),
        error(Failed, 404),
        error(Failed, 400),
        error(Failed),
        error(Unreadable, 200),
    ],
)
async def test_what_stays_is_not_tried_again(lasting: ExchangeError) -> None:
    tries: list[int] = []
    clock = HandClock()

    with pytest.raises(type(lasting)) as caught:
        await Retry(clock)(answering(lasting, "good", tries=tries))

    assert caught.value is lasting
    assert (len(tries), clock.slept) == (1, [])


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
async def test_no_try_begins_after_the_deadline_and_the_last_error_is_reported(chance: float) -> None:
    clock = HandClock()
    down = error(Unreachable)

    with pytest.raises(Unreachable) as caught:
        await Retry(clock, deadline_seconds=30, chance=lambda: chance)(answering(down, tries=[]))

    assert caught.value is down
    assert 15 < (clock.now() - NOON).total_seconds() <= 30


async def test_pauses_grow_to_a_limit_and_are_scattered_below_it() -> None:
    clock = HandClock()
    retry = Retry(clock, deadline_seconds=100, first_delay_seconds=1, longest_delay_seconds=4, chance=lambda: 1.0)
    with pytest.raises(Unreachable):
        await retry(answering(error(Unreachable), tries=[]))
    assert clock.slept[:5] == [1, 2, 4, 4, 4]

    clock = HandClock()
    retry = Retry(clock, deadline_seconds=100, first_delay_seconds=1, longest_delay_seconds=4, chance=lambda: 0.0)
    with pytest.raises(Unreachable):
        await retry(answering(error(Unreachable), tries=[]))
    assert clock.slept[:5] == [0.5, 1, 2, 2, 2]


async def test_a_cancelled_read_is_not_tried_again() -> None:
    tries: list[int] = []

    async def read() -> None:
        tries.append(1)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Retry(HandClock())(read)
    assert len(tries) == 1
