"""Reading the Exchange into the picture: only what is asked for, each thing once at a time, a bounded number at once.

Failures are values here: what could not be read stays out of date, and the next look tries again. An organisation whose read fails because
the Exchange cannot be reached is left alone for the rest of that round, so that one bad hour costs a few requests and not thousands.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from agbot.clock import Clock
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError, Refused, Unreachable, Unreadable
from agbot.exchange.retry import Retry
from agbot.fleet.changes import Read, What
from agbot.fleet.garbled import Garbled
from agbot.fleet.picture import Picture
from agbot.rules.facts import Sight
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from agbot.rules.seen_time import Now

BULK_FROM = 5
"""From this many nodes of one organisation on, one read of all its nodes is cheaper (18 ms for 999 nodes against 5 to 7 ms for one;
`reference/exchange-api.md`, corrections, 10)."""

_ORG_TRIES_SECONDS = 2.0
"""Reading a whole organisation is dear and comes rarely: it is tried again at once for so long, everything else in the next cycle."""

_SUBJECTS = frozenset({What.MANAGEMENT_POLICY, What.DEPLOYMENT_POLICY, What.PATTERN})
"""What questions name, and may have made up."""

_REPEATED_AFTER_SECONDS = 10.0
"""So long the Exchange's odd answer about a policy (a name that it does not take) stands for the next questions about it."""

_SERVER_FAILS = 500

Answer = TypeVar("Answer")
Failures = dict[Read, ExchangeError]


@dataclass(slots=True)
class Progress:
    """When the last read came back or failed, on the event loop's clock: the watchdog's proof that the scheduler moves."""

    at: float = 0.0


