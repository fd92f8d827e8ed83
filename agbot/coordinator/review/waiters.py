"""The waiters, since when they wait, and why: kept in memory, written to the store by the cycle.

A refusal must be cheap, so it only changes memory. The next cycle writes what has changed: a new
waiter, other reasons, a waiter that has become silent. Only then is the decision record of a
refusal built, from the facts that it was decided on: after the answer, and not for a waiter that
has got its grant meanwhile. A crash can lose changes that were not written yet; a waiter that was
lost waits from its next question, and loses at most its place in the queue.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from agbot.coordinator.attention import Attention
from agbot.coordinator.event_loop import Slices
from agbot.coordinator.memory.ledger import Ledger
from agbot.coordinator.situation import Situation
from agbot.events import waits
from agbot.events.waits import WaitChanged
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId
from agbot.rules.order import silence
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Waiter
from agbot.rules.seen_time import Now
from agbot.store.records import Key, waiter_key
from agbot.transitions import waiters
from agbot.transitions.change import Change

_MOST_UNWRITTEN: Final = 1000
"""From this number of unwritten waiters on, others wait for room: each keeps two kilobytes of
facts."""
_ROOM_WITHIN_SECONDS: Final = 0.25
"""A question is answered even if the store makes no room."""

Facts = Callable[[], Mapping[str, Any]]
"""What the journal keeps of a refusal, built when it is written."""
_WRITTEN_TOGETHER: Final = 32
"""How many waiters are written in one transaction: some milliseconds of work, between which
questions are answered."""


@dataclass(slots=True, kw_only=True)
class _Noted:
    """A refusal that has changed something and is not written yet."""

    ask: Ask
    event: WaitChanged
    at: datetime
    facts: Facts | None = None
    """What the event still lacks."""

    def complete(self) -> None:
        """Build what the event lacks."""
        if self.facts is not None:
            self.event, self.facts = msgspec.structs.replace(self.event, **self.facts()), None


class Waiting:
    """Notes refusals, and returns the changes to write."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._unwritten: dict[Key, _Noted] = {}
        self._room = asyncio.Event()

    async def room(self) -> None:
        """Wait for a moment if thousands have asked for the first time and are not written yet."""
        if len(self._unwritten) < _MOST_UNWRITTEN:
            return
        self._room.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_ROOM_WITHIN_SECONDS):
                await self._room.wait()

    @property
    def has_many(self) -> bool:
        """Whether so many are unwritten that the next cycle is too late to go on."""
        return len(self._unwritten) >= _MOST_UNWRITTEN // 2

    def note(self, ask: Ask, reasons: tuple[Reason, ...], now: Now) -> bool:
        """Note a refusal with its reasons; return whether the waiter is new or they are others."""
        before = self._ledger.waiter(ask)
        if before is not None and before.reasons == reasons:  # nearly all refusals
            self._ledger.note(Waiter(ask=ask, since=before.since, asked_at=now.seen, reasons=before.reasons))
            return False
        waiter = Waiter(ask=ask, since=before.since if before else now.seen, asked_at=now.seen, reasons=reasons)
        self._ledger.note(waiter)
        is_news = before is None or _codes(before.reasons) != _codes(reasons)
        if is_news:
            self._unwritten[waiter_key(ask)] = _Noted(ask=ask, event=waits.changed(waiter, now), at=now.wall)
        return is_news

    def keep(self, ask: Ask, facts: Facts) -> None:
        """Add the facts of the refusal to the event that `note` has just made."""
        noted = self._unwritten.get(waiter_key(ask))
        if noted is not None:
            noted.facts = facts

    def unwritten(self) -> list[Key]:
        """Return the waiters of which something is to be written."""
        # Of one whose grant is on its way to the store, nothing is written: it leaves, or, if
        # another gets the lease first, it waits on and is written then.
        return [key for key in self._unwritten if key not in self._ledger.leaving]

    def complete(self, key: Key) -> None:
        """Build the facts of what is noted of this waiter: most of the work of writing it."""
        noted = self._unwritten.get(key)
        if noted is not None and self._ledger.waiter(noted.ask) is not None:
            noted.complete()

    def changes(self, keys: Iterable[Key]) -> list[Change]:
        """Return what is to be written of these; the caller calls `written` after the commit."""
        changes: list[Change] = []
        for key in keys:
            noted = self._unwritten.get(key)
            if noted is None or key in self._ledger.leaving:
                continue
            waiter = self._ledger.waiter(noted.ask)
            if waiter is None:  # it waits no longer
                del self._unwritten[key]
                continue
            noted.complete()
            changes.append(Change(put=[waiter], events=[noted.event], at=noted.at))
        return changes

    def written(self, changes: Iterable[Change]) -> None:
        """Drop what has been written, unless something else has been noted meanwhile."""
        for change in changes:
            for record in change.put:
                key = waiter_key(record.ask) if isinstance(record, Waiter) else None
                if key in self._unwritten and self._unwritten[key].event is change.events[0]:
                    del self._unwritten[key]
        if len(self._unwritten) < _MOST_UNWRITTEN:
            self._room.set()


