"""Lets a rollout run on a virtual clock: who asks when, and when each upgrade ends.

Agents ask once a period, each at its own second of it. Most of those questions would get the same
refusal as the one before, because nothing has changed. They are left out: a member asks again at
its next turn after

- the end of an upgrade in its group;
- the earliest time at which one of its reasons can pass by itself (`Reason.until`);
- a change in the organisation, if only the organisation keeps it waiting. Of those that wait for
  the same reasons one asks first, and the others follow for as long as the answers differ;
- a growing interval, for what changes with time alone.

So the steps of a forecast follow the upgrades in it and not its length.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from agbot.forecast.course import Course, Left, Log
from agbot.forecast.durations import Durations
from agbot.forecast.facts import Facts
from agbot.forecast.following import Absent, Following, Wish, number, under_way
from agbot.forecast.living import HEARTBEAT
from agbot.forecast.rests import last_ends, rests_until
from agbot.forecast.snapshot import Snapshot, Tenure
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId
from agbot.rules.lease import Claim, Kind
from agbot.rules.limits import Limits, LimitsOf
from agbot.rules.reasons import Code, Reason

HORIZON: Final = timedelta(days=90)
"""Nothing is forecast beyond this."""
_QUIET: Final = timedelta(hours=6)
"""When nothing has changed for so long, members whose reasons change with time alone give up."""
_LONGEST_PAUSE: Final = 32
"""In periods of its questions."""
_REVIEWED_EVERY: Final = timedelta(seconds=30)
_OF_ORG: Final = frozenset({Code.PACED, Code.CANARY, Code.ORG_BRAKE})
"""Reasons that the upgrades of other groups end."""
_STILL: Final = frozenset({Code.LEASE_HELD, Code.BRAKE, Code.PAUSED, Code.NOT_APPROVED, Code.OUTSIDE_WINDOW})
"""Reasons that an end in the group or a person ends, or that say when they end."""

Progress = Callable[[datetime, int], None]
"""Is called with the time of the forecast, and the number of members that are done."""
_Bucket = tuple[tuple[Code, ...], Limits]


@dataclass(slots=True)
class _Member:
    """One member that asks."""

    wish: Wish
    phase_seconds: float
    reasons: tuple[Reason, ...] = ()
    pauses: int = 0
    bucket: _Bucket | None = None
    version: int = 0
    """Of its plan to ask: an older one is void."""


_LAST: Final = chr(0x10FFFF)
"""After every name."""


def _place(member: _Member) -> tuple[float, str]:
    """Return the order in which members ask within a period."""
    claim = member.wish.ask.claim
    return member.phase_seconds, f"{claim.holder} {claim.kind} {claim.subject}"


_Work = Callable[[], Awaitable[None]]


class Running:
    """One forecast, which runs once."""

    def __init__(
        self,
        snapshot: Snapshot,
        following: Following,
        limits_of: LimitsOf,
        durations: Durations,
        *,
        progress: Progress = lambda _at, _done: None,
    ) -> None:
        self._snapshot = snapshot
        self._following = following
        self._limits_of = limits_of
        self._durations = durations
        self._progress = progress
        self._facts = Facts(snapshot, limits_of)
        self._now = self._changed_at = snapshot.taken_at
        self._steps: list[tuple[datetime, int, _Work]] = []
        self._order = 0
        self._done = 0
        self._wanted = Counter(each.ask.group for each in following.wishes)
        self._claims = {each.ask.claim for each in following.wishes}
        self._log = Log(members={}, wanted={})
        self._absent = list(following.absent)
        self._members = {each.ask: self._member(each) for each in following.wishes}
        self._in_group: defaultdict[GroupId, list[_Member]] = defaultdict(list)
        self._buckets: defaultdict[_Bucket, list[_Member]] = defaultdict(list)
        """By the second at which they ask."""
        self._probing: dict[_Bucket, Ask] = {}
        """The one of a bucket that asks for the others."""

    async def run(self) -> Course:
        """Run to the end."""
        await self._facts.begin()
        await self._rest()
        tenures = under_way(self._snapshot, self._limits_of)
        seen = {
            group: dict(self._facts.available(group, self._facts.move_to(self._now))) for group in self._snapshot.groups
        }
        for each in tenures:
            seen[each.group][each.node] = not each.is_suspect
        self._log = Log(members=seen, wanted=self._wanted)
        self._log.begin_with(self._now)
        for each in tenures:
            await self._go_on(each)
        for member in self._members.values():
            self._in_group[member.wish.ask.group].append(member)
            self._plan(member, member.wish.begins_at)
        await self._run_steps()
        # their last reasons may be of a time when others were still upgrading
        while await self._ask_once_more():
            pass
        return self._course()

    async def _run_steps(self) -> None:
        while self._steps and self._steps[0][0] <= self._snapshot.taken_at + HORIZON:
            self._now, _, work = heapq.heappop(self._steps)
            await work()

    async def _ask_once_more(self) -> bool:
        """Let each member that is left ask; return whether that has changed anything."""
        changed_at = self._changed_at
        for member in self._members.values():
            if member.reasons:
                self._leave(member)
                self._plan(member, self._now)
        await self._run_steps()
        return self._changed_at != changed_at

    def _member(self, wish: Wish) -> _Member:
        period = self._limits_of(wish.ask.group).ask_period_seconds
        return _Member(wish, number(wish.ask.node) % 100_000 / 100_000 * period)

    async def _rest(self) -> None:
        """Let each group rest from its last end on, as it does at the time of the snapshot."""
        self._facts.move_to(self._now)
        for group, end in last_ends(self._snapshot).items():
            await self._facts.remember(group, end)
            until = rests_until(end, group, self._limits_of)
            if until is not None and until > self._now:
                self._push(until + HEARTBEAT, self._ask_for_all)

    async def _go_on(self, tenure: Tenure) -> None:
        """Let an upgrade go on that is under way; one that is suspect does not end."""
        claim = Claim(holder=tenure.node, kind=tenure.kind, subject=tenure.subject)
        ask = Ask(group=tenure.group, claim=claim, agreement_bound=tenure.kind is Kind.SERVICE)
        await self._facts.seize(ask, self._facts.move_to(self._now), is_suspect=tenure.is_suspect)
        self._log.begin(tenure.group, tenure.node, self._now)
        wished = self._members.pop(ask, None)
        if tenure.is_suspect and wished is not None:
            text = "it is not known how its upgrade ended"
            self._absent.append(Absent(group=tenure.group, node=tenure.node, subject=tenure.subject, text=text))
        elif not tenure.is_suspect:
            lasts = timedelta(seconds=self._durations.of_node(tenure.kind, tenure.node))
            self._push(max(tenure.since + lasts, self._now), partial(self._end, claim, tenure.group))

    async def _ask(self, ask: Ask, version: int) -> None:
        member = self._members.get(ask)
        if member is None or member.version != version:
            return
        others = (each for each in self._in_group[ask.group] if each is not member and each.wish.ask in self._members)
        beside = {each.wish.ask: each.reasons for each in others if each.reasons}
        bucket, asks_for_others = member.bucket, self._leave(member)
        reasons = await self._facts.ask(ask, self._facts.move_to(self._now), beside)
        if bucket is not None and Code.CANARY in bucket[0] and all(each.code is not Code.CANARY for each in reasons):
            self._facts.canaries_are_done(ask.claim.subject)
        if reasons:
            self._wait(member, reasons)
        else:
            self._begin(ask)
        if bucket is not None and asks_for_others and member.bucket != bucket:
            self._probe(bucket)

    def _begin(self, ask: Ask) -> None:
        del self._members[ask]
        self._changed_at = self._now
        self._log.begin(ask.group, ask.node, self._now)
        lasts = self._durations.of_node(ask.claim.kind, ask.node)
        self._push(self._now + timedelta(seconds=lasts), partial(self._end, ask.claim, ask.group))

    async def _end(self, claim: Claim, group: GroupId) -> None:
        if not await self._facts.end(claim, group, self._facts.move_to(self._now)):
            # the review may still wait, such as for a grace period; a suspect one waits without end
            if self._now - self._changed_at < _QUIET:
                self._push(self._now + _REVIEWED_EVERY, partial(self._end, claim, group))
            return
        self._changed_at, is_wanted = self._now, claim in self._claims
        self._log.end(group, claim.holder, self._now, is_wanted=is_wanted)
        self._done += is_wanted
        self._progress(self._now, self._done)
        for member in self._in_group[group]:
            if member.wish.ask in self._members and member.reasons:
                self._leave(member)
                self._plan(member, self._now)
        await self._ask_for_all()
        limits = self._limits_of(group)
        soak = limits.agent_soak_seconds if claim.kind is Kind.AGENT else limits.service_soak_seconds
        # then the upgraded member has been seen healthy, which other groups may wait for
        self._push(self._now + timedelta(seconds=soak) + HEARTBEAT, self._ask_for_all)

    async def _ask_for_all(self) -> None:
        for bucket in self._buckets:
            if bucket not in self._probing:
                self._probe(bucket)

    def _wait(self, member: _Member, reasons: tuple[Reason, ...]) -> None:
        """Plan when a refused member asks again."""
        codes = tuple(each.code for each in reasons)
        if codes != tuple(each.code for each in member.reasons):
            member.pauses = 0
        member.reasons = reasons
        if _OF_ORG.issuperset(codes):
            member.bucket = bucket = codes, self._limits_of(member.wish.ask.group)
            insort(self._buckets[bucket], member, key=_place)
            return
        moments = [each.until for each in reasons if each.until is not None and each.until > self._now]
        if not _STILL.intersection(codes) and self._now - self._changed_at < _QUIET:
            period = self._limits_of(member.wish.ask.group).ask_period_seconds
            moments.append(self._now + timedelta(seconds=(min(2**member.pauses, _LONGEST_PAUSE) - 1) * period))
            member.pauses += 1
        if moments:
            self._plan(member, min(moments))

    def _leave(self, member: _Member) -> bool:
        """Take a member out of its bucket; return whether it was to ask for the others."""
        bucket, member.bucket = member.bucket, None
        if bucket is None:
            return False
        places = self._buckets[bucket]
        del places[bisect_left(places, _place(member), key=_place)]
        if self._probing.get(bucket) != member.wish.ask:
            return False
        del self._probing[bucket]
        return True

    def _probe(self, bucket: _Bucket) -> None:
        """Let the one ask that asks next among those that wait for the same."""
        places = self._buckets[bucket]
        if not places:
            return
        since = (self._now - self._snapshot.taken_at).total_seconds() % bucket[1].ask_period_seconds
        member = places[bisect_right(places, (since, _LAST), key=_place) % len(places)]
        self._probing[bucket] = member.wish.ask
        self._plan(member, self._now)

    def _plan(self, member: _Member, after: datetime) -> None:
        """Let a member ask at its next turn after this time."""
        period = self._limits_of(member.wish.ask.group).ask_period_seconds
        since = (after - self._snapshot.taken_at).total_seconds()
        # strictly later: at this very moment the answer would be the one before
        periods = int((since - member.phase_seconds) // period) + 1
        member.version += 1
        moment = self._snapshot.taken_at + timedelta(seconds=member.phase_seconds + periods * period)
        self._push(moment, partial(self._ask, member.wish.ask, member.version))

    def _push(self, moment: datetime, work: _Work) -> None:
        self._order += 1
        heapq.heappush(self._steps, (moment, self._order, work))

    def _course(self) -> Course:
        absent: defaultdict[GroupId, list[Left]] = defaultdict(list)
        for each in self._absent:
            absent[each.group].append(Left(node=each.node, text=each.text))
        for ask, member in self._members.items():
            first = member.reasons[0] if member.reasons else None
            text = first.text if first else f"it does not begin within {HORIZON.days} days"
            absent[ask.group].append(Left(node=ask.node, text=text, code=str(first.code) if first else ""))
        concerned = {*(each.ask.group for each in self._following.wishes), *absent}
        groups = [self._log.course_of(group, absent[group]) for group in sorted(concerned)]
        never = self._snapshot.taken_at + 2 * HORIZON
        return Course(
            begins_at=self._snapshot.taken_at,
            ends_at=max(self._log.ends.values(), default=self._snapshot.taken_at),
            groups=sorted(groups, key=lambda each: (each.begins_at or never, each.group)),
            points=self._log.points,
        )
