"""The scheduler's cycle: take in what has changed, review the leases, write what has come up, and say in one sentence what was done.

The cycle polls fast while a lease is held or somebody waits, and slowly otherwise. Whatever fails in it is told once and tried again in
the next one. While the store fails nothing is decided, but the Exchange is looked at all the same: that is no blindness. What one group
contains keeps nobody else from being looked at (`troubles`); a cycle that fails altogether is a bug, is logged with its traceback, and
does not end the daemon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agbot.coordinator.deferring import Deferring
from agbot.coordinator.housekeeping import Housekeeping
from agbot.coordinator.intake import Intake, IntakeReport
from agbot.coordinator.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.coordinator.store_change import StoreChange
from agbot.coordinator.unasked import Unasked
from agbot.coordinator.waiting import Waiting
from agbot.exchange.errors import ExchangeError
from agbot.rules.lease import State
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, StoreUnavailableError, Writes


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """What one cycle did."""

    sentence: str
    at: datetime
    took_seconds: float


_JUDGED_WITHIN = timedelta(seconds=5)
"""A cycle whose look at the feed is older looks again before it judges."""


_MOST_PHRASES = 5
_LONGEST_PHRASE = 300


class Cycle:
    """One round after the other; not for two at a time."""

    def __init__(
        self,
        situation: Situation,
        intake: Intake,
        reviewing: Reviewing,
        deferring: Deferring,
        waiting: Waiting,
        *,
        unasked: Unasked,
        journal_age: timedelta,
        journal_bytes: int = 0,
    ) -> None:
        """Drop journal entries that are older than `journal_age`, and the oldest while all take more than `journal_bytes` (0: any)."""
        self._housekeeping = Housekeeping(situation, journal_age, journal_bytes)
        self._situation = situation
        self._intake = intake
        self._store_change = StoreChange(situation, intake)
        self._reviewing = reviewing
        self._deferring = deferring
        self._unasked = unasked
        self._waiting = waiting
        self.store_failing = ""
        """What the store said, while it fails."""

    async def run(self) -> CycleReport:
        """Run one cycle."""
        began = self._situation.clock.monotonic_seconds()
        done: list[str] = []
        report = IntakeReport()
        is_trusted = await self._trust_store() and await self._move_along()
        if self._situation.seen_clock.is_running:  # once the store was read: before that nobody knows how late it is
            report = await self._look()
        if is_trusted:
            try:
                done = await self._store_change.look(failing=bool(report.failing))
                done += await self._act(report)
            except StoreUnavailableError as error:
                self._store_failed(str(error))
        took_seconds = self._situation.clock.monotonic_seconds() - began
        now = self._situation.now().wall
        return CycleReport(sentence=self._sentence(report, done), at=now, took_seconds=took_seconds)

    async def _look(self) -> IntakeReport:
        """See what there is to see, whether or not anything can be written about it."""
        report = IntakeReport()
        with self._situation.troubles.guard("intake"):
            report = await self._intake.take_in()
        with self._situation.troubles.guard("agbot"):
            await self._unasked.look()
        return report

    async def stop(self) -> None:
        """End what a cycle has begun and goes on beside it."""
        await self._housekeeping.stop()

    async def _trust_store(self) -> bool:
        """Read the store anew when a write has failed; without it nothing is decided."""
        ledger = self._situation.ledger
        if ledger.is_trusted and await self._is_in_place():
            return True
        if ledger.failure:  # a question may have met the failure, and the store be well again by now
            self._store_failed(ledger.failure)
        try:
            await ledger.load()
        except StoreUnavailableError as error:
            self._store_failed(str(error))
            return False
        self._situation.resume()
        now = self._situation.now()
        for waiters in ledger.waiters.values():  # they were silent because nobody listened
            waiters.update({key: replace(waiter, asked_at=now.seen) for key, waiter in waiters.items()})
        return await self._has_recovered(now)

    async def _move_along(self) -> bool:
        try:
            await self._situation.move_along()
        except StoreUnavailableError as error:
            self._store_failed(str(error))
            return False
        return True

    async def _is_in_place(self) -> bool:
        """Look whether what would be written is still there; a removed file is found before somebody asks."""
        try:
            await self._situation.ledger.check()
        except StoreUnavailableError as error:
            self._store_failed(str(error))
            return False
        return True

    async def _has_recovered(self, now: Now) -> bool:
        """Prove that a store which had failed takes writes again: a full disk reads well all the time."""
        if self.store_failing:
            try:
                await self._situation.write(Writes(entries=[Entry(at=now.wall, event="store.recovered")]))
            except StoreUnavailableError as error:
                self._store_failed(str(error))
                return False
        self.store_failing = ""
        return True

    async def _act(self, report: IntakeReport) -> list[str]:
        guard = self._situation.troubles.guard
        with guard("waiters"):
            await self._write_waiters()
            await self._unasked.contacts.write()
        done = await self._judge() if await self._sees(report) else []
        with guard("housekeeping"):
            await self._housekeeping.run()
        if self._situation.ledger.groups_that_matter():
            await self._situation.save_clock()
        return done

    async def _sees(self, report: IntakeReport) -> bool:
        """Look at the feed again where the reads have taken long, or the process was stopped among them: nothing is judged blindly."""
        age = self._situation.view_age()
        if not report.failing and (age is None or age > _JUDGED_WITHIN):
            try:
                await self._intake.feed.fresh()
            except ExchangeError as error:
                report.failing = str(error)
        return not report.failing and not self._situation.why_times_unknown()

    async def _judge(self) -> list[str]:
        """Say what the facts prove: only from what was read after we could last see."""
        ledger, guard = self._situation.ledger, self._situation.troubles.guard
        groups = dict.fromkeys((*self._intake.joined, *ledger.groups_that_matter()))
        done: list[str] = []
        for group in groups:
            with guard("deferrals", group):
                await self._deferring.refresh(group)
                done += await self._unasked.reported(group)
            if not self._situation.doubts():  # with a doubt nothing was begun
                self._intake.joined.pop(group, None)
        self._situation.troubles.keep("deferrals", groups)
        with guard("upgrades unasked"):
            done += await self._unasked.follow()
        done += await self._reviewing.review_all()
        with guard("rests"):
            done += await self._reviewing.watch_rests()
        return done

    async def _write_waiters(self) -> None:
        situation, waiting = self._situation, self._waiting
        now = situation.now()
        gone: list[Writes] = []
        groups = waiting.groups()
        for group in groups:
            with situation.troubles.guard("waiters", group):
                gone.append(waiting.gone(situation.group(group), situation.picture.certain_node, now))
        situation.troubles.keep("waiters", ("", *groups))
        unwritten = waiting.unwritten()
        writes = Writes(
            put=unwritten.put,
            drop=[key for each in gone for key in each.drop],
            entries=[*unwritten.entries, *(entry for each in gone for entry in each.entries)],
        )
        if writes.put or writes.drop:
            await situation.write(writes)
            waiting.written(unwritten)

    def _sentence(self, report: IntakeReport, done: list[str]) -> str:
        ledger = self._situation.ledger
        states = [lease.state for lease in ledger.occupied()]
        held, suspect = states.count(State.HELD), states.count(State.SUSPECT)
        waiting = sum(len(waiters) for waiters in ledger.waiters.values())
        parts = _at_most(_MOST_PHRASES, done)
        if self.store_failing:
            parts.append(f"grants nothing because the lease store fails: {self.store_failing}")
        if report.failing:
            parts.append(f"cannot read the Exchange: {report.failing}")
        if report.synced:
            parts.append(f"read {', '.join(_at_most(_MOST_PHRASES, report.synced))} as a whole")
        if report.changes:
            parts.append(f"took in {report.changes} {'change' if report.changes == 1 else 'changes'}")
        state = f"{held} held, {suspect} suspect, {waiting} waiting"
        said = "; ".join(part if len(part) <= _LONGEST_PHRASE else f"{part[:_LONGEST_PHRASE]} …" for part in parts)
        return f"{said}; {state}" if parts else f"nothing new; {state}"

    def _store_failed(self, error: str) -> None:
        if not self.store_failing:
            self._tell("store.failed", {"error": error})
        self.store_failing = error

    def _tell(self, event: str, facts: dict[str, object]) -> None:
        self._situation.tell(Entry(at=self._situation.now().wall, event=event, facts=facts))


def _at_most(most: int, phrases: Sequence[str]) -> list[str]:
    """Return the first of many, and how many more there are: a sentence is read by people, and stands in systemd's STATUS=."""
    left = len(phrases) - most
    return [*phrases[:most], f"and {left} more"] if left > 0 else list(phrases)
