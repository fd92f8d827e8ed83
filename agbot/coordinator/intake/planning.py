"""Makes the plan of reads: for which groups in a cycle, and with what activity in each of them.

`agbot.fleet.plan` decides what must be read, why, and how old it may be. This module makes the plan
of the groups that are due (`agbot.coordinator.attention`): they have changed, or a read is due. It
keeps which nodes are about to ask, too.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache

from agbot.coordinator.attention import Attention
from agbot.coordinator.event_loop import Slices
from agbot.coordinator.situation import Situation
from agbot.fleet import plan
from agbot.fleet.plan import Activity
from agbot.fleet.reads import Ages, Wanted, Why, next_due_at
from agbot.rules.ids import GroupId, NodeId, OrgId, org_of
from agbot.rules.seen_time import SeenTime

_EXPECTED = timedelta(minutes=3)
"""How long a question is expected after a report.

Agents ask after the download, and then every 60 s. A long download ends with a new report.
"""
_MOST_STATUS_READS_PER_SECOND = 20
"""How many reads in a second may check statuses that the feed has not announced.

The Exchange cannot list the statuses of several nodes, and answers 160 to 240 such reads in a
second. These find out that the feed has stopped, for which a few are enough however many leases are
held.
"""

Plans = Mapping[GroupId, Collection[Wanted]]


class Planning:
    """Makes the plan of each group from the picture and the ledger."""

    def __init__(self, situation: Situation, attention: Attention) -> None:
        self._situation = situation
        self._attention = attention
        # An agent reports `download started` or `ha node waiting` before it asks, and the feed
        # announces that. For a while its group then counts as one with a waiter. No decision
        # depends on it: what was not read ahead is read with the question.
        self._expected_until: dict[NodeId, SeenTime] = {}

    def note_reports(self, nodes: Iterable[NodeId]) -> list[GroupId]:
        """Note the reports of these nodes, just read.

        Return the groups with a newly expected question.
        """
        now, found = self._situation.now().seen, list[GroupId]()
        for node in nodes:
            asks = list(plan.asks_of(node, self._situation.picture))
            if not asks:
                self._expected_until.pop(node, None)
                continue
            if node not in self._expected_until:  # the group of a known one is planned already
                found += [ask.group for ask in asks]
            self._expected_until[node] = now + _EXPECTED
        return list(dict.fromkeys(found))

    async def of_due(self, joined: Collection[GroupId]) -> Plans:
        """Return the plans of the groups that are due, and of those that a node has joined."""
        situation, now = self._situation, self._situation.now().seen
        self._forget(now)
        self._attention.gather()
        failing = situation.troubles.abouts("reads", "next read")
        due = dict.fromkeys([*joined, *failing, *self._attention.reading.take(now)])
        return await self.of_groups(due, joined)

    async def of_groups(self, groups: Iterable[GroupId], joined: Container[GroupId] = ()) -> Plans:
        """Return the plans of these groups.

        A failure in one is reported and does not affect the others.
        """
        situation, slices, found = self._situation, Slices(), dict[GroupId, Collection[Wanted]]()
        ages_at, now = cache(self._ages), situation.now()
        for group in groups:
            found[group] = ()
            with situation.troubles.guard("reads", group):
                activity = self.activity(group, has_joined=group in joined)
                ages = ages_at(org_of(group), activity.limits.heartbeat_stale_seconds)
                found[group] = plan.of_group(activity, situation.picture, ages, now)
            if await slices.end():
                now = situation.now()
        return found

    async def plan_again(self, plans: Plans) -> None:
        """Schedule these groups for when the next read is due, after the reads of this plan."""
        situation, now, slices = self._situation, self._situation.now().seen, Slices()
        mattering = situation.ledger.tally.mattering
        for group, wanted in plans.items():
            # without activity, only a change can make a read necessary
            is_watched = bool(wanted) or group in mattering
            with situation.troubles.guard("next read", group):
                self._attention.read_again(group, next_due_at(wanted, situation.picture), now, is_watched=is_watched)
            await slices.end()

    def _ages(self, org: OrgId, stale_seconds: float) -> Ages:
        """Return how old answers may be in a group whose heartbeats may be as old as this."""
        ages, held = self._situation.ages, len(self._situation.ledger.tally.occupied)
        statuses = max(ages.statuses, timedelta(seconds=held / _MOST_STATUS_READS_PER_SECOND))
        # a heartbeat that is read too rarely would make a live node seem to be silent
        pace = min(self._attention.pace(org), timedelta(seconds=stale_seconds / 3))
        return replace(ages, heartbeat=max(ages.heartbeat, pace), statuses=statuses)

    def _forget(self, now: SeenTime) -> None:
        """Forget the nodes that are no longer expected."""
        for node in [node for node, until in self._expected_until.items() if until <= now]:
            del self._expected_until[node]

    def activity(self, group: GroupId, *, has_joined: bool) -> Activity:
        """Return the activity in a group."""
        situation, ledger = self._situation, self._situation.ledger
        # by the members of the group: a rollout can make nodes in a thousand groups expected at
        # once
        expected = [node for node in situation.picture.membership.of_group(group) if node in self._expected_until]
        return Activity(
            group=group,
            limits=situation.limits_of(group),
            lease=ledger.lease(group),
            waiters=tuple(ledger.waiters.get(group, {}).values()),
            deferrals=tuple(ledger.deferrals.get(group, {}).values()),
            brakes=tuple(ledger.brakes.get(group, {}).values()),
            expected=[ask for node in expected for ask in plan.asks_of(node, situation.picture)],
            has_joined=has_joined,
        )

    def second_reads(self) -> list[Wanted]:
        """Return what was missing once and must be read again."""
        reads = self._situation.picture.second_reads(self._situation.now().seen)
        return plan.at_once(reads, Why.ABSENCE)
