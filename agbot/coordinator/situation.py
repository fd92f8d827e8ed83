"""What is known now: picture, ledger, clock and limits, and whether they can be trusted (P4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain

from agbot.clock import Clock
from agbot.coordinator.clocks.clocks import AWAY_STEP, Clocks
from agbot.coordinator.clocks.seen_clock import REACH, SeenClock, latest_moment
from agbot.coordinator.memory import group_facts
from agbot.coordinator.memory.ledger import Ledger
from agbot.coordinator.memory.rows_seen import RowsSeen
from agbot.coordinator.memory.traffic import TrafficReport
from agbot.coordinator.troubles import Troubles
from agbot.events.event import Event
from agbot.events.process import ClockStepped
from agbot.events.store import StoreSettled
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.changes import Read
from agbot.fleet.picture import Picture
from agbot.fleet.reads import Ages
from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.ids import GroupId
from agbot.rules.lease import Kind
from agbot.rules.limits import LimitsOf
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Approval, Deferral
from agbot.rules.rule import Case
from agbot.rules.seen_time import Now, SeenTime
from agbot.store.contract import Entry, Lost, StoreUnavailableError, Writes
from agbot.transitions.change import NO_CHANGE, Change

_RECENT_TURN = timedelta(hours=2)
"""A node that has upgraded this recently counts as a member after a restart, until it is known to
be none."""
_DATE_WAS_SET = "the date was set a moment ago"

Publish = Callable[[Entry], None]
"""Logs and delivers an entry."""


@dataclass(slots=True, kw_only=True)
class Situation:
    """Shared by everything that decides. `publish` gets every entry after its commit."""

    picture: Picture
    ledger: Ledger
    clock: Clock
    exchange_time: ExchangeClock
    limits_of: LimitsOf
    """The limits of each group; replaced as a whole when the settings are reloaded."""
    view_max_age: timedelta
    ages: Ages
    """How old facts may be. Older reports of what members run decide no grant, and are not
    shown."""
    publish: Publish
    why_not_leading: Callable[[], str] = lambda: ""
    """Why nothing may be granted because another coordinator may lead; empty if it may."""
    reach: timedelta = REACH
    """How long seen time runs after a read of the change feed without the next one."""
    view_at: SeenTime | None = None
    """When the change feed was last read to its end."""
    view_seconds: float = 0.0
    """The same on the monotonic clock."""
    rows: RowsSeen = field(default_factory=RowsSeen)
    """The upgrades that the agbot lists."""
    missing_groups: dict[GroupId, SeenTime] = field(default_factory=dict)
    """Groups with a brake that do not exist, each with the time of the first read that missed
    it."""
    is_stopping: bool = False
    report: TrafficReport = field(init=False)
    troubles: Troubles = field(init=False)
    clocks: Clocks = field(init=False)
    seen_clock: SeenClock = field(init=False)
    unmoved: timedelta = timedelta()
    """How far the date has stepped since the moments in the store were last moved with it."""
    exchange_ahead: timedelta | None = None
    """How far the Exchange's clock is ahead, or was when that was last stored; None if never
    known."""
    _has_compared: bool = False
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Build the parts that depend on the others."""
        self.troubles = Troubles(self.publish, self.clock)
        self.clocks = Clocks(self.clock, self.exchange_time, self._date_stepped)
        self.seen_clock = SeenClock(self.clocks, self.reach)
        self.report = TrafficReport(self.picture, self.ledger, lambda group: self.limits_of(group))  # noqa: PLW0108 - a reload replaces it

    def report_event(self, event: Event) -> None:
        """Publish an event of this moment that is not in the journal."""
        self.publish(Entry.of(event, self.now().wall))

    def now(self) -> Now:
        """Return the present moment, in both kinds of time."""
        return self.seen_clock.now()

    def learnt_offset(self, ahead: timedelta) -> None:
        """Note how far the Exchange's clock is ahead.

        The first time after a start, this shows whether our date has stepped while no process ran.
        If the Exchange's clock was set instead, its earlier stamps are of its old clock, and the
        moments that are compared with them have to move too.
        """
        before, self.exchange_ahead = self.exchange_ahead, ahead
        step = before - ahead if before is not None else timedelta()
        if not self._has_compared:
            # they were converted to our time before the offset was known
            self.picture.stamps.forget()
        if not self._has_compared and abs(step) > AWAY_STEP:
            self.unmoved += step
            self.seen_clock.date_had_stepped(step)
            self.clocks.stepped()
        self._has_compared = True

    def _date_stepped(self, step: timedelta) -> None:
        self.unmoved += step
        if self.exchange_ahead is not None:
            self.exchange_ahead -= step
        self.seen_clock.date_stepped(step)
        self.picture.date_stepped(step)

    async def move_along(self) -> None:
        """After a step of the date, move the moments that are compared with the Exchange's stamps.

        This happens in one transaction, and is reported.

        Raises:
            StoreUnavailableError: it is not known whether it happened; the ledger is no longer
                trusted.
        """
        now, step, ledger = self.now(), self.unmoved, self.ledger
        if not step or not ledger.is_trusted:
            return
        deferrals = [each for of_group in ledger.deferrals.values() for each in of_group.values()]
        stamped: list[Deferral | Approval] = [*deferrals, *ledger.approvals.values()]
        writes = Writes(
            put=[replace(each, since=each.since + step) for each in stamped],
            entries=[Entry.of(ClockStepped(seconds=round(step.total_seconds(), 3)), now.wall)],
        )
        self.unmoved = timedelta()
        try:
            await ledger.move(step, self.with_clock(writes))
        except StoreUnavailableError:
            self.unmoved += step
            raise
        self.seen_clock.saved()
        self._publish_all(writes.entries)

    def why_times_unknown(self) -> str:
        """Return why stamps cannot be compared now, so that no lease can be judged.

        Empty if they can.
        """
        self.clocks.now()
        return _DATE_WAS_SET if self.unmoved else self.clocks.why_unknown()

    def why_clock_untrusted(self) -> str:
        """Return why no grant may depend on the clock; empty if it may."""
        self.clocks.now()
        return _DATE_WAS_SET if self.unmoved else self.clocks.why_untrusted()

    def saw(self, begun_seconds: float) -> None:
        """Note that a read of the change feed that began at this monotonic time is complete."""
        if self.seen_clock.looked(begun_seconds):
            self.picture.outdate_unannounced()
        self.view_at, self.view_seconds = self.now().seen, begun_seconds

    def view_age(self) -> timedelta | None:
        """Return how long ago the last read of the change feed began; None before the first."""
        age = timedelta(seconds=self.clock.monotonic_seconds() - self.view_seconds)
        return None if self.view_at is None else age

    def resume(self) -> None:
        """Resume the seen clock from the store."""
        if not self.seen_clock.is_running:
            mark = self.ledger.clock_mark
            self.exchange_ahead = mark.exchange_ahead if mark is not None else None
            waiters = chain.from_iterable(each.values() for each in self.ledger.waiters.values())
            self.seen_clock.resume(mark, latest_moment(self.ledger.leases.values(), waiters))
            for node, group in self.ledger.known_members(self.now().seen - _RECENT_TURN):
                self.picture.remember_member(node, group)  # one list without it is no evidence

    def doubts(self, now: Now | None = None) -> tuple[Reason, ...]:
        """Return why nothing may be granted now, to any asker.

        A caller that has read the clock passes `now`.
        """
        found: list[Reason] = []
        if self.is_stopping:
            found.append(Reason(code=Code.STOPPING, text="the coordinator is shutting down"))
        not_leading = self.why_not_leading()
        if not_leading:
            found.append(Reason(code=Code.NO_LEADER, text=not_leading))
        if not self.ledger.is_trusted:
            found.append(Reason(code=Code.STORE_UNAVAILABLE, text=self.ledger.distrust))
        elif self.ledger.generation.doubt:
            text = f"the lease store is not the one that was used last: {self.ledger.generation.doubt}"
            found.append(Reason(code=Code.STORE_CHANGED, text=text))
        is_steady = now is not None and now.is_steady and not self.unmoved
        untrusted = "" if is_steady else self.why_clock_untrusted()
        if untrusted and self.view_at is not None:
            found.append(Reason(code=Code.CLOCK_UNTRUSTED, text=untrusted))
        age = self.view_age()
        if age is None:
            found.append(Reason(code=Code.VIEW_STALE, text="the Exchange has not been read yet"))
        elif age > self.view_max_age:
            text = f"the change feed of the Exchange was last read {int(age.total_seconds())} s ago"
            found.append(Reason(code=Code.VIEW_STALE, text=text))
        still = self.why_feed_stands_still(now)
        if still:
            found.append(Reason(code=Code.VIEW_STALE, text=still))
        return tuple(found)

    def why_feed_stands_still(self, now: Now | None = None) -> str:
        """Return why the change feed seems to stand still although it answers.

        Empty if it does not.
        """
        age = self.view_age() if self.picture.standstill.is_suspected else None
        return "" if age is None else self.picture.standstill.why((now or self.now()).seen - age)

    def unread(self, ask: Ask) -> tuple[Read, ...]:
        """Return what has to be read before this question can be decided."""
        subject = self.picture.policies.read_of(ask.claim.kind, ask.claim.subject)
        is_known = ask.claim.kind is Kind.HOST or self.picture.is_current(subject)
        missing = () if is_known else (subject,)
        by_property = bool(self.limits_of(ask.group).order_property)
        return (*self.picture.unread(ask.group, by_property=by_property), *missing)

    def group(
        self,
        group: GroupId,
        ask: Ask | None = None,
        *,
        unread: tuple[Read, ...] | None = None,
        now: Now | None = None,
    ) -> Group:
        """Collect the facts about a group, with every doubt.

        A caller that has `unread` or `now` already passes it, because refusals must be fast.
        """
        now = now or self.now()
        doubts = self.doubts(now)
        if ask is not None:
            unread = self.unread(ask) if unread is None else unread
            if unread:
                doubts = (*doubts, Reason(code=Code.VIEW_STALE, text=group_facts.why_unread(unread, self.picture)))
        return group_facts.gather(
            group,
            self.picture,
            self.ledger,
            self.limits_of(group),
            doubts=doubts,
            rows=self.rows,
            ask=ask,
            report=self.report,
            now=now,
            view_at=self.view_at,
        )

    def case(self, ask: Ask) -> Case:
        """Collect the facts about a question, at this moment."""
        return Case(at=self.now(), ask=ask, group=self.group(ask.group, ask))

    async def commit(self, *changes: Change) -> bool:
        """Commit changes in one transaction, then report their events.

        Only the first may change a lease.

        False: the lease has been changed meanwhile, and nothing was written.

        Raises:
            StoreUnavailableError: it is not known whether it happened; the ledger is no longer
                trusted.
        """
        writes = self.with_clock(
            Writes(
                put=[record for change in changes for record in change.put],
                drop=[key for change in changes for key in change.drop],
                entries=[self._entry(event, change) for change in changes for event in change.events],
            )
        )
        first = changes[0] if changes else NO_CHANGE
        if first.before is None or first.after is None:
            await self.ledger.write(writes)
        elif isinstance(await self.ledger.swap(first.before, first.after, writes), Lost):
            return False
        self.seen_clock.saved()
        self._publish_all(writes.entries)
        return True

    def _entry(self, event: Event, change: Change) -> Entry:
        return Entry.of(event, change.at or self.now().wall)

    async def commit_due(self, due: Callable[[], Change]) -> Change:
        """Commit what is due, one call after the other; return what it was.

        Each call derives what is due after the commit of the call before. Of two that find the
        same, the second finds it written, so it happens once and is reported once.

        Raises:
            StoreUnavailableError: it is not known whether it happened; the ledger is no longer
                trusted.
        """
        return await self.ledger.finish(self._commit_due(due))

    async def _commit_due(self, due: Callable[[], Change]) -> Change:
        async with self._one_at_a_time:
            change = due()
            if change:
                await self.commit(change)
            return change

    async def save_clock(self, *, at_once: bool = False) -> None:
        """Write the seen clock to the store if that is due.

        Raises:
            StoreUnavailableError: it is not known whether it happened; the ledger is no longer
                trusted.
        """
        if self.seen_clock.unsaved(at_once=at_once) is not None:
            await self.commit()

    def with_clock(self, writes: Writes) -> Writes:
        """Add the seen clock: after a restart it must not be behind any moment that is stored."""
        mark = self.seen_clock.unsaved(at_once=True)
        if mark is None:
            return writes
        ahead = self.exchange_ahead + self.unmoved if self.exchange_ahead is not None else None
        return replace(writes, put=(*writes.put, replace(mark, exchange_ahead=ahead)))

    async def settle_store(self, event: StoreSettled) -> None:
        """End the doubt about the store's generation, and report what ended it and why.

        Raises:
            StoreUnavailableError: it is not known whether it happened; the ledger is no longer
                trusted.
        """
        entry = Entry.of(event, self.now().wall)
        await self.ledger.settle_generation(entry)
        self.publish(entry)

    def _publish_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.publish(entry)
