"""Many reads of one command: several at a time, so that neither the person nor the Exchange waits for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
Result = TypeVar("Result")

_READS_AT_ONCE = 8


async def each(things: Iterable[T], read: Callable[[T], Awaitable[Result]]) -> list[Result]:
    """Read about each of these, and return what came back in their order. The first of them that fails is what is raised."""
    turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def one(thing: T) -> Result:
        async with turns:
            return await read(thing)

    tasks = [asyncio.ensure_future(one(thing)) for thing in things]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
