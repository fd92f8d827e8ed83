"""Ends what has expired, and deletes what is old.

These are holds, allowances, words of busy nodes, and old entries of the journal.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from agbot.coordinator.situation import Situation
from agbot.rules.busy import NotNow
from agbot.rules.ids import NodeId
from agbot.rules.limits import Limits
from agbot.rules.seen_time import Now, SeenTime
from agbot.store.contract import StoreUnavailableError
from agbot.transitions import busy, operators
from agbot.transitions.change import NO_CHANGE, Change

_MAX_NODES: Final = 50_000
"""More than a hub has. It is bounded because a message may name a node that does not exist."""
_SWEPT_EVERY: Final = timedelta(hours=1)
_LEAST_PAUSE_SECONDS: Final = 0.005


class Housekeeping:
    """Runs once in every cycle."""

    def __init__(self, situation: Situation, journal_age: timedelta, journal_bytes: int) -> None:
        """Drop entries older than `journal_age`, and the oldest above `journal_bytes` (0: any)."""
        self._situation = situation
        self._words: dict[NodeId, NotNow | None] = {}
        self._sweeping = _Sweeping(situation, journal_age, journal_bytes)

    def note_busy(self, node: NodeId, word: NotNow | None) -> None:
        """Note a node's word that it is busy; None if it is not any more.

        Between two cycles only the last word of a node counts, so that a program that sends without
        pause costs one write in two seconds.
        """
        known = self._situation.ledger.busy
        if node in known or len(self._words) + len(known) < _MAX_NODES:
            self._words[node] = word

    async def run(self) -> None:
        """Do what is due."""
        situation = self._situation
        # nothing ends by a date that has just changed, or that is far from the Exchange's
        if situation.now().is_steady:
            for over in (self._holds_over, self._allowances_over):
                if over():
                    await situation.commit_due(over)
            await self._take_words()
        if self._busy_over():
            await situation.commit_due(self._busy_over)
        await self._sweeping.begin_if_due(situation.now())

    async def stop(self) -> None:
        """Stop the deletion of old entries."""
        await self._sweeping.stop()

    async def _take_words(self) -> None:
        situation, words = self._situation, self._words
        if not words:
            return
        self._words = {}
        try:
            await situation.commit_due(lambda: busy.take_in(words, situation.ledger.busy, situation.now()))
        except StoreUnavailableError:
            # a later word of the same node counts; after a bug none is kept, as it would fail again
            self._words = words | self._words
            raise

    def _holds_over(self) -> Change:
        holds = self._situation.ledger.holds
        return operators.expire_holds(holds.values(), self._situation.now()) if holds else NO_CHANGE

    def _allowances_over(self) -> Change:
        ledger = self._situation.ledger
        if not ledger.allowances:
            return NO_CHANGE
        return operators.expire_allowances(ledger.allowances.values(), ledger.leaving, self._situation.now())

    def _busy_over(self) -> Change:
        known = self._situation.ledger.busy.values()
        if not known:
            return NO_CHANGE
        return busy.age(((each, self._limits_of(each.node)) for each in known), self._situation.now())

    def _limits_of(self, node: NodeId) -> Limits | None:
        group = getattr(self._situation.picture.node(node), "group", None)
        return self._situation.limits_of(group) if group else None


class _Sweeping:
    """Deletes old entries of the journal in the background, once in an hour.

    It deletes in batches, with a pause after each batch that is as long as the batch took. To
    shrink a large store takes minutes. Meanwhile questions are answered, cycles run, and the
    watchdog sees that. A sweep begins and continues only while the date is steady.
    """

    def __init__(self, situation: Situation, journal_age: timedelta, journal_bytes: int) -> None:
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
            await ledger.prune(self._journal_age, now, self._pause)
            if self._journal_bytes:
                await ledger.trim(self._journal_bytes, self._pause)
            if self._goes_on():
                self._due_at = now.seen + _SWEPT_EVERY

    async def _pause(self, took_seconds: float) -> bool:
        await self._situation.clock.sleep(max(took_seconds, _LEAST_PAUSE_SECONDS))
        return self._goes_on()

    def _goes_on(self) -> bool:
        return self._situation.now().is_steady and not self._situation.is_stopping
