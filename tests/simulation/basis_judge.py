"""P4: what a yes rested on.

The store answers, the asker was read with its own credentials, the feed and the agbot's lists are
young.

A yes that somebody asked for, and a lease that was only seen, are two things: the second rests on
what the coordinator itself has read.
"""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Granted
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId, name_of, org_of
from agbot.rules.lease import Kind, Lease
from tests.simulation.daemon import Daemon
from tests.simulation.disk import Disk
from tests.simulation.plan import Plan
from tests.simulation.story import Promise, Story

_READ_SECONDS = 15.0
"""So old the asker's own node may be: what is read after it takes its time."""
_LOOK_SECONDS = 1.0
_WAY_SECONDS = 3.0
"""Between the look that a yes rests on and its commit: further reads, in an Exchange that is
slow."""


class BasisJudge:
    """One run's grants, and what had been read when they were made."""

    def __init__(self, plan: Plan, story: Story) -> None:
        self._plan = plan
        self._story = story
        self.oldest: dict[str, float] = {}
        """How old at most each look was, for whoever sets the limits."""

    def granted(self, lease: Lease, daemon: Daemon, disk: Disk | None) -> None:
        """Look at a grant that is about to be committed."""
        tenure, now = lease.tenure, _now()
        if disk is not None and disk.failed_at is not None and now - disk.failed_at > _READ_SECONDS:
            self._broke(lease.group, f"the store failed at {disk.failed_at} and was not read since")
        if disk is not None and disk.replaced:
            self._broke(lease.group, "the store is an older copy, and nobody has looked at everything since")
        if tenure is None:
            return
        if not tenure.progress.observed:
            self._rested(lease.group, tenure.claim.holder, daemon)
            self._listed(lease.group, tenure.claim.kind, daemon)
        elif daemon.sightings.feed is None or now - daemon.sightings.feed > self._view_seconds:
            self._broke(lease.group, f"the feed was read at {daemon.sightings.feed}, it is {now}")

    def answered(self, ask: Ask, answer: Granted, daemon: Daemon) -> None:
        """Look at a yes without a lease: it rests on what is true now, like any other."""
        if answer.exempt is not None:
            self._rested(ask.group, ask.node, daemon)

    def _rested(self, group: GroupId, node: str, daemon: Daemon) -> None:
        now, path = _now(), f"/orgs/{org_of(node)}/nodes/{name_of(node)}"
        ours, seen = self._plan.settings.identity, daemon.sightings
        read = [at for (who, what), at in seen.nodes.items() if what == path and who != ours]
        if not read or now - max(read) > _READ_SECONDS:
            self._broke(group, f"{node} was not read anew with the asker's own credentials")
        self._young(group, "the feed", seen.feed)

    def _listed(self, group: GroupId, kind: Kind, daemon: Daemon) -> None:
        """Where no one listens no one begins anything.

        About a service it is the agbot that asks, whatever its lists do.
        """
        if not daemon.agbots:
            return
        seen = daemon.sightings
        looked = max(seen.listed(), seen.no_one_there(daemon.agbots))
        if kind is Kind.AGENT or seen.lists_failed < looked:
            self._young(group, "the agbot's lists", looked)

    def _young(self, group: GroupId, what: str, read_at: float | None) -> None:
        now = _now()
        age = now - read_at if read_at is not None else now
        self.oldest[what] = max(self.oldest.get(what, 0.0), age)
        if read_at is None or age > _LOOK_SECONDS + _WAY_SECONDS:
            self._broke(group, f"{what} had been read at {read_at}, it is {now}")

    @property
    def _view_seconds(self) -> float:
        return self._plan.settings.view_max_age_seconds + _READ_SECONDS

    def _broke(self, group: GroupId, text: str) -> None:
        self._story.broke(Promise.NO_TRUST_NO_GRANT, group, text)


def _now() -> float:
    return asyncio.get_running_loop().time()
