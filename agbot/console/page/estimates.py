"""Keeps estimates of the ends of rollouts in the journal, and what came of them.

Once a minute, while this coordinator leads. Nothing is read unless a rollout is under way, and a
rollout is summarised only after something has happened in it: there are as many as organisations.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Final

from agbot.clock import Clock
from agbot.console.page import accuracy
from agbot.console.page.chronicle import Record, Rollout
from agbot.console.page.forecast import FEWEST, Forecast, forecast
from agbot.console.page.rollouts import Rollouts
from agbot.console.page.standing import Standing
from agbot.coordinator.operations import Operations
from agbot.events.rollouts import RolloutExpected
from agbot.store.contract import StoreError

_EVERY_SECONDS: Final = 60.0


class Estimates:
    """Follows the rollouts under way."""

    def __init__(self, operations: Operations, rollouts: Rollouts, clock: Clock) -> None:
        self._operations = operations
        self._rollouts = rollouts
        self._clock = clock
        self._open: set[Rollout] = set()
        """Those whose end was estimated and has not come yet."""
        self._seen: dict[Rollout, tuple[datetime | None, datetime | None]] = {}
        """The last event and the revision of each active rollout at the last look."""

    async def run(self) -> None:
        """Look at the rollouts until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            with suppress(StoreError):  # the coordinator reports it, and the next look tries again
                await self.look(self._clock.now())

    async def look(self, now: datetime) -> None:
        """Keep the estimates that are due.

        Raises:
            StoreError: the journal could not be read or written.
        """
        active = {(each.kind, each.policy) for each in self._operations.subjects() if each.running or each.waiting}
        if not active and not self._open:
            return
        chronicle = await self._rollouts.chronicler.current()
        # estimates that were kept before the restart would count as missing, and be made again
        if self._rollouts.chronicler.lack:
            return
        self._open = {rollout for rollout, record in chronicle.rollouts.items() if self._kept(rollout, record)}
        before, self._seen = self._seen, {}
        for rollout in sorted(active | self._open):
            record = chronicle.rollouts.get(rollout) or Record()
            seen = record.last_at, self._operations.revised_at(*rollout)
            # one that is not active ends by time alone
            if rollout not in active or before.get(rollout) != seen:
                await self._follow(rollout, record, now)
                self._rollouts.drop_summaries()
                await asyncio.sleep(0)  # questions of nodes are answered meanwhile
            # only now: one whose write has failed is followed again
            if rollout in active:
                self._seen[rollout] = seen

    def _kept(self, rollout: Rollout, record: Record) -> list[RolloutExpected]:
        """Return the estimates for the policy's present revision; none once it has ended."""
        return (
            []
            if self._has_ended(rollout, record)
            else [each for at, each in record.estimates if self._is_of(rollout, at)]
        )

    def _has_ended(self, rollout: Rollout, record: Record) -> bool:
        return record.ended_at is not None and self._is_of(rollout, record.ended_at)

    def _is_of(self, rollout: Rollout, at: datetime) -> bool:
        revised_at = self._operations.revised_at(*rollout)
        return revised_at is None or at >= revised_at

    async def _follow(self, rollout: Rollout, record: Record, now: datetime) -> None:
        if self._has_ended(rollout, record):
            return
        kept = self._kept(rollout, record)
        if not kept and len(record.outcomes) < FEWEST:
            return  # too few groups have ended for a first estimate: so it is with most rollouts
        summary = await self._rollouts.summary(rollout)
        done, end = summary.counts[Standing.DONE], accuracy.ended(summary, kept, now)
        expected = forecast(summary, now, record.tenures(self._operations.revised_at(*rollout)))
        if end is not None:
            await self._operations.note(end)
        elif (
            isinstance(expected, Forecast)
            and accuracy.to_keep(expected, done, kept)
            and self._operations.overview().ready  # the pace is that of a time in which upgrades began
        ):
            kind, policy = rollout
            await self._operations.note(
                RolloutExpected(
                    subject=policy,
                    kind=kind,
                    earliest=expected.earliest,
                    latest=expected.latest,
                    done=done,
                    remaining=expected.remaining,
                )
            )
