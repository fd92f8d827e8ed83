"""Follows the row of the leader: takes it when it may be taken, renews it, and gives it up.

Each leadership is a term of its own, with a coordinator that knows nothing yet: what was known
before may be out of date, and what an earlier term still does is refused by the store. The
decisions are in `agbot.rules.leadership`; what runs during a term is in `working.py`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from agbot import __version__, log
from agbot.clock import Clock
from agbot.console.answers import CoordinatorView
from agbot.coordinator.contract import Done, NotDone
from agbot.daemon.announcing import Announcing
from agbot.events.leadership import (
    LeaderFollowed,
    LeaderHandedOver,
    LeaderLost,
    LeaderMissing,
    LeadershipFailed,
    LeadershipRecovered,
    LeaderTaken,
)
from agbot.events.outage import Outage
from agbot.rules import leadership
from agbot.rules.leadership import Candidate, Handover, Leader, Position, Timing, Whereabouts
from agbot.settings.model import LeadershipSettings
from agbot.store.contract import Entry, Store, StoreUnavailableError, Writes
from agbot.store.leadership import SharedStore

_LOOK_SECONDS: Final = 0.5
"""A standby reads the row so often. After a handover the next leader grants within 2 s."""
_CALL_SHARE: Final = 0.4
"""The part of the time to live after which a call to the database counts as failed."""
NO_EPOCH: Final = 0
"""No leader has it: with it the store can be read and not written."""
STANDS_BY: Final = "this coordinator stands by"


class Terms(Protocol):
    """What begins and ends with a leadership."""

    async def begin(self, store: Store, why_not_leading: Callable[[], str]) -> None:
        """Begin to decide and to deliver.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """

    async def end(self, store: Store, why_not_leading: Callable[[], str]) -> None:
        """End what has begun, and know nothing."""

    async def quiesce(self) -> None:
        """Grant nothing more, and wait for the writes under way."""


class Leading:
    """The leadership as one coordinator sees and takes it."""

    def __init__(self, store: SharedStore, settings: LeadershipSettings, clock: Clock, terms: Terms) -> None:
        self._store = store
        self._clock = clock
        self._terms = terms
        self._timing = Timing(ttl_seconds=settings.ttl_seconds, renew_seconds=settings.renew_seconds)
        self._own = Candidate(
            name=settings.own_name,
            run=uuid.uuid4().hex,
            gateway_url=settings.gateway_url.rstrip("/"),
            console_url=settings.console_url.rstrip("/"),
            version=__version__,
        )
        self._leader: Leader | None = None
        self._term: leadership.Term | None = None
        self._is_missing = False
        self._known_until_seconds = 0.0
        """Until when the row, as it was last read, is valid."""
        self._announcing = Announcing(store, self._own, self._timing, clock)
        self._is_open = True
        self._handover: Handover | None = None
        """The end of its last term, if an operator has ordered that."""
        self._is_stopping = False
        self._outage = Outage()
        self._one_at_a_time = asyncio.Lock()
        self.looked_seconds = clock.monotonic_seconds()
        """When it has last tried to read or to renew the row."""

    def where(self) -> Whereabouts:
        """Return who leads, as far as it is known."""
        if self._term is not None:
            position = Position.LEADING
        elif self._leader is not None and not self._is_missing and self._leader.name != self._own.name:
            position = Position.STANDING_BY
        else:
            position = Position.NO_LEADER
        known = None if position is Position.NO_LEADER else self._leader
        left_seconds = max(self._known_until_seconds - self._clock.monotonic_seconds(), 0.0) if known else 0.0
        doubt = "" if left_seconds or position is Position.LEADING else self._outage.why
        return Whereabouts(
            position=position,
            own_name=self._own.name,
            leader=known,
            doubt=doubt,
            missing=leadership.why_missing(self._leader, self._own) if self._is_missing else "",
            left_seconds=left_seconds,
        )

    def begin_unopened(self, why: str) -> None:
        """Begin while the store cannot be reached; it is opened as soon as it can be."""
        self._is_open = False
        self._failed(why)

    def coordinators(self) -> Sequence[CoordinatorView]:
        """Return all coordinators, as they were last read."""
        return self._announcing.coordinators(self.where().leader)

    async def run(self) -> None:
        """Follow the row without end.

        Raises:
            StoreError: the store cannot be used, or another coordinator has the name of this one.
        """
        while not self._is_open:
            await self._open()
            await self._clock.sleep(_LOOK_SECONDS)
        while True:
            async with self._one_at_a_time:
                if not self._is_stopping:
                    await self._step()
            await self._clock.sleep(self._pause_seconds())

    def _pause_seconds(self) -> float:
        if self._term is None:
            return _LOOK_SECONDS
        left = leadership.renews_in(self._term, self._timing, self._clock.monotonic_seconds())
        return max(min(left, self._timing.renew_seconds), _LOOK_SECONDS / 2)

    async def _open(self) -> None:
        self.looked_seconds = self._clock.monotonic_seconds()
        try:
            await self._store.open()
        except StoreUnavailableError as error:
            self._failed(str(error))
        else:
            self._is_open = True

    async def _step(self) -> None:
        self.looked_seconds = self._clock.monotonic_seconds()
        try:
            async with asyncio.timeout(self._clock.real_seconds(self._timing.ttl_seconds * _CALL_SHARE)):
                # Before the first look, for who is not let in must not lead; from then on after it,
                # because a renewal of the leadership cannot wait.
                if not self._announcing.is_let_in:
                    await self._announcing.run()
                await (self._stand_by() if self._term is None else self._renew(self._term))
                await self._announcing.run()
        except (StoreUnavailableError, TimeoutError) as error:
            self._failed(str(error) or "the database did not answer in time")
        else:
            if self._outage.ends():
                log.write(LeadershipRecovered())

    def _failed(self, why: str) -> None:
        if self._outage.begins(why):
            log.write(LeadershipFailed(error=why))

    async def _stand_by(self) -> None:
        """Read who leads, and take the leadership if it may be taken."""
        # of before the question: the row may have been read at any time since, never earlier
        sent_seconds = self._clock.monotonic_seconds()
        found = await self._store.current()
        self._known_until_seconds = sent_seconds + (found.left_seconds if found else 0.0)
        if await self._may_take(found):
            taken = await self._store.take(self._own, self._timing.ttl_seconds)
            if taken.run == self._own.run:
                await self._begin(taken, found, sent_seconds)
                return
            found = taken
        self._follow(found)

    async def _may_take(self, found: Leader | None) -> bool:
        """Whether the row may be taken. One that has just handed over lets another go first."""
        if not self._announcing.is_let_in or not leadership.may_take(found, self._own):
            return False
        given = self._handover
        if given is None or not given.is_open(found, self._clock.monotonic_seconds()):
            return True
        announced = await self._store.announced()  # the others may have ended in the meantime
        return bool(leadership.why_not_handed_over(announced, self._own.name, given.to, self._timing))

    def _follow(self, found: Leader | None) -> None:
        before, was_missing = self._leader, self._is_missing
        # the row may have its own name, from before it was killed
        self._leader, self._is_missing = found, found is None or not found.is_valid or found.name == self._own.name
        if self._is_missing or found is None:
            if not was_missing:
                why = leadership.why_missing(found, self._own)
                log.write(LeaderMissing(before=found.name if found else "", why=why))
        elif was_missing or before is None or before.epoch != found.epoch:
            log.write(LeaderFollowed(leader=found.name, epoch=found.epoch, gateway=found.gateway_url))

    async def _begin(self, taken: Leader, before: Leader | None, sent_seconds: float) -> None:
        """Begin a term: with an entry in the journal, and then with decisions."""
        self._leader, self._is_missing = taken, False
        term = leadership.Term(epoch=taken.epoch, renewed_seconds=sent_seconds)
        store = self._store.under(taken.epoch)
        event = LeaderTaken(
            leader=taken.name,
            epoch=taken.epoch,
            before=before.name if before else "",
            why=leadership.why_taken(before, self._own),
        )
        # the fence of this write fails if another has taken the row, before anything is decided
        await store.write(Writes(entries=[Entry.of(event, self._clock.now())]))
        await self._terms.begin(store, partial(self._why_not_granting, taken.epoch))
        self._term = term
        log.write(event)

    def _why_not_granting(self, epoch: int) -> str:
        term = self._term
        if term is None or term.epoch != epoch:
            return STANDS_BY
        return leadership.why_not_granting(term, self._timing, self._clock.monotonic_seconds())

    async def _renew(self, term: leadership.Term) -> None:
        sent_seconds = self._clock.monotonic_seconds()
        if await self._store.renew(term.epoch, self._timing.ttl_seconds):
            self._term = replace(term, renewed_seconds=sent_seconds)
            return
        log.write(LeaderLost(leader=self._own.name, epoch=term.epoch))
        await self._end()
        self._follow(await self._store.current())

    async def _end(self) -> None:
        self._term = None
        await self._terms.end(self._store.under(NO_EPOCH), lambda: STANDS_BY)

    async def stop(self) -> None:
        """At the start of a stop: let another lead at once, after the writes under way."""
        self._is_stopping = True  # before the lock: a step that waits for it takes nothing any more
        async with self._one_at_a_time:
            await self._terms.quiesce()
            if self._term is not None:
                with suppress(StoreUnavailableError, TimeoutError):
                    async with asyncio.timeout(self._clock.real_seconds(1.0)):
                        await self._store.give_up(self._term.epoch)
            with suppress(StoreUnavailableError, TimeoutError):
                async with asyncio.timeout(self._clock.real_seconds(1.0)):
                    await self._store.withdraw(self._own)

    async def hand_over(self, *, to: str, reason: str, who: str) -> Done | NotDone:
        """Let another coordinator lead, as an operator has ordered, and wait until it does."""
        async with self._one_at_a_time:
            term = self._term
            if term is None:
                return NotDone(text=f"{self._own.name} does not lead")
            if to == self._own.name:
                return Done(text=f"{to} leads already, since epoch {term.epoch}")
            announced = await self._announcing.read()
            why_not = leadership.why_not_handed_over(announced, self._own.name, to, self._timing)
            if why_not:
                is_unknown = bool(to) and all(each.candidate.name != to for each in announced)
                return NotDone(text=f"{why_not}; {self._own.name} leads on", not_found=is_unknown)
            await self._give_way(
                term, LeaderHandedOver(leader=self._own.name, epoch=term.epoch, to=to, reason=reason, who=who)
            )
        return await self._follower(term.epoch)

    async def _give_way(self, term: leadership.Term, event: LeaderHandedOver) -> None:
        store = self._store.under(term.epoch)
        await store.write(Writes(entries=[Entry.of(event, self._clock.now())]))
        log.write(event)
        self._handover = Handover(epoch=term.epoch, to=event.to, at_seconds=self._clock.monotonic_seconds())
        await self._terms.quiesce()
        await self._end()
        reserved_seconds = leadership.RESERVED_SECONDS if event.to else 0.0
        self._is_missing = True
        if self._leader is not None:
            self._leader = replace(self._leader, left_seconds=0.0, is_given_up=True, reserved_for=event.to)
        # last of all: the next leader may grant at once
        await self._store.give_up(term.epoch, reserved_for=event.to, reserved_seconds=reserved_seconds)

    async def _follower(self, epoch: int) -> Done | NotDone:
        """Wait for the next leader, and name it."""
        until = self._clock.monotonic_seconds() + leadership.GIVES_WAY_SECONDS
        while self._clock.monotonic_seconds() < until:
            leader = self._leader
            if leader is not None and leader.epoch > epoch and not self._is_missing:
                if leader.name == self._own.name:
                    break
                return Done(text=f"{leader.name} leads now, since epoch {leader.epoch}")
            await self._clock.sleep(_LOOK_SECONDS / 5)
        return NotDone(text=f"no other coordinator has taken the leadership; {self._own.name} takes it again")
