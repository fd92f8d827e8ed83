"""Concurrent reads of one command, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
Result = TypeVar("Result")

_READS_AT_ONCE = 8


async def each(things: Iterable[T], read: Callable[[T], Awaitable[Result]]) -> list[Result]:
    """Read each of these, and return the results in order. The first error is raised."""
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