def _codes(reasons: tuple[Reason, ...]) -> list[Code]:
    return [reason.code for reason in reasons]


class Waiters:
    """Writes what has changed and drops who no longer waits, in every cycle beside the reviews."""

    def __init__(self, situation: Situation, attention: Attention, waiting: Waiting) -> None:
        self._situation = situation
        self._attention = attention
        self._waiting = waiting

    async def write(self) -> None:
        """Write what is new, and check the groups that are due for waiters that have gone."""
        situation, schedule = self._situation, self._attention.waiting
        self._attention.gather()
        waited_in = situation.ledger.tally.waited_in
        due = [group for group in schedule.take(situation.now().seen) if group in waited_in]
        left = await self._left(due)
        situation.troubles.keep("waiters", ChainMap({GroupId(""): None}, waited_in))
        try:
            while keys := self._waiting.unwritten():
                await self._write_new(keys)
                if not self._waiting.has_many:  # otherwise thousands ask for the first time, and wait for room
                    break
            for first in range(0, len(left), _WRITTEN_TOGETHER):
                # a node may have asked again since; from here to the commit nothing is waited for
                changes = [each for each in map(self._gone, left[first : first + _WRITTEN_TOGETHER]) if each]
                if changes:
                    await situation.commit(*changes)
        except BaseException:
            schedule.at_once(due)
            raise
        failing = dict.fromkeys(situation.troubles.abouts("waiters"))
        schedule.at_once(failing)
        for group in due:
            if group not in failing:
                asked = [waiter.asked_at for waiter in situation.ledger.waiters.get(group, {}).values()]
                if asked:  # the first of them that will count as silent
                    schedule.at(group, min(asked) + silence(situation.limits_of(group).ask_period_seconds))

    async def _write_new(self, keys: Sequence[Key]) -> None:
        waiting, slices = self._waiting, Slices()
        for first in range(0, len(keys), _WRITTEN_TOGETHER):
            together = keys[first : first + _WRITTEN_TOGETHER]
            for key in together:
                waiting.complete(key)
                await slices.end()
            # a node may have got its grant meanwhile; from here to the commit nothing is waited for
            changes = waiting.changes(together)
            if changes:
                await self._situation.commit(*changes)
                waiting.written(changes)

    async def _left(self, due: list[GroupId]) -> list[GroupId]:
        """Return the groups that a waiter has left."""
        found, slices = list[GroupId](), Slices()
        for group in due:
            with self._situation.troubles.guard("waiters", group):
                found += [group] if self._gone(group) else []
            await slices.end()
        return found

    def _gone(self, group: GroupId) -> Change:
        """Return the change that removes the nodes of a group that no longer wait."""
        situation, picture = self._situation, self._situation.picture
        facts = situation.group(group)
        asks = [waiter.ask for waiter in facts.waiters]
        asked = waiters.Asked(
            nodes={ask.node: picture.certain_node(ask.node) for ask in asks},
            policies={ask.subject: picture.policies.certain(*ask.subject) for ask in asks},
        )
        return waiters.drop_gone(facts, asked, situation.ledger.leaving, situation.now())