class Reader:
    """Fetches what the picture lacks."""

    def __init__(
        self,
        exchange: ExchangeClient,
        picture: Picture,
        clock: Clock,
        *,
        now: Callable[[], Now],
        max_open: int,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Read at most `max_open` things at once; `chance` scatters the pauses before a whole organisation is tried again."""
        self._retry = Retry(clock, deadline_seconds=_ORG_TRIES_SECONDS, chance=chance)
        self._exchange = exchange
        self._picture = picture
        self._now = now
        self._slots = asyncio.Semaphore(max_open)
        self._open: dict[Read, asyncio.Task[None]] = {}
        self._odd: dict[Read, tuple[float, ExchangeError]] = {}
        self.progress = Progress()

    async def make_current(self, reads: Iterable[Read]) -> Failures:
        """Read these; a read that is under way is shared, and repeated when it was overtaken by a change."""
        wanted = list(dict.fromkeys(reads))
        failures = self._lately_odd(wanted)
        missing = [read for read in wanted if read not in failures]
        for _round in range(2):
            if not missing:
                break
            outcomes = await asyncio.gather(*(self._shared(read) for read in missing), return_exceptions=True)
            failures.update(_failures(missing, outcomes))
            missing = [read for read in missing if not self._picture.is_current(read) and read not in failures]
        return failures

    def _lately_odd(self, reads: Iterable[Read]) -> Failures:
        """Return those of which the answer was odd a moment ago, with it: to ask again would bring the same."""
        limit = asyncio.get_running_loop().time() - _REPEATED_AFTER_SECONDS
        self._odd = {read: known for read, known in self._odd.items() if known[0] > limit}
        return {read: self._odd[read][1] for read in reads if read in self._odd}

    def _note_odd(self, read: Read, error: ExchangeError) -> None:
        is_about_us = isinstance(error, Unreachable | Refused) or (error.status or 0) >= _SERVER_FAILS
        if read.what in _SUBJECTS and not is_about_us:
            self._odd[read] = (asyncio.get_running_loop().time(), error)

    async def refresh(self, reads: Iterable[Read]) -> Failures:
        """Read these anew whether or not a change has outdated them; many nodes of one organisation are read in bulk."""
        failures: Failures = {}
        unreachable: set[OrgId] = set()
        by_org: defaultdict[OrgId, list[Read]] = defaultdict(list)
        for read in dict.fromkeys(reads):
            by_org[read.org].append(read)

        async def one(read: Read) -> None:
            try:
                async with self._slots:
                    if read.org not in unreachable:
                        await self._fetch(read)
            except ExchangeError as error:
                failures[read] = error
                if isinstance(error, Unreachable):
                    unreachable.add(read.org)

        await asyncio.gather(*(one(read) for org, each in by_org.items() for read in _in_bulk(org, each)))
        return failures

    async def _shared(self, read: Read) -> None:
        task = self._open.get(read)
        if task is None:
            task = asyncio.ensure_future(self._read(read))
            self._open[read] = task
            task.add_done_callback(lambda done: self._done(read, done))
        await asyncio.shield(task)

    def _done(self, read: Read, task: asyncio.Task[None]) -> None:
        self._open.pop(read, None)
        if not task.cancelled():
            task.exception()  # whoever waited has seen it; nobody may have waited

    async def _read(self, read: Read) -> None:
        async with self._slots:
            await self._fetch(read)

    async def _fetch(self, read: Read) -> None:
        try:
            await self._fetch_now(read)
        except Unreadable as error:
            if read.what is not What.ORG:  # that a list cannot be read is told of the organisation
                self._picture.learn_unreadable(read, Garbled.by(error), now=self._now())
            self._note_odd(read, error)
            raise
        except ExchangeError as error:
            self._note_odd(read, error)
            self._picture.sights.failed(read, self._now())
            raise
        else:
            self._picture.learnt(read)
        finally:
            self.progress.at = asyncio.get_running_loop().time()

    async def _fetch_now(self, read: Read) -> None:
        picture, exchange = self._picture, self._exchange
        begun, now = picture.begin(), self._now()
        match read.what:
            case What.ORG:
                groups = await self._retry(partial(exchange.groups, read.org))
                nodes = await self._heard(self._retry(partial(exchange.nodes, read.org)))
                picture.learn_org(read.org, groups, nodes, begun=begun, now=now)
            case What.GROUP:
                members = await exchange.group(GroupId(read.id))
                picture.learn_group(
                    GroupId(read.id), Sight.ABSENT if members is None else members, begun=begun, now=now
                )
            case What.NODE:
                node = await self._heard(exchange.node(NodeId(read.id)))
                picture.learn_node(NodeId(read.id), node or Sight.ABSENT, begun=begun, now=now)
            case What.STATUSES:
                statuses = await self._heard(exchange.statuses(NodeId(read.id)))
                picture.learn_statuses(NodeId(read.id), statuses, begun=begun, now=now)
            case What.AGREEMENTS:
                agreements = await self._heard(exchange.agreements(NodeId(read.id)))
                picture.learn_agreements(NodeId(read.id), agreements, begun=begun, now=now)
            case What.PROPERTIES:
                properties = await exchange.properties(NodeId(read.id))
                picture.learn_properties(NodeId(read.id), properties, begun=begun, now=now)
            case _:
                await self._fetch_policies(read, begun, now)

    async def _heard(self, answer: Awaitable[Answer]) -> Answer:
        heard = await answer
        self._picture.stamps.heard(self._now())
        return heard

    async def _fetch_policies(self, read: Read, begun: int, now: Now) -> None:
        policies, exchange = self._picture.policies, self._exchange
        match read.what:
            case What.PATTERN:
                services = await self._heard(exchange.pattern(read.id))
                policies.learn_pattern(read.id, Sight.ABSENT if services is None else services, begun=begun, now=now)
            case What.MANAGEMENT_POLICY:
                policy = await self._heard(exchange.management_policy(PolicyId(read.id)))
                policies.learn(read, policy or Sight.ABSENT, begun=begun, now=now)
            case What.DEPLOYMENT_POLICY:
                policy = await self._heard(exchange.deployment_policy(PolicyId(read.id)))
                policies.learn(read, policy or Sight.ABSENT, begun=begun, now=now)


def _in_bulk(org: OrgId, reads: Sequence[Read]) -> list[Read]:
    """Replace many reads of nodes and groups of one organisation by one read of the organisation."""
    whole = {What.NODE, What.GROUP}
    if sum(read.what in whole for read in reads) < BULK_FROM:
        return list(reads)
    return [Read(what=What.ORG, id=org), *(read for read in reads if read.what not in whole)]


def _failures(reads: Sequence[Read], outcomes: Sequence[object]) -> Failures:
    """Keep the failures to read; anything else that went wrong is a bug and is raised."""
    failures: Failures = {}
    for read, outcome in zip(reads, outcomes, strict=True):
        if isinstance(outcome, ExchangeError):
            failures[read] = outcome
        elif isinstance(outcome, BaseException):
            raise outcome
    return failures
