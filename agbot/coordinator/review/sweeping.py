"""Deletes old entries of the journal in the background.

It deletes in batches, with a pause after each batch that is as long as the batch took. To shrink a
large store takes minutes. Meanwhile questions are answered, cycles run, and the watchdog sees that.
Nothing is deleted by a date that has just changed: a sweep begins and continues only while the date
is steady.
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
    """Runs one sweep after the other, an hour apart."""

    def __init__(self, situation: Situation, journal_age: timedelta, journal_bytes: int) -> None:
        """Drop entries older than `journal_age`, and the oldest above `journal_bytes` (0: any)."""
        self._situation = situation
        self._journal_age = journal_age
        self._journal_bytes = journal_bytes
        self._due_at: SeenTime | None = None
        self._task: asyncio.Task[None] | None = None

    async def begin_if_due(self, now: Now) -> None:
        """Begin a sweep if one is due and none is under way.

        A failure of the last sweep is raised here, so that it is reported.
        """
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            await task
        if self._task is None and now.is_steady and (self._due_at is None or now.seen >= self._due_at):
            self._task = asyncio.create_task(self._sweep(now), name="sweep")

    async def stop(self) -> None:
        """End the sweep under way after its batch; the next sweep deletes the rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _sweep(self, now: Now) -> None:
        ledger = self._situation.ledger
        # the cycle reports the untrusted ledger; the next sweep starts over
        with suppress(StoreUnavailableError):
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
