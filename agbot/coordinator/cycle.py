"""The scheduler's cycle: take in changes, review the leases, write, and report it in one sentence.

The cycle polls fast while a lease is held or a member waits, and slowly otherwise. A failure in it
is reported once, and the part is tried again in the next one. While the store fails nothing is
decided, but the Exchange is read all the same, so that this time counts as seen. A failure in one
group does not affect the others (`troubles`). A cycle that raises is a bug: it is logged with its
traceback, and does not end the daemon.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agbot.coordinator.event_loop import Background, Slices
from agbot.coordinator.intake.intake import Intake, IntakeReport
from agbot.coordinator.review import deferring
from agbot.coordinator.review.brakes import Brakes
from agbot.coordinator.review.housekeeping import Housekeeping
from agbot.coordinator.review.reviewing import Reviewing
from agbot.coordinator.review.store_change import StoreChange
from agbot.coordinator.review.waiters import Waiters, Waiting
from agbot.coordinator.situation import Situation
from agbot.coordinator.unasked.unasked import Unasked
from agbot.events.outage import Outage
from agbot.events.store import StoreFailed, StoreRecovered
from agbot.exchange.errors import ExchangeError
from agbot.rules.ids import GroupId
from agbot.rules.lease import State
from agbot.rules.seen_time import Now
from agbot.store.contract import NotLeadingError, StoreUnavailableError
from agbot.transitions.change import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """What one cycle did."""

    sentence: str
    at: datetime
    took_seconds: float


_FOLLOWED_EVERY = timedelta(seconds=2.5)
"""How often the feed is read within a cycle, so that the picture stays fresh enough to judge."""
_MOST_PHRASES = 5
_LONGEST_PHRASE = 300


class Cycle:
    """Runs cycles. Only one may run at a time."""

    def __init__(
        self,
        situation: Situation,
        intake: Intake,
        reviewing: Reviewing,
        waiting: Waiting,
        *,
        brakes: Brakes,
        unasked: Unasked,
        housekeeping: Housekeeping,
    ) -> None:
        self._housekeeping = housekeeping
        self._situation = situation
        self._intake = intake
        self._store_change = StoreChange(situation, intake.organisations)
        self._reviewing = reviewing
        self._brakes = brakes
        self._unasked = unasked
        self._waiters = Waiters(situation, intake.attention, waiting)
        self._attention = intake.attention
        self._store_outage = Outage()
        # apart from that of the intake: what writes is stopped while the store fails, and the reads
        # go on
        self._background = Background()

    async def run(self) -> CycleReport:
        """Run one cycle."""
        began = self._situation.clock.monotonic_seconds()
        following = asyncio.create_task(self._follow_feed(began), name="feed")
        try:
            return await self._run(began)
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def _follow_feed(self, began: float) -> None:
        """Read the change feed while a cycle takes long, without waiting for its reads and reviews.

        The cycle itself does the first read, and reports failures.
        """
        situation = self._situation
        while True:
            await situation.clock.sleep(_FOLLOWED_EVERY.total_seconds())
            if situation.view_at is not None and situation.view_seconds >= began:
                with situation.troubles.guard("feed"), suppress(ExchangeError):
                    await self._intake.follow()

    async def _run(self, began: float) -> CycleReport:
        done: list[str] = []
        report = IntakeReport()
        is_trusted = await self._trust_store() and await self._succeeds(self._situation.move_along())
        # the clock runs once the store has been read
        if self._situation.dates.is_running:
            report = await self._read()
        if is_trusted:
            try:
                done = await self._store_change.follow(failing=bool(report.failing))
                done += await self._act(report)
            except StoreUnavailableError as error:
                self._store_failed(error)
        done = [*self._reviewing.take_done_beside(), *done]
        took_seconds = self._situation.clock.monotonic_seconds() - began
        now = self._situation.now().wall
        return CycleReport(sentence=self._sentence(report, done), at=now, took_seconds=took_seconds)

    async def _read(self) -> IntakeReport:
        """Read what has changed, also while the store fails."""
        report = IntakeReport()
        with self._situation.troubles.guard("intake"):
            report = await self._intake.take_in()
        with self._situation.troubles.guard("agbot"):
            await self._unasked.read()
        return report

    async def stop(self) -> None:
        """End the work that a cycle has begun and that outlasts it."""
        await self._background.stop()
        await self._intake.stop()
        await self._housekeeping.stop()

    async def _trust_store(self) -> bool:
        """Read the store again if a write has failed. Until that succeeds nothing is decided."""
        ledger = self._situation.ledger
        if ledger.is_trusted and await self._succeeds(ledger.check()):  # a removed file is found before a node asks
            return True
        if ledger.failure:  # a question had the failure, and the store may have recovered since
            self._store_failed(ledger.failure)
        # a write that was begun before the failure must not be reported after the recovery
        await self._background.stop()
        if not await self._succeeds(ledger.load()):
            return False
        self._situation.resume()
        self._attention.everything()
        now = self._situation.now()
        for waiters in ledger.waiters.values():  # no question was received while the store failed
            waiters.update({key: replace(waiter, asked_at=now.seen) for key, waiter in waiters.items()})
        ledger.waiters_read_at = now.seen
        return await self._has_recovered(now)

    async def _succeeds(self, use: Awaitable[object]) -> bool:
        """Use the store; return whether it did not fail. A failure is noted."""
        try:
            await use
        except StoreUnavailableError as error:
            self._store_failed(error)
            return False
        return True

    async def _has_recovered(self, now: Now) -> bool:
        """Whether a store that had failed can be written again: a full disk can still be read."""
        recovered = Change(events=[StoreRecovered()], at=now.wall)
        if self._store_outage.is_on and not await self._succeeds(self._situation.commit(recovered)):
            return False
        self._store_outage.ends()
        return True

    async def _act(self, report: IntakeReport) -> list[str]:
        writing = self._background.follow(waiters=self._write_waiters)
        found = await asyncio.gather(writing, self._judge_if_fresh(report), return_exceptions=True)
        for failed in found:
            if isinstance(failed, BaseException):
                raise failed
        done = found[1] if isinstance(found[1], list) else []
        with self._situation.troubles.guard("housekeeping"):
            await self._housekeeping.run()
        if self._situation.ledger.tally.mattering:
            await self._situation.save_clock()
        return done

    async def _write_waiters(self) -> None:
        with self._situation.troubles.guard("waiters"):
            await self._waiters.write()
            await self._unasked.contacts.write()

    async def _judge_if_fresh(self, report: IntakeReport) -> list[str]:
        return await self._judge() if await self._is_fresh(report) else []

    async def _is_fresh(self, report: IntakeReport) -> bool:
        """Whether the picture is fresh enough to judge on.

        The feed is read again if the reads have taken long, or the process was stopped in between.
        """
        if not report.failing and not self._situation.is_view_fresh():
            report.failing = "the read of the change feed has failed in an unforeseen way"
            with self._situation.troubles.guard("feed"):
                report.failing = await self._why_unread()
        return not report.failing and not self._situation.dates.why_unknown()

    async def _why_unread(self) -> str:
        """Read the change feed; return why it could not be read, empty if it could."""
        try:
            await self._intake.feed.fresh()
        except ExchangeError as error:
            return str(error)
        return ""

    async def _judge(self) -> list[str]:
        """Judge the groups that are due, only on facts that are fresh; return what was done."""
        situation, attention, reviewing = self._situation, self._attention, self._reviewing
        attention.gather()
        now = situation.now().seen
        due = attention.judging.take(now)
        done: list[str] = []
        try:
            done += await self._follow_unasked(due)
            # what was begun is reviewed at once, and may have taken leases
            attention.gather()
            due = list(dict.fromkeys((*due, *attention.judging.take(now))))
            done += await reviewing.review_each(due)
            with situation.troubles.guard("rests"):
                done += await self._brakes.watch(due)
            await self._brakes.lift(due)
        except BaseException:
            attention.judging.at_once(due)  # not all of them were judged
            raise
        if situation.doubts() or situation.dates.why_unknown():
            # a doubt has arisen meanwhile, and it is not known which were judged before it
            attention.judging.at_once(due)
        slices = Slices()
        for group in due:
            with situation.troubles.guard("next review", group):
                attention.judge_again(group, now)
            await slices.end()
        attention.judging.at_once(situation.troubles.abouts("deferrals", "review", "rest", "brakes", "next review"))
        return done

    async def _follow_unasked(self, due: Iterable[GroupId]) -> list[str]:
        """Begin and end deferrals, and take leases for unasked upgrades, in busy groups."""
        situation, joined, done, slices = self._situation, self._intake.joined, list[str](), Slices()
        mattering = situation.ledger.tally.mattering
        for group in dict.fromkeys((*joined, *(group for group in due if group in mattering))):
            with situation.troubles.guard("deferrals", group):
                if self._unasked.concerns(group):
                    await deferring.refresh(situation, group)
                    done += await self._unasked.reported(group)
                if group in joined and not situation.doubts():  # with a doubt nothing was begun
                    del joined[group]
            await slices.end()
        situation.troubles.keep("deferrals", ChainMap(mattering, joined))
        with situation.troubles.guard("unasked upgrades"):
            done += await self._unasked.follow()
        return done

    def _sentence(self, report: IntakeReport, done: list[str]) -> str:
        ledger = self._situation.ledger
        held, suspect = ledger.tally.states[State.HELD], ledger.tally.states[State.SUSPECT]
        parts = _at_most(_MOST_PHRASES, done)
        if self._store_outage.why:
            parts.append(f"grants nothing because the lease store fails: {self._store_outage.why}")
        if report.failing:
            parts.append(f"cannot read the Exchange: {report.failing}")
        if report.synced:
            parts.append(f"read {', '.join(_at_most(_MOST_PHRASES, report.synced))} as a whole")
        if report.changes:
            parts.append(f"took in {report.changes} {'change' if report.changes == 1 else 'changes'}")
        state = f"{held} held, {suspect} suspect, {ledger.tally.waiting} waiting"
        sentence = "; ".join(part if len(part) <= _LONGEST_PHRASE else f"{part[:_LONGEST_PHRASE]} …" for part in parts)
        return f"{sentence}; {state}" if parts else f"nothing new; {state}"

    def _store_failed(self, error: StoreUnavailableError) -> None:
        """Note the failure; that another leads is reported as `leader.lost`."""
        if self._store_outage.begins(str(error)) and not isinstance(error, NotLeadingError):
            self._situation.report_event(StoreFailed(error=str(error)))


def _at_most(most: int, phrases: Sequence[str]) -> list[str]:
    """Return the first phrases, and how many more there are, for people and systemd's STATUS=."""
    left = len(phrases) - most
    return [*phrases[:most], f"and {left} more"] if left > 0 else list(phrases)
