"""Executes the plan of reads: only what is due, no read twice at a time, a limited number at once.

Failures are values here: what could not be read stays out of date, and the next cycle tries again.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import msgspec

from agbot.coordinator.event_loop import Slices
from agbot.coordinator.situation import Situation
from agbot.exchange import resources
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError, Refused, Unreachable, Unreadable
from agbot.exchange.retry import Retry
from agbot.fleet.changes import Read, What
from agbot.fleet.garbled import Garbled
from agbot.fleet.reads import Wanted, Why
from agbot.rules.facts import Sight
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import SeenTime
from agbot.single_flight import SingleFlight

_BULK_FROM = 5
"""From this number of nodes of one organisation, one read of all its nodes is cheaper.

It takes 18 ms for 999 nodes, against 5 to 7 ms for one (`exchange-api.md`, corrections, 10).
"""

_ORG_TRIES_SECONDS = 2.0
"""How long a failed read of a whole organisation is repeated at once, because it is rare.

Other reads are tried again in the next cycle.
"""

_SUBJECTS = frozenset({What.MANAGEMENT_POLICY, What.DEPLOYMENT_POLICY, What.PATTERN})
"""What questions name; a name may be invented."""

_REPEATED_AFTER_SECONDS = 10.0
"""How long a failure for a policy alone (such as an invalid name) is reused for further
questions."""

_PARTS_OF_ORG = frozenset({What.NODE, What.GROUP})
"""What a read of a whole organisation contains."""

_SERVER_FAILS = 500

_LOOKED_AT_ONCE = 500
"""How many wanted reads are looked at in one go: about a millisecond of work."""

Failures = dict[Read, ExchangeError]
Observe = Callable[[Read, Why], None]
"""Gets each read when it is made, with its reason."""


class Reader:
    """Reads what the picture needs."""

    def __init__(
        self,
        situation: Situation,
        exchange: ExchangeClient,
        *,
        max_open: int,
        observe: Observe,
        chance: random.Random,
    ) -> None:
        """Make at most `max_open` reads at once.

        `chance` spreads the retries of whole organisations.
        """
        self._retry = Retry(situation.clock, deadline_seconds=_ORG_TRIES_SECONDS, chance=chance.random)
        self._exchange = exchange
        self._picture = situation.picture
        self._now = situation.now
        self._ages = situation.ages
        self._observe = observe
        self._max_open = max_open
        self._slots = asyncio.Semaphore(max_open)
        self._flights: SingleFlight[None] = SingleFlight()
        self._invalid: dict[Read, tuple[float, ExchangeError]] = {}
        self._services_failed_at: dict[Read, SeenTime] = {}
        self.read_ended_at = 0.0
        """When the last read ended, on the event loop's clock. The watchdog sees progress by it."""

    def due(self, wanted: Iterable[Wanted]) -> list[Wanted]:
        """Return which of these are due, each once.

        Not due is what is fresh, and an optional read that has just failed.
        """
        plan, found = list(wanted), dict[Read, Wanted]()
        if not plan:
            return []  # a fast path for nearly all refusals
        now = self._now().seen
        failed_since = now - self._ages.quick
        for each in plan:
            failed_at = self._services_failed_at.get(each.read) if each.is_optional else None
            has_just_failed = failed_at is not None and failed_at > failed_since
            if not has_just_failed and each.read not in found and each.is_due(self._picture, now):
                found[each.read] = each
        return list(found.values())

    async def make_current(self, wanted: Iterable[Wanted]) -> Failures:
        """Read what is due of these.

        A read under way is shared, and repeated if a change came meanwhile.
        """
        due = self.due(wanted)
        failures = self._recently_invalid(each.read for each in due)
        missing = [each for each in due if each.read not in failures]
        for _round in range(2):  # a shared read may have begun before the change that made it due
            if not missing:
                break
            outcomes = await asyncio.gather(*map(self._shared, missing), return_exceptions=True)
            failures.update(_failures([each.read for each in missing], outcomes))
            missing = [
                each for each in missing if not self._picture.is_current(each.read) and each.read not in failures
            ]
        return failures

    async def follow(self, plan: Iterable[Wanted]) -> list[Read]:
        """Read what is due of this plan, except what was just unreadable; return what was tried."""
        unreadables, lately = self._picture.unreadables, self._now().seen - self._ages.heartbeat
        slices, rest, due = Slices(), iter(plan), list[Wanted]()
        while part := list(islice(rest, _LOOKED_AT_ONCE)):
            due += [each for each in self.due(part) if not unreadables.was_tried_since(each.read, lately)]
            await slices.end()
        await self.refresh(due)
        return [each.read for each in due]

    async def refresh(self, wanted: Iterable[Wanted]) -> Failures:
        """Read what is due of these, without sharing earlier reads.

        Many nodes of one organisation are read in bulk.
        """
        failures: Failures = {}
        unreachable: dict[OrgId, Unreachable] = {}
        by_org: defaultdict[OrgId, list[Wanted]] = defaultdict(list)
        for each in self.due(wanted):
            by_org[each.read.org].append(each)
        if not by_org:
            return failures  # in nearly every cycle

        jobs = [job for org, of_org in by_org.items() for job in _in_bulk(org, of_org)]
        waiting = iter(jobs)

        async def work() -> None:
            for job in waiting:
                org = job.wanted.read.org
                async with self._slots:
                    error = unreachable.get(org) or await self._failure_of(job)
                if error is not None:
                    # also of what was skipped or was to come in bulk: without it, it counts as read
                    failures.update(dict.fromkeys((job.wanted.read, *job.instead_of), error))
                if isinstance(error, Unreachable):
                    # the rest of the organisation is skipped in this round: an outage costs a few
                    # requests, and not thousands
                    unreachable[org] = error

        # no more than can run, so that a question's read never waits behind all of these
        workers = [work() for _ in range(min(self._max_open, len(jobs)))]
        for bug in await asyncio.gather(*workers, return_exceptions=True):
            if bug is not None:  # after the others have ended: none goes on without a caller
                raise bug
        return failures

    async def _failure_of(self, job: _Job) -> ExchangeError | None:
        try:
            await self._fetch(job.wanted, nodes_only=job.nodes_only)
        except ExchangeError as error:
            return error
        return None

    def _recently_invalid(self, reads: Iterable[Read]) -> Failures:
        """Return the reads that have just failed for their subject alone: they would fail again."""
        limit = asyncio.get_running_loop().time() - _REPEATED_AFTER_SECONDS
        self._invalid = {read: known for read, known in self._invalid.items() if known[0] > limit}
        return {read: self._invalid[read][1] for read in reads if read in self._invalid}

    def _note_invalid(self, read: Read, error: ExchangeError) -> None:
        is_general = isinstance(error, Unreachable | Refused) or (error.status or 0) >= _SERVER_FAILS
        if read.what in _SUBJECTS and not is_general:
            self._invalid[read] = (asyncio.get_running_loop().time(), error)

    async def _shared(self, wanted: Wanted) -> None:
        await self._flights.run(wanted.read, lambda: self._in_turn(wanted))

    async def _in_turn(self, wanted: Wanted) -> None:
        async with self._slots:
            await self._fetch(wanted)

    async def _fetch(self, wanted: Wanted, *, nodes_only: bool = False) -> None:
        read = wanted.read
        self._observe(read, wanted.why)
        try:
            await self._fetch_now(read, nodes_only=nodes_only)
        except ExchangeError as error:
            self._failed(read, error)
            raise
        else:
            self._services_failed_at.pop(read, None)
            self._picture.note_readable(read)
        finally:
            self.read_ended_at = asyncio.get_running_loop().time()

    def _failed(self, read: Read, error: ExchangeError) -> None:
        self._note_invalid(read, error)
        if read.what is What.AGREEMENTS:
            self._services_failed_at[read] = self._now().seen
        if not isinstance(error, Unreadable):
            self._picture.hidden.note_failed(read, self._now())
        elif read.what is not What.ORG:  # an unreadable list is reported of the organisation
            self._picture.learn_unreadable(read, Garbled.by(error), now=self._now())

    async def _fetch_now(self, read: Read, *, nodes_only: bool) -> None:
        picture, exchange = self._picture, self._exchange
        begun, now = picture.begin(), self._now()
        if read.what is not What.ORG:
            found = await exchange.read(read)
            picture.stamps.received(self._now())
            picture.learn(read, Sight.ABSENT if found is None else found, begun=begun, now=now)
            return
        groups = None if nodes_only else await self._retry(partial(exchange.get, resources.GROUPS, read.org))
        nodes = await self._retry(partial(exchange.get, resources.NODES, read.org))
        picture.stamps.received(self._now())
        if groups is None:
            picture.learn_nodes(read.org, nodes, begun=begun, now=now)
        else:
            picture.learn_org(read.org, groups, nodes, begun=begun, now=now)


