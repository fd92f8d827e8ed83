"""What befalls a guarded hub: its coordinators, the database, the agbot, the Exchange and single nodes.

`heal` mends everything but members that have died for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from agbot.sim.faults import Fault, FaultKind
from agbot.sim.fleet import Fleet
from agbot.sim.habits import Outcome
from agbot.sim.node import SimNode
from tests.simulation.guard_site import IDENTITY, Program, Site
from tests.simulation.leaders import later
from tests.simulation.stage import ORG

GROUPS, MEMBERS = 2, 3
FIRST_SERVICE = "1.0.0"
_OURS = f"^{IDENTITY}$"
_MOST_RELEASES = 3
_LEADER_SHARE = 3
"""So often is what ends a coordinator among the deeds, for each other one once."""


class Deeds:
    """Carries out deeds, each for a while that is drawn, and knows what was published last."""

    def __init__(self, site: Site, fleet: Fleet) -> None:
        self._site = site
        self._fleet = fleet
        self.count: Counter[str] = Counter()
        self.service = self.agent = ""
        self.needs_person = False
        """The Exchange's clock was set, so that the stamps from before it say nothing any more to a
        coordinator that has started since. A lease may stay suspect then until a person looks."""
        self._releases = 0
        self._is_bad = False
        self._away: list[SimNode] = []
        self._left: dict[str, str] = {}
        """Name of a node (bare) -> the group that it has left for a while."""
        self._of_leader: Mapping[str, Callable[[Program, float], object]] = {
            "kill": self._kill,
            "depose": self._depose,
            "freeze": self._freeze,
            "cut": self._cut,
            "lose": self._lose,
        }
        self._others: Mapping[str, Callable[[float], object]] = {
            "agbot loses": self._agbot_loses,
            "agbot restarts": self._agbot_restarts,
            "tables made again": lambda _seconds: site.make_tables_again(),
            "database restarts": lambda _seconds: site.disconnect_all(),
            "a replica is promoted": lambda seconds: self._promote(seconds / 4),
            "jump": lambda _seconds: site.clock.step(site.chance.uniform(-20.0, 30.0)),
            "exchange away": lambda seconds: self._fault(4 * seconds, kind=FaultKind.STATUS, caller=_OURS),
            "exchange slow": lambda seconds: self._fault(
                4 * seconds, kind=FaultKind.LATENCY, caller=_OURS, seconds=site.chance.uniform(1.0, 12.0)
            ),
            "exchange clock": self._exchange_clock,
            "a node dies": lambda _seconds: self._let_die(),
            "a node is away": lambda seconds: self._let_be_away(12 * seconds),
            "a node is cut off": lambda seconds: self._cut_off(12 * seconds),
            "a member leaves": self._let_leave,
            "a policy changes": lambda _seconds: self.publish(),
            "a release crashes": lambda _seconds: self.publish(Outcome.CRASHES),
        }
        self.names = (*self._others, *(tuple(self._of_leader) * _LEADER_SHARE))

    def do(self, deed: str) -> None:
        """Carry out one deed."""
        site, seconds = self._site, self._site.chance.uniform(3.0, 40.0)
        self.count[deed] += 1
        if deed in self._others:
            self._others[deed](seconds)
        elif site.programs:
            self._of_leader[deed](site.programs[-1], seconds)
        else:
            site.start()

    def publish(self, outcome: Outcome = Outcome.RUNS) -> None:
        """Publish other versions of service and agent, perhaps in the middle of an upgrade to the last ones."""
        if self._releases < _MOST_RELEASES or (self._is_bad and outcome is Outcome.RUNS):
            self._releases, self._is_bad = self._releases + 1, outcome is not Outcome.RUNS
            self.service, self.agent = f"1.{self._releases}.0", f"2.{31 + self._releases}.0"
            for node in self._fleet.nodes.values():
                node.services.outcomes[self.service] = outcome
            self._fleet.deploy(ORG, "dp", "svc", self.service)
            self._fleet.publish(ORG, "up", self.agent)

    def heal(self) -> None:
        """Let everything be well from now on."""
        site = self._site
        self._mend_agbot()
        self._fleet.exchange.faults.clear()
        for node in self._away:
            node.come_back()
        for name, group in self._left.items():
            self._fleet.join(ORG, group, name)
        self._left.clear()
        if self._is_bad or not self._releases:
            self.publish()
        for program in list(site.programs):
            site.end(program)
        site.start()

    def _kill(self, leader: Program, seconds: float) -> None:
        self._site.end(leader)
        later(seconds, lambda: self._site.programs or self._site.start())

    def _depose(self, leader: Program, seconds: float) -> None:
        self._site.start()
        later(seconds, lambda: self._site.end(leader))

    def _freeze(self, leader: Program, seconds: float) -> None:
        leader.machine.freeze()
        later(seconds / 2, self._site.start)
        later(seconds, leader.machine.thaw)
        later(seconds + 10.0, lambda: self._site.end(leader))

    def _cut(self, leader: Program, seconds: float) -> None:
        leader.machine.is_cut = True
        later(seconds, lambda: setattr(leader.machine, "is_cut", False))

    def _lose(self, leader: Program, seconds: float) -> None:
        leader.machine.loses = 0.3
        later(seconds, lambda: setattr(leader.machine, "loses", 0.0))

    def _agbot_loses(self, seconds: float) -> None:
        self._site.rows.loses, self._site.rows.cuts = 0.5, 0.2
        later(seconds, self._mend_agbot)

    def _promote(self, lag_seconds: float) -> None:
        """Lose the commits of the last seconds."""
        self._site.keep_copy()
        later(lag_seconds, self._site.promote)

    def _mend_agbot(self) -> None:
        self._site.rows.loses = self._site.rows.cuts = 0.0

    def _agbot_restarts(self, seconds: float) -> None:
        self._fleet.agbot.stop()
        later(seconds, self._site.rows.start)  # its tables and functions are made again
        later(seconds, self._fleet.agbot.start)

    def _fault(self, lasts_seconds: float, **fault: object) -> None:
        faults = self._fleet.exchange.faults
        handle = faults.add(Fault(**fault))  # type: ignore[arg-type]  # the fields of a fault
        later(lasts_seconds, lambda: faults.remove(handle))

    def _exchange_clock(self, _seconds: float) -> None:
        step = self._site.chance.choice((-3600.0, -100.0, 100.0, 3600.0))
        self.needs_person = True
        self._fleet.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=step))

    def _cut_off(self, lasts_seconds: float) -> None:
        """Cut a node off from the Exchange: its heartbeats stop, and its programs go on."""
        nodes = [node for node in self._fleet.nodes.values() if node.alive]
        if nodes:
            self._fault(lasts_seconds, kind=FaultKind.DROP, caller=f"^{self._choose(nodes).name}$")

    def _let_die(self) -> None:
        """Let a member die for good; one of each group at most."""
        self._choose_whole(SimNode.die)

    def _let_be_away(self, lasts_seconds: float) -> None:
        """Let a member die, and come back when it counts as offline, or before."""

        def act(node: SimNode) -> None:
            node.die()
            self._away.append(node)
            later(lasts_seconds, node.come_back)

        self._choose_whole(act)

    def _choose_whole(self, act: Callable[[SimNode], None]) -> None:
        """Choose a member of a group that is whole, and is not in the middle of its agent's upgrade."""
        groups = [self.members(group) for group in range(GROUPS)]
        nodes = [
            node
            for group in groups
            if all(each.alive for each in group)
            for node in group
            if node.down_for is None and node.spec.id not in self._left
        ]
        if nodes:
            act(self._choose(nodes))

    def _choose(self, nodes: list[SimNode]) -> SimNode:
        """Prefer whose service is down for its upgrade."""
        down = {one.node for one in self._fleet.observer.under_way()}
        return self._site.chance.choice([node for node in nodes if node.name in down] or nodes)

    def _let_leave(self, seconds: float) -> None:
        group = self._site.chance.randrange(GROUPS)
        node = self._site.chance.choice(self.members(group))
        if node.spec.id in self._left or not node.alive:
            return
        self._left[node.spec.id] = f"g{group}"
        self._fleet.leave(ORG, f"g{group}", node.spec.id)
        later(3 * seconds, lambda: self._join_again(node))

    def _join_again(self, node: SimNode) -> None:
        group = self._left.pop(node.spec.id, "")
        if group:
            self._fleet.join(ORG, group, node.spec.id)

    def members(self, group: int) -> list[SimNode]:
        """Return the nodes of a group, also one that has left it for a while."""
        return [self._fleet.nodes[f"{ORG}/g{group}-{number}"] for number in range(1, MEMBERS + 1)]
