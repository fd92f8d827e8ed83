"""Reads the Exchange in every cycle: the change feed, the organisations, and what groups need.

The Exchange is the scarce resource, so every read has a reason. While all groups are idle, a cycle
makes one request for the feed and nothing else. An outage is reported once when it begins and once
when it ends; an outage of one organisation does not affect the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from agbot.coordinator.attention import Attention
from agbot.coordinator.event_loop import Background
from agbot.coordinator.intake.comparing import Comparing
from agbot.coordinator.intake.earlier_reports import EarlierReports
from agbot.coordinator.intake.faults import Faults
from agbot.coordinator.intake.organisations import Organisations
from agbot.coordinator.intake.planning import Planning
from agbot.coordinator.intake.reading import Reader
from agbot.coordinator.situation import Situation
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError, Unreadable
from agbot.exchange.feed import ChangeFeed, FeedResult
from agbot.fleet.changes import Read, What
from agbot.fleet.reads import Wanted, Why
from agbot.rules.facts import Node
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.seen_time import Now, SeenTime
from agbot.single_flight import SharedRead

_GIVEN_UP = timedelta(minutes=10)
"""For how long a node that has joined a group is read again if it cannot be read."""

_REPORTS = frozenset({What.AGREEMENTS, What.STATUSES})

Reported = Callable[[Sequence[NodeId]], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class IntakeReport:
    """What was read since the last intake."""

    changes: int = 0
    synced: list[OrgId] = field(default_factory=list)
    failing: str = ""


class Intake:
    """Keeps the picture current."""

    def __init__(
        self,
        situation: Situation,
        exchange: ExchangeClient,
        reader: Reader,
        organisations: Organisations,
        reported: Reported,
    ) -> None:
        """Await `reported` with the nodes whose announced statuses have just been read."""
        self.attention = Attention(situation)
        self._situation = situation
        self._reader = reader
        self._planning = Planning(situation, self.attention)
        self._feed = ChangeFeed(exchange, situation.clock)
        self._earlier = EarlierReports(self._feed, situation.picture)
        self._comparing = Comparing(situation, exchange)
        self.feed = SharedRead(self._follow_feed, situation.clock)
        """Reads the change feed to its end: for every cycle, and for a question before a grant."""
        self.organisations = organisations
        self._faults = Faults(situation)
        self.joined: dict[GroupId, None] = {}
        """Groups that a node has joined, perhaps in the middle of an upgrade. Their judge removes
        them."""
        self._arrived: dict[NodeId, SeenTime] = {}
        """Nodes that have joined a group, since when; without those that are being read."""
        self._reported = reported
        self._background = Background()
        self._report = IntakeReport()

    @property
    def failing(self) -> str:
        """The error of the last read of the feed, while it fails."""
        return self._faults.failing

    async def take_in(self) -> IntakeReport:
        """Read the feed, the organisations that are due, and what is due about the busy groups.

        The feed is read to its end. The other reads are waited for only for a moment: they go on
        beside the cycle, and the cycles after it.
        """
        try:
            await self.organisations.discover()
            await self.feed.again()
            await self._earlier.read_rows(self.organisations.states)
            self._faults.recovered()
        except ExchangeError as error:
            self._faults.failed(error)
            return IntakeReport(failing=str(error))
        await self._background.follow(announced=self._read_announced, due=self._read_due)
        self._faults.look()
        report, self._report = self._report, IntakeReport()
        return report

    async def follow(self) -> None:
        """Read the feed, unless that was just done, and begin to read what it has announced.

        Raises:
            ExchangeError: the feed could not be read.
        """
        await self.feed.fresh()
        self._background.begin("announced", self._read_announced)

    async def stop(self) -> None:
        """Stop the reads that go on beside the cycles."""
        await self._background.stop()

    async def _follow_feed(self) -> None:
        situation = self._situation
        begun_seconds, asked_at = situation.clock.monotonic_seconds(), situation.now()
        result = await self._feed.poll()
        try:
            self._take(result, asked_at)
        except Exception:
            # no later poll returns these rows again
            self._feed.begin_again("the changes of the last read were not taken in")
            raise
        await self._comparing.read_if_due()
        situation.saw(begun_seconds)
        self._comparing.learn(self.organisations.states)
        self._report.changes += len(result.changes)

    def _take(self, result: FeedResult, asked_at: Now) -> None:
        situation = self._situation
        for change in result.changes:
            self.organisations.saw(change)
            situation.picture.apply(change, asked_at)
        if result.resync is not None:
            situation.picture.standstill.restart()
            self.organisations.read_all_again()
            self._earlier.lost()
            if result.reset:
                for org in self.organisations.states:
                    situation.picture.distrust_absences(org)
                    situation.picture.note_old_state(org, asked_at)

    async def _read_announced(self) -> None:
        """Read what the feed has announced: an upgrade may have ended."""
        with self._situation.troubles.guard("reads of what was announced"):
            wanted = self._eager()
            try:
                tried = await self._reader.follow(wanted)
            except Exception:
                self._will_judge(each.read for each in wanted)
                raise
            await self._reported(_reporters(tried))
            await self._follow_up(tried)

    async def _read_due(self) -> None:
        """Read the organisations that are due, and what is due about the busy groups.

        Busy is a group with a lease, a waiter, a deferral, or a node that is about to ask or has
        joined.
        """
        situation, planning = self._situation, self._planning
        with situation.troubles.guard("reads"):
            synced = await self.organisations.sync()  # may outlast the intake that has begun it
            self._report.synced += synced
            # while the store is not trusted no group is judged, and these wait for that
            joined = self.joined if situation.ledger.is_trusted else {}
            plans = await planning.of_due(joined)
            of_plans = [each for of_group in plans.values() for each in of_group]
            wanted = [*self._earlier.reads(), *of_plans, *planning.second_reads()]
            try:
                await self._follow_up(await self._reader.follow(wanted))
                await planning.plan_again(plans)
            except BaseException:
                self._will_judge(each.read for each in wanted)
                self.attention.reading.at_once(plans)  # none of them has its next time yet
                raise
            situation.troubles.keep("reads", {GroupId(""): None, **plans})

    async def _follow_up(self, tried: Sequence[Read]) -> None:
        """Read what follows from these reads, and note the groups to judge."""
        planning, reporters = self._planning, _reporters(tried)
        to_judge = list(tried)
        try:
            if reporters:
                plans = await planning.of_groups(planning.note_reports(reporters))
                await self._reader.follow(each for of_group in plans.values() for each in of_group)
            arrived = self._take_arrivals()
            to_judge += [Read(what=What.STATUSES, id=node) for node in arrived]
            await self._read_arrivals(arrived)
        finally:
            self._will_judge(to_judge)

    def _will_judge(self, tried: Iterable[Read]) -> None:
        """Note the groups of which reports were read, also if another read has failed beside them.

        Nothing shows these a second time.
        """
        nodes = (NodeId(read.id) for read in tried if read.what in _REPORTS)
        known = map(self._situation.picture.node, nodes)
        self.joined.update({node.group: None for node in known if isinstance(node, Node) and node.group is not None})

    def _eager(self) -> list[Wanted]:
        """Return what the feed has announced and is read without a question."""
        reads = [read for read in self._situation.picture.eager() if self.organisations.serves(read.org)]
        is_of_group = {What.GROUP, What.NODE}
        return [Wanted(read=read, why=Why.MEMBERSHIP if read.what in is_of_group else Why.REPORT) for read in reads]

    def _take_arrivals(self) -> dict[NodeId, SeenTime]:
        """Return the nodes that have joined a group and were not read since, and since when.

        Other reads go on beside those of these nodes, so they are taken once.
        """
        now, known = self._situation.now().seen, self._arrived
        self._arrived = {}
        known.update(dict.fromkeys(self._situation.picture.take_arrivals(), now))
        return {node: at for node, at in known.items() if now - at <= _GIVEN_UP}

    async def _read_arrivals(self, arrived: Mapping[NodeId, SeenTime]) -> None:
        """Read the upgrades of nodes that have joined a group."""
        about = [Read(what=what, id=node) for node in arrived for what in (What.NODE, What.STATUSES)]
        eager = self._situation.picture.eager()
        about += [read for read in eager if read.what is What.AGREEMENTS and read.id in arrived]
        failed: Collection[str] = arrived
        try:
            failures = await self._reader.refresh(Wanted(read=read, why=Why.MEMBERSHIP) for read in about)
            failed = {read.id for read, error in failures.items() if not isinstance(error, Unreadable)}
        finally:
            # one that has joined once more meanwhile keeps its later time
            self._arrived = {node: at for node, at in arrived.items() if node in failed} | self._arrived


def _reporters(tried: Iterable[Read]) -> list[NodeId]:
    """Return the nodes whose statuses were read."""
    return [NodeId(read.id) for read in tried if read.what is What.STATUSES]
