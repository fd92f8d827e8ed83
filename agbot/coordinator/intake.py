"""Taking in what the Exchange says: the change feed, the organisations, and the reads that matter now.

The Exchange is the scarce resource, so every read has a reason. While all groups are idle a cycle makes one feed request and nothing else.
A failure is told once when it begins and once when it is over; one organisation's failure is its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from agbot.coordinator import stopping
from agbot.coordinator.ahead import Ahead
from agbot.coordinator.comparing import Comparing
from agbot.coordinator.contract import Refused as NotOurs
from agbot.coordinator.earlier_reports import EarlierReports
from agbot.coordinator.organisations import Organisations
from agbot.coordinator.reading import Reader
from agbot.coordinator.serving import Serving
from agbot.coordinator.shared_read import SharedRead
from agbot.coordinator.silent_ends import SilentEnds
from agbot.coordinator.situation import Situation, is_older
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError, Forbidden, Refused
from agbot.exchange.feed import ChangeFeed
from agbot.fleet.changes import Read, What
from agbot.fleet.policies import policy_read
from agbot.rules.facts import Node
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.lease import Kind, Lease
from agbot.rules.rest import needs_services
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often what is read."""

    heartbeat: timedelta
    resync: timedelta


@dataclass(slots=True, kw_only=True)
class IntakeReport:
    """What one intake did."""

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
        serving: Serving,
        *,
        pace: Pace,
        organisations: tuple[str, ...],
        served_by: str = "",
        chance: random.Random | None = None,
    ) -> None:
        self._situation = situation
        self._exchange = exchange
        self._reader = reader
        self._serving = serving
        self._ahead = Ahead(situation, serving)
        self._pace = pace
        self._feed = ChangeFeed(exchange, situation.clock)
        self._earlier = EarlierReports(self._feed, situation.picture)
        self._comparing = Comparing(situation, exchange)
        self._taken_in = 0
        self.feed = SharedRead(self._follow_feed, situation.clock)
        """Reads the change feed to its end and takes it in: the cycle at its own pace, a question before a yes."""
        self._organisations = Organisations(
            situation, exchange, reader, named=organisations, served_by=served_by, resync=pace.resync, chance=chance
        )
        self.orgs = self._organisations.states
        self._is_a_no = False
        self._silent_ends = SilentEnds(situation, pace.heartbeat)
        self._unreadable: set[Read] = set()
        """What was told to be unreadable."""
        self._standstill = ""
        self.failing = ""
        """What the last read of the feed said, while it fails."""
        self.joined: dict[GroupId, None] = {}
        """Groups that somebody has joined, perhaps in the middle of an upgrade. Whoever has judged one takes it out."""

    async def take_in(self) -> IntakeReport:
        """Read the feed, organisations that are due, and whatever bears on groups with a lease or a waiter."""
        report = IntakeReport()
        try:
            await self._organisations.discover()
            await self.feed.again()
            await self._earlier.look(self.orgs)
            self._recovered()
        except ExchangeError as error:
            self._failed(error)
            report.failing = str(error)
            return report
        report.changes, self._taken_in = self._taken_in, 0
        report.synced = await self._organisations.sync()
        self.joined.update(dict.fromkeys(await self._read_what_matters()))
        self._tell_unreadables()
        self._tell_standstill()
        return report

    def meet(self, org: OrgId) -> None:
        """Look after an organisation from now on, if it is ours."""
        self._organisations.meet(org)

    def excludes(self, node: NodeId) -> NotOurs | None:
        """Refuse a node of an organisation that is not looked after; None for one that is."""
        return self._organisations.excludes(node)

    def why_excluded(self, org: OrgId) -> str:
        """Say why this organisation is not looked after; empty for one that is."""
        return self._organisations.why_excluded(org)

    def read_anew(self) -> None:
        """Let every organisation be read as a whole in the next intake."""
        self._organisations.read_anew()

    async def _follow_feed(self) -> None:
        situation = self._situation
        begun_seconds, asked_at = situation.clock.monotonic_seconds(), situation.now()
        result = await self._feed.poll()
        for change in result.changes:
            self._organisations.saw(change)
            situation.picture.apply(change, asked_at)
        if result.resync is not None:
            situation.picture.standstill.begins_anew()
            self.read_anew()
            self._earlier.lost()
            if result.reset:
                for org in self.orgs:
                    situation.picture.distrust_absences(org)
                    situation.picture.shows_the_past(org, asked_at)
        await self._comparing.look()
        situation.saw(begun_seconds)
        self._comparing.learn(self.orgs)
        self._taken_in += len(result.changes)

    async def _read_what_matters(self) -> list[GroupId]:
        """Read what is out of date about groups with a lease, a waiter, a deferral, somebody who is about to ask, or who has joined.

        Return groups that somebody has joined.
        """
        situation = self._situation
        wanted = [read for read in situation.picture.eager() if self._organisations.serves(read.org)]
        wanted += self._earlier.reads()
        now = situation.now()
        joined = self.joined if situation.ledger.is_trusted else ()  # none of them is judged before that
        groups = list(dict.fromkeys([*situation.ledger.groups_that_matter(), *self._ahead.groups(), *joined]))
        wanted += self._about_groups(groups)
        wanted += stopping.reads(situation)
        wanted += self._unproven(now)
        wanted += self._deferred_services(now)
        wanted += self._silent_ends.reads(groups, now)
        wanted = await self._refresh(wanted)
        ahead = self._ahead.note(NodeId(read.id) for read in wanted if read.what is What.STATUSES)
        await self._refresh(self._about_groups(ahead))
        situation.troubles.keep("reads", [*groups, *ahead])
        reports = (What.AGREEMENTS, What.STATUSES)
        return await self._look_at_arrivals([NodeId(read.id) for read in wanted if read.what in reports])

    async def _refresh(self, wanted: Iterable[Read]) -> list[Read]:
        """Read these, without what was unreadable a moment ago; return what was tried."""
        unreadables, lately = self._situation.picture.unreadables, self._situation.now().seen - self._pace.heartbeat
        tried = [read for read in wanted if not unreadables.was_tried_since(read, lately)]
        self._serving.note(tried, await self._reader.refresh(tried))
        return tried

    def _about_groups(self, groups: Sequence[GroupId]) -> list[Read]:
        """Return what is out of date about groups in which somebody upgrades, waits, or is about to ask."""
        situation, now, found = self._situation, self._situation.now(), list[Read]()
        for group in groups:
            with situation.troubles.guard("reads", group):
                found += situation.unread_of(group)
                found += self._serving.for_waiters(group, now)
                found += self._old_heartbeats(group, now)
                found += self._subjects(group)
                found += self._about_holder(situation.ledger.lease(group), now)
                found += self._ahead.reads(group)
        return found

    async def _look_at_arrivals(self, also: Iterable[NodeId]) -> list[GroupId]:
        """Read what those who have joined are in the middle of; return their groups, and those of the others."""
        picture = self._situation.picture
        arrived = picture.take_arrivals()
        about = [Read(what=what, id=node) for node in arrived for what in (What.NODE, What.STATUSES)]
        about += [read for read in picture.eager() if read.what is What.AGREEMENTS and read.id in arrived]
        await self._reader.refresh(read for read in about if not picture.is_current(read))
        seen = (picture.node(node) for node in (*arrived, *also))
        return list(dict.fromkeys(node.group for node in seen if isinstance(node, Node) and node.group is not None))

    def _old_heartbeats(self, group: GroupId, now: Now) -> list[Read]:
        picture = self._situation.picture
        old = now.seen - self._pace.heartbeat
        read_at = {node: picture.node_read_at(node) for node in picture.members(group)}
        return [Read(what=What.NODE, id=node) for node, at in read_at.items() if at is None or at <= old]

    def _subjects(self, group: GroupId) -> list[Read]:
        ledger, picture = self._situation.ledger, self._situation.picture
        claims = [waiter.ask.claim for waiter in ledger.waiters.get(group, {}).values()]
        reads = [policy_read(claim.kind, claim.subject) for claim in claims]
        hold = ledger.lease(group).hold
        if hold is not None and hold.claim.subject:
            reads.append(policy_read(hold.claim.kind, hold.claim.subject, hold.progress.pattern))
        return [read for read in reads if not picture.is_current(read)]

    def _about_holder(self, lease: Lease, now: Now) -> list[Read]:
        """The holder itself, and its report: the feed announces it, but a feed may be frozen, and shows no containers to an agbot."""
        if lease.hold is None:
            return []
        picture, holder = self._situation.picture, lease.hold.claim.holder
        found: list[Read] = []
        if lease.hold.claim.kind is Kind.SERVICE:
            agreements = Read(what=What.AGREEMENTS, id=holder)
            is_old = is_older(picture.agreements_read_at(holder), now.seen - self._pace.heartbeat / 3)
            if is_old or not picture.is_current(agreements):
                found.append(agreements)
        elif is_older(picture.statuses_read_at(holder), now.seen - 2 * self._pace.heartbeat):
            found.append(Read(what=What.STATUSES, id=holder))
        if is_older(picture.node_read_at(holder), now.seen - self._pace.heartbeat):
            found.append(Read(what=What.NODE, id=holder))
        unread = (Read(what=What.NODE, id=holder), Read(what=What.STATUSES, id=holder))
        return found + [read for read in unread if not picture.is_current(read)]

    def _unproven(self, now: Now) -> list[Read]:
        """Members whose upgrade has just succeeded and who were not seen healthy since: the next one waits for that."""
        picture, old = self._situation.picture, now.seen - self._pace.heartbeat / 3
        found: list[Read] = []
        for group, rest, member in self._situation.unproven_rests():
            if is_older(picture.node_read_at(member.node.id), old):
                found.append(Read(what=What.NODE, id=member.node.id))
            is_wanted = needs_services(rest, self._situation.limits_of(group))
            if is_wanted and is_older(member.agreements_read_at, max(old, rest.until)):
                found += self._serving.but_failed([Read(what=What.AGREEMENTS, id=member.node.id)], now)
        return found

    def _deferred_services(self, now: Now) -> list[Read]:
        """Members whose service is down since they joined: the feed announces no new agreement, and no container."""
        picture, old = self._situation.picture, now.seen - self._pace.heartbeat / 3
        found = (
            deferral.node
            for deferrals in self._situation.ledger.deferrals.values()
            for deferral in deferrals.values()
            if deferral.kind is Kind.SERVICE
        )
        return [
            Read(what=What.AGREEMENTS, id=node) for node in found if is_older(picture.agreements_read_at(node), old)
        ]

    def _tell_standstill(self) -> None:
        """Tell once that the feed stands still, and once that it goes on."""
        why = self._situation.why_feed_stands_still()
        if why and not self._standstill:
            self._tell("feed.stalled", {"error": why})
        elif self._standstill and not why:
            self._tell("feed.recovered", {})
        self._standstill = why

    def _tell_unreadables(self) -> None:
        """Tell each record that cannot be read once, by its name, and once that it can be read again."""
        found = self._situation.picture.unreadables.all()
        for read in [read for read in self._unreadable if read not in found]:
            self._unreadable.discard(read)
            self._tell_record("record.readable", read, {})
        for read, why in found.items():
            if read not in self._unreadable:
                self._unreadable.add(read)
                self._tell_record("record.unreadable", read, {"error": why})

    def _tell_record(self, event: str, read: Read, facts: dict[str, object]) -> None:
        is_node = read.what in {What.NODE, What.STATUSES, What.AGREEMENTS, What.PROPERTIES}
        self._situation.tell(
            Entry(
                at=self._situation.now().wall,
                event=event,
                group=GroupId(read.id) if read.what is What.GROUP else None,
                node=NodeId(read.id) if is_node else None,
                facts={"what": str(read.what), "record": read.id, **facts},
            )
        )

    def _failed(self, error: ExchangeError) -> None:
        """Tell a failure once, and again when an outage becomes a no, or the other way round: what a person has to do is another thing."""
        is_a_no = isinstance(error, Refused | Forbidden)
        if not self.failing or is_a_no is not self._is_a_no:
            self._tell("exchange.failed", {"error": str(error)})
        self.failing, self._is_a_no = str(error), is_a_no

    def _recovered(self) -> None:
        if self.failing:
            self._tell("exchange.recovered", {})
        self.failing = ""

    def _tell(self, event: str, facts: dict[str, object]) -> None:
        self._situation.tell(Entry(at=self._situation.now().wall, event=event, facts=facts))