@dataclass(frozen=True, slots=True)
class _Job:
    wanted: Wanted
    nodes_only: bool = False
    """Whether the list of groups is left out of a read of an organisation."""
    instead_of: Sequence[Read] = ()


def _in_bulk(org: OrgId, wanted: Sequence[Wanted]) -> list[_Job]:
    """Replace many reads of an organisation's nodes and groups by one of the organisation."""
    parts = [each for each in wanted if each.read.what in _PARTS_OF_ORG]
    if len(parts) < _BULK_FROM:
        return [_Job(each) for each in wanted]
    whole = msgspec.structs.replace(parts[0], read=Read(what=What.ORG, id=org))
    nodes_only = all(each.read.what is What.NODE for each in parts)
    bulk = _Job(whole, nodes_only, [each.read for each in parts])
    return [bulk, *(_Job(each) for each in wanted if each.read.what not in _PARTS_OF_ORG)]


def _failures(reads: Sequence[Read], outcomes: Sequence[object]) -> Failures:
    """Return the failed reads; any other exception is a bug and is raised."""
    failures: Failures = {}
    for read, outcome in zip(reads, outcomes, strict=True):
        if isinstance(outcome, ExchangeError):
            failures[read] = outcome
        elif isinstance(outcome, BaseException):
            raise outcome
    return failures
