"""What ends by its date, and what is thrown away: holds, allowances, brakes that hold nobody, the old of the journal.

Nothing ends or is deleted by a date that has just changed, or is not about the Exchange's.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.coordinator import entries, stopping
from agbot.coordinator.situation import Situation
from agbot.coordinator.sweeping import Sweeping
from agbot.store.contract import Writes
from agbot.store.records import key_of


class Housekeeping:
    """Goes round once in every cycle."""

    def __init__(self, situation: Situation, journal_age: timedelta, journal_bytes: int) -> None:
        """Drop journal entries that are older than `journal_age`, and the oldest while all take more than `journal_bytes` (0: any)."""
        self._situation = situation
        self._sweeping = Sweeping(situation, journal_age, journal_bytes)

    async def run(self) -> None:
        """Do what is due.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        if self._situation.now().is_steady:
            await self._expire_pauses()
            await self._expire_allowances()
        await self._sweeping.look(self._situation.now())
        await stopping.lift(self._situation)

    async def stop(self) -> None:
        """Throw nothing away any more."""
        await self._sweeping.stop()

    async def _expire_pauses(self) -> None:
        if self._pauses_over().drop:
            await self._situation.write_due(self._pauses_over)

    def _pauses_over(self) -> Writes:
        now = self._situation.now()
        over = [
            each for each in self._situation.ledger.pauses.values() if each.until is not None and each.until <= now.wall
        ]
        drop = [key_of(pause) for pause in over]
        told = [entries.pause_ended(pause, "its time is over", now) for pause in over]
        return Writes(drop=drop, entries=told)

    async def _expire_allowances(self) -> None:
        if self._allowances_over().drop:
            await self._situation.write_due(self._allowances_over)

    def _allowances_over(self) -> Writes:
        now, ledger = self._situation.now(), self._situation.ledger
        over = {key_of(each): each for each in ledger.allowances.values() if each.until <= now.wall}
        over = {key: each for key, each in over.items() if key not in ledger.leaving}  # a grant is spending it
        told = [entries.allowance_ended(each, "its time is over and it was not used", now) for each in over.values()]
        return Writes(drop=list(over), entries=told)
