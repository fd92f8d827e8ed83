"""Permission givers for tests of the fleet.

They know the truth from the observer, so that only the fleet is on trial.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.episodes import Episode, Tolerance
from agbot.sim.exchange import SimExchange
from agbot.sim.fleet import Fleet, quick
from agbot.sim.habits import Habits
from agbot.sim.links import Answered, DirectGateway, Kind, Question, permit, refuse
from tests.support.clocks import LoopClock

EPOCH = datetime(2026, 11, 23, 5, 0, 0, tzinfo=UTC)
ORG = "demo"

_GOOD = ("successful", "its report was lost", "the policy is gone", "unregistered", "reset")


async def always_yes(question: Question) -> Answered:
    """Let everybody go at once."""
    return permit()


async def never(question: Question) -> Answered:
    """Let no one go."""
    return refuse()


_BEGINS_WITHIN = timedelta(seconds=5)


class OneAtATime:
    """What a faultless coordinator would answer, worked out from what really happened."""

    def __init__(self) -> None:
        self.fleet: Fleet | None = None
        self.ends: list[tuple[str, bool]] = []
        self._permitted: dict[str, tuple[str, datetime]] = {}
        """By group the last node that was permitted, and when: over sockets the observer sees it
        begin later."""

    async def ask(self, question: Question) -> Answered:
        assert self.fleet is not None
        group, node, now = f"{question.org}/{question.group}", question.node, self.fleet.clock.now()
        permitted, at = self._permitted.get(group, (node, now))
        why = self._why_not(self.fleet, question)
        if permitted != node and now - at < _BEGINS_WITHIN:
            why = why or f"{permitted} begins"
        if why:
            return refuse(why)
        self._permitted[group] = node, now
        return permit()

    async def report_end(self, question: Question, succeeded: bool) -> Answered:
        self.ends.append((f"{question.org}/{question.node}", succeeded))
        return permit()

    def _why_not(self, fleet: Fleet, question: Question) -> str:
        group, node = f"{question.org}/{question.group}", f"{question.org}/{question.node}"
        members, now = fleet.observer.members, fleet.clock.now()
        for one in fleet.observer.under_way(group):
            offline = members.silent_seconds(one.node, now) >= 600 and question.kind is Kind.SERVICE
            if one.counts and one.node != node and not offline:
                return f"{one.node} upgrades"
        others = [row for row in fleet.rows.services if row.group == question.group and row.node != node]
        if question.kind is Kind.AGENT and others:
            return "the agbot has begun with another"
        peers = members.peers(node)
        alive = [peer for peer in peers if members.silent_seconds(peer, now) < 300]
        if question.kind is Kind.AGENT:
            if (question.org, question.policy) not in fleet.exchange.world.management_policies:
                return "no such policy"
            if peers and not alive:
                return "nobody else is there"
        return self._brake(fleet, question, group)

    def _brake(self, fleet: Fleet, question: Question, group: str) -> str:
        if question.kind is Kind.AGENT and self._has_failed(fleet, question, group):
            return "that version has failed"
        changed_at = self._changed_at(fleet, question)
        for one in fleet.observer.episodes:
            if one.group != group or one.kind is not question.kind or one.began_at < changed_at or not one.ended_at:
                continue
            if question.kind is Kind.AGENT and one.how not in _GOOD:
                return f"{one.how} on {one.node}"
            if question.kind is Kind.SERVICE and not self._is_sound(fleet, one.node, one.ended_at, question.policy):
                return f"{one.node} rests"
        return ""

    def _has_failed(self, fleet: Fleet, question: Question, group: str) -> bool:
        asker = fleet.nodes[f"{question.org}/{question.node}"]
        wanted = asker.notebook.entries[question.policy].version
        failed = {one.node for one in fleet.observer.episodes if one.group == group and one.ended_at and not _good(one)}
        return any(wanted in fleet.nodes[node].installs for node in failed if fleet.nodes[node].version != wanted)

    def _is_sound(self, fleet: Fleet, node: str, since: datetime, policy: str) -> bool:
        rested = (fleet.clock.now() - since).total_seconds() >= 60
        top = fleet.agbot.ledger.deployments[policy].top
        instances = fleet.nodes[node].services.instances.values()
        return rested and any(one.state == "running" and one.service.version == top for one in instances)

    def _changed_at(self, fleet: Fleet, question: Question) -> datetime:
        world = fleet.exchange.world
        name = question.policy.rpartition("/")[2]
        table = world.management_policies if question.kind is Kind.AGENT else world.business_policies
        return datetime.fromisoformat(table[question.org, name].doc["lastUpdated"])


def _good(one: Episode) -> bool:
    return one.kind is Kind.SERVICE or one.how in _GOOD


Ask = Callable[[Question], Awaitable[Answered]]


@asynccontextmanager
async def fleet_of(
    ask: Ask | None = None,
    *,
    seed: int = 0,
    habits: Habits | None = None,
    tolerance: Tolerance | None = None,
    ends: list[tuple[str, bool]] | None = None,
    agbot: AgbotSpec | None = None,
) -> AsyncIterator[Fleet]:
    """Run a fleet in this process on the loop's time; without `ask` one member goes at a time.

    Reported ends of service upgrades are added to `ends` as node and success.
    """
    clock = LoopClock(epoch=EPOCH)
    gate = OneAtATime()
    gate.ends = gate.ends if ends is None else ends
    gateway = DirectGateway(ask or gate.ask, gate.report_end)
    exchange = SimExchange(clock=clock, root_password="pw")
    async with Fleet(
        exchange, gateway, clock, chance_seed=seed, habits=habits or quick(), tolerance=tolerance, agbot=agbot
    ) as fleet:
        gate.fleet = fleet
        fleet.add_org(ORG)
        yield fleet
