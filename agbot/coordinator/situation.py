"""What is known at this moment: picture, ledger, clock and limits, and whether the first two can be trusted (P4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain

from agbot.clock import Clock
from agbot.coordinator import entries, group_facts
from agbot.coordinator.clocks import AWAY_STEP, Clocks
from agbot.coordinator.ledger import Ledger
from agbot.coordinator.rows_seen import RowsSeen
from agbot.coordinator.seen_clock import REACH, SeenClock, latest_moment
from agbot.coordinator.traffic import TrafficReport
from agbot.coordinator.troubles import Troubles
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.changes import Read
from agbot.fleet.picture import Picture
from agbot.rules.facts import Approval, Ask, Deferral, Group, Member
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Lease
from agbot.rules.limits import LimitsOf
from agbot.rules.reasons import Code, Reason
from agbot.rules.rest import Rest, is_waited_for, rest_after, why_unproven
from agbot.rules.seen_time import Now, SeenTime
from agbot.store.contract import NOTHING, Entry, Lost, StoreUnavailableError, Writes

_SERVED_LATELY = timedelta(hours=2)
"""After a restart whoever was served since then is taken for a member until it is known to be none."""
_DATE_WAS_SET = "the date was set a moment ago"

Tell = Callable[[Entry], None]


@dataclass(slots=True, kw_only=True)
class Situation:
    """Shared by everything that decides. `tell` hears every entry after it was committed."""

    picture: Picture
    ledger: Ledger
    clock: Clock
    exchange_time: ExchangeClock
    limits_of: LimitsOf
    """The limits of each group; replaced as a whole when the settings are read anew."""
    view_max_age: timedelta
    services_max_age: timedelta
    """Older reports of what members run decide no grant, and are not shown: no change record tells of a container."""
    tell: Tell
    reach: timedelta = REACH
    """So long after the last look at the change feed time goes on without the next one."""
    view_at: SeenTime | None = None
    """When the change feed was last read to its end."""
    view_seconds: float = 0.0
    """The same on the monotonic clock."""
    rows: RowsSeen = field(default_factory=RowsSeen)
    """What the agbot lists of its own upgrades."""
    missing_groups: dict[GroupId, SeenTime] = field(default_factory=dict)
    """Groups with a brake that were not there, each with the first look that missed it."""
    is_stopping: bool = False
    report: TrafficReport = field(init=False)
    troubles: Troubles = field(init=False)
    clocks: Clocks = field(init=False)
    seen_clock: SeenClock = field(init=False)
    unmoved: timedelta = timedelta()
    """How far the date has stepped since the moments in the store were last moved along with it."""
    exchange_ahead: timedelta | None = None
    """How far the Exchange's clock is ahead, or was when that was last stored; None where it was never known."""
    _has_compared: bool = False
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Derive what goes on elsewhere from the same parts."""
        self.troubles = Troubles(self.tell, self.clock)
        self.clocks = Clocks(self.clock, self.exchange_time, self._date_stepped)
        self.seen_clock = SeenClock(self.clocks, self.reach)
        self.report = TrafficReport(self.picture, self.ledger, lambda group: self.limits_of(group))  # noqa: PLW0108 - a reload replaces it

    def now(self) -> Now:
        """Return the present moment, in both kinds of time."""
        return self.seen_clock.now()

    def learnt_offset(self, ahead: timedelta) -> None:
        """Take in how far the Exchange's clock is ahead. The first time after a start that tells whether our date has stepped meanwhile.

        It may have been the Exchange's clock that was set. Then its own stamps of before are by its old clock, and the moments that are
        compared with them have to move all the same.
        """
        before, self.exchange_ahead = self.exchange_ahead, ahead
        step = before - ahead if before is not None else timedelta()
        if not self._has_compared:
            self.picture.stamps.forget()  # they were told in our time before that could be done
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
        """After a step of the date, move what is compared with the Exchange's stamps along with it, in one transaction, and tell.

        Raises:
            StoreUnavailableError: nobody knows whether it happened; the ledger is not trusted any more.
        """
        now, step, ledger = self.now(), self.unmoved, self.ledger
        if not step or not ledger.is_trusted:
            return
        deferrals = [each for of_group in ledger.deferrals.values() for each in of_group.values()]
        stamped: list[Deferral | Approval] = [*deferrals, *ledger.approvals.values()]
        writes = Writes(
            put=[replace(each, since=each.since + step) for each in stamped],
            entries=[entries.clock_stepped(step, now)],
        )
        self.unmoved = timedelta()
        try:
            await ledger.move(step, self._with_clock(writes))
        except StoreUnavailableError:
            self.unmoved += step
            raise
        self.seen_clock.saved()
        self._tell_all(writes)

    def why_times_unknown(self) -> str:
        """Say why stamps cannot be compared at this moment, so that nothing can be judged; empty when they can."""
        self.clocks.now()
        return _DATE_WAS_SET if self.unmoved else self.clocks.why_unknown()

    def why_clock_untrusted(self) -> str:
        """Say why nothing may be granted by the clock; empty when it may."""
        self.clocks.now()
        return _DATE_WAS_SET if self.unmoved else self.clocks.why_untrusted()

    def saw(self, begun_seconds: float) -> None:
        """Take down that the change feed was read to its end, by a look that began at this monotonic time."""
        if self.seen_clock.looked(begun_seconds):
            self.picture.outdate_unannounced()
        self.view_at, self.view_seconds = self.now().seen, begun_seconds

    def view_age(self) -> timedelta | None:
        """Return how long ago the last look at the change feed began; None before the first."""
        age = timedelta(seconds=self.clock.monotonic_seconds() - self.view_seconds)
        return None if self.view_at is None else age

    def resume(self) -> None:
        """Let the seen clock go on from what the store holds."""
        if not self.seen_clock.is_running:
            mark = self.ledger.clock_mark
            self.exchange_ahead = mark.exchange_ahead if mark is not None else None
            waiters = chain.from_iterable(each.values() for each in self.ledger.waiters.values())
            self.seen_clock.resume(mark, latest_moment(self.ledger.leases.values(), waiters))
            for node, group in _known_members(self.ledger, self.now().seen - _SERVED_LATELY):
                self.picture.remember_member(node, group)  # a first list without them is no evidence

    def unproven_rests(self) -> list[tuple[GroupId, Rest, Member]]:
        """Return the groups that rest and still wait for the proof, with the upgraded member as far as it was read."""
        now = self.now()
        found: list[tuple[GroupId, Rest, Member]] = []
        for lease in self.ledger.ended():
            with self.troubles.guard("rest", lease.group):
                limits = self.limits_of(lease.group)
                rest = rest_after(lease.last_end, limits)
                member = self.picture.member(rest.end.claim.holder) if rest is not None else None
                if rest is None or not isinstance(member, Member) or not is_waited_for(rest, member, now):
                    continue
                if why_unproven(rest, member, limits, now) is not None:
                    found.append((lease.group, rest, member))
        return found

    def doubts(self, now: Now | None = None) -> tuple[Reason, ...]:
        """Say why nothing may be granted now, whoever asks. Who has looked at the clock already hands that in."""
        found: list[Reason] = []
        if self.is_stopping:
            found.append(Reason(code=Code.STOPPING, text="the coordinator is shutting down"))
        if not self.ledger.is_trusted:
            found.append(Reason(code=Code.STORE_UNAVAILABLE, text=self.ledger.distrust))
        elif self.ledger.generation.doubt:
            text = f"the lease store is not the one that was used last: {self.ledger.generation.doubt}"
            found.append(Reason(code=Code.STORE_CHANGED, text=text))
        untrusted = self.why_clock_untrusted()
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
        """Say why the change feed answers and tells nothing; empty while it is not known to."""
        age = self.view_age()
        return self.picture.standstill.why(None if age is None else (now or self.now()).seen - age)

    def unread(self, ask: Ask) -> tuple[Read, ...]:
        """Return what must be read before this question can be decided."""
        subject = self.picture.policies.read_of(ask.claim.kind, ask.claim.subject)
        missing = () if self.picture.is_current(subject) else (subject,)
        return (*self.unread_of(ask.group), *missing)

    def unread_of(self, group: GroupId) -> tuple[Read, ...]:
        """Return what must be read before anything can be decided about a group."""
        return self.picture.unread(group, by_property=bool(self.limits_of(group).order_property))

    def group(
        self,
        group: GroupId,
        ask: Ask | None = None,
        *,
        unread: tuple[Read, ...] | None = None,
        now: Now | None = None,
    ) -> Group:
        """Put a group's facts together, with every doubt. Who has `unread` or `now` already hands it in: a refusal would feel both."""
        now = now or self.now()
        doubts = self.doubts(now)
        if ask is not None:
            unread = self.unread(ask) if unread is None else unread
            if unread:
                doubts = (*doubts, Reason(code=Code.VIEW_STALE, text=self._said(unread)))
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
        )

    def _said(self, unread: tuple[Read, ...]) -> str:
        """Say what is missing; what is there and cannot be read is another person's work than what was not read yet."""
        why = next(
            (
                f"{read.what} {read.id} cannot be read: {why}"
                for read in unread
                if (why := self.picture.unreadables.why(read))
            ),
            "",
        )
        return why or f"not read from the Exchange yet: {', '.join(f'{read.what} {read.id}' for read in unread)}"

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        """Commit a transition with its records, and tell its entries once it has been committed.

        Raises:
            StoreUnavailableError: nobody knows whether it happened; the ledger is not trusted any more.
        """
        outcome = await self.ledger.swap(expected, new, self._with_clock(writes))
        if not isinstance(outcome, Lost):
            self.seen_clock.saved()
            self._tell_all(writes)
        return outcome

    async def write(self, writes: Writes) -> None:
        """Commit records and entries, and tell the entries once they have been committed.

        Raises:
            StoreUnavailableError: nobody knows whether it happened; the ledger is not trusted any more.
        """
        await self.ledger.write(self._with_clock(writes))
        self.seen_clock.saved()
        self._tell_all(writes)

    async def write_due(self, due: Callable[[], Writes]) -> Writes:
        """Write what is due by what is written already, one after the other; return what was written.

        Of two that find the same in the same moment the second finds it written: it happened once, and is told once.

        Raises:
            StoreUnavailableError: nobody knows whether it happened; the ledger is not trusted any more.
        """
        return await self.ledger.finish(self._write_due(due))

    async def _write_due(self, due: Callable[[], Writes]) -> Writes:
        async with self._one_at_a_time:
            writes = due()
            if writes.put or writes.drop or writes.entries:
                await self.write(writes)
            return writes

    async def save_clock(self, *, at_once: bool = False) -> None:
        """Write down how far the seen clock has come, if it is time.

        Raises:
            StoreUnavailableError: nobody knows whether it happened; the ledger is not trusted any more.
        """
        if self.seen_clock.unsaved(at_once=at_once) is not None:
            await self.write(NOTHING)

    def _with_clock(self, writes: Writes) -> Writes:
        """Add how far the seen clock has come: no moment that is stored may be later than what it shows after a restart."""
        mark = self.seen_clock.unsaved(at_once=True)
        if mark is None:
            return writes
        ahead = self.exchange_ahead + self.unmoved if self.exchange_ahead is not None else None
        return replace(writes, put=(*writes.put, replace(mark, exchange_ahead=ahead)))

    async def settle_store(self, entry: Entry) -> None:
        """End the doubt of the store's generation, and tell who ended it and why.

        Raises:
            StoreUnavailableError: nobody knows whether it happened; the ledger is not trusted any more.
        """
        await self.ledger.settle_generation(entry)
        self.tell(entry)

    def _tell_all(self, writes: Writes) -> None:
        for entry in writes.entries:
            self.tell(entry)


def is_older(read_at: SeenTime | None, limit: SeenTime) -> bool:
    """Tell whether something was last read at this time or earlier, or never."""
    return read_at is None or read_at <= limit


def _known_members(ledger: Ledger, served_since: SeenTime) -> Iterator[tuple[NodeId, GroupId]]:
    """Yield who holds a lease, waits, is deferred or was served since then, each with its group."""
    yield from ((lease.hold.claim.holder, lease.group) for lease in ledger.occupied() if lease.hold is not None)
    for waiters in ledger.waiters.values():
        yield from ((waiter.ask.node, waiter.ask.group) for waiter in waiters.values())
    for deferrals in ledger.deferrals.values():
        yield from ((deferral.node, deferral.group) for deferral in deferrals.values())
    for marks in ledger.served.values():
        yield from ((mark.node, mark.group) for mark in marks.values() if mark.until >= served_since)
