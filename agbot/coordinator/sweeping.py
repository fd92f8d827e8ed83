"""Throws the old of the journal away: beside the cycle, a stretch at a time, with a pause after each as long as the stretch took.

A large store takes minutes to become a small one. Meanwhile questions are answered and cycles run, and the watchdog sees that. Nothing is
deleted by a date that has just changed: a sweep begins and goes on only while the date is steady.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from agbot.coordinator.situation import Situation
from agbot.rules.seen_time import Now, SeenTime
from agbot.store.contract import StoreUnavailableError

_EVERY: Final = timedelta(hours=1)
_LEAST_PAUSE_SECONDS: Final = 0.005


class Sweeping:
    """One sweep after the other, an hour between them."""

    def __init__(self, situation: Situation, journal_age: timedelta, journal_bytes: int) -> None:
        """Drop journal entries that are older than `journal_age`, and the oldest while all take more than `journal_bytes` (0: any)."""
        self._situation = situation
        self._journal_age = journal_age
        self._journal_bytes = journal_bytes
        self._due_at: SeenTime | None = None
        self._task: asyncio.Task[None] | None = None

    async def look(self, now: Now) -> None:
        """Begin a sweep if one is due and none is under way. What went wrong in the last one is raised here, where it is told."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            await task
        if self._task is None and now.is_steady and (self._due_at is None or now.seen >= self._due_at):
            self._task = asyncio.create_task(self._sweep(now), name="sweep")

    async def stop(self) -> None:
        """End the sweep under way after its stretch; what is left goes in the next one."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _sweep(self, now: Now) -> None:
        ledger = self._situation.ledger
        with suppress(StoreUnavailableError):  # the ledger doubts, and the cycle tells; the next one begins again
            await ledger.prune(now.wall - self._journal_age, self._pause)
            if self._journal_bytes:
                await ledger.trim(self._journal_bytes, self._pause)
            if self._goes_on():
                self._due_at = now.seen + _EVERY

    async def _pause(self, took_seconds: float) -> bool:
        await self._situation.clock.sleep(max(took_seconds, _LEAST_PAUSE_SECONDS))
        return self._goes_on()

    def _goes_on(self) -> bool:
        return self._situation.now().is_steady and not self._situation.is_stopping
