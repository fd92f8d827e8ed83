"""P7: no one is refused for an upgrade whose policy has long been gone, although no row of the feed reported of its end.

The bounds are those of `docs/decisions/0017-when-an-absence-is-believed.md`, counted from the first
refusal that named the upgrade: what ends in an idle group is found by the next question about it.
Where something was in the way of the reads that find it, the time begins again.
"""

from __future__ import annotations

import asyncio
import re

from agbot.coordinator.permission import Refused
from agbot.rules.facts import Ask
from agbot.rules.ids import GroupId
from agbot.rules.reasons import Code
from agbot.sim.exchange import Write
from agbot.sim.fleet import Fleet
from tests.simulation.plan import Plan
from tests.simulation.story import Promise, Story

_SECOND_LOOK_SECONDS = 10.0
_MARGIN_SECONDS = 15.0
"""What the reads themselves take, in an Exchange that is slow."""
_FORGOTTEN_SECONDS = 300.0
"""Who has not asked for so long does not wait any more, and nothing was read for it."""
_TURNED_BACK = frozenset({"our clock", "exchange clock", "restore", "store"})
"""Where a clock, the Exchange or the store goes back, how long something is gone cannot be reported
from here."""


class GoneJudge:
    """One run's policies for agents, and who was refused for the upgrade of one that is gone."""

    def __init__(self, plan: Plan, story: Story) -> None:
        self._story = story
        self._is_judged = not plan.wild & _TURNED_BACK
        settings = plan.settings
        common = _SECOND_LOOK_SECONDS + 2 * settings.poll_seconds + _MARGIN_SECONDS
        of_a_policy = common + 2 * settings.heartbeat_seconds
        self._bounds = {
            Code.PEERS_UNAVAILABLE: common + settings.heartbeat_seconds,
            Code.LEASE_HELD: of_a_policy,
            # a node that installs for it is waited for
            Code.OVERLAP: of_a_policy + plan.limits.lease_seconds,
        }
        self._of_a_deferral = of_a_policy + plan.limits.lease_seconds
        self._published: set[str] = set()
        self._gone_at: dict[str, float] = {}
        self._named: dict[tuple[GroupId, Code, str], tuple[float, float]] = {}
        """(group, code, policy) -> the first and the last refusal that named it."""
        self._clear_since = 0.0

    def wrote(self, write: Write) -> None:
        """Take in that a policy is there."""
        if write.resource == "mgmtpolicy" and write.operation != "deleted":
            self._published.add(f"{write.org}/{write.id}")

    def disturbed(self, seconds: float) -> None:
        """Take in that reads or commits may fail for so long from now on, or that the coordinator has just started."""
        self._clear_since = max(self._clear_since, _now() + seconds)

    def look(self, fleet: Fleet) -> None:
        """Take in which policies are there; what a cascade deletes reports no one."""
        there = {f"{org}/{name}" for org, name in fleet.exchange.world.management_policies}
        for name in self._published:
            if name in there:
                self._gone_at.pop(name, None)
            else:
                self._gone_at.setdefault(name, _now())

    def hear(self, ask: Ask, answer: Refused, fleet: Fleet) -> None:
        """Look at the reasons of a refusal."""
        self.look(fleet)
        for reason in answer.reasons if self._is_judged else ():
            bound = self._bounds.get(reason.code)
            if bound is None or "the agbot lists" in reason.text:
                continue
            if "it joined during" in reason.text:  # a member that installs for it is waited for
                bound = self._of_a_deferral
            for name, gone_at in self._gone_at.items():
                if re.search(rf"(?<!\S){re.escape(name)}(?![\w/-])", reason.text):
                    self._refused(ask.group, reason.code, name, since=gone_at, bound=bound, text=reason.text)

    def _refused(self, group: GroupId, code: Code, name: str, *, since: float, bound: float, text: str) -> None:
        key = (group, code, name)
        first, last = self._named.get(key, (_now(), _now()))
        if _now() - last > _FORGOTTEN_SECONDS or first < since:
            first = _now()
        self._named[key] = (first, _now())
        seconds = _now() - max(first, self._clear_since)
        if seconds > bound:
            stated = f"{code}: {text}; {name} is gone since {since:.0f}, and {bound:.0f} s are enough to find that"
            self._story.broke(Promise.REASONS, group, stated)


def _now() -> float:
    return asyncio.get_running_loop().time()
