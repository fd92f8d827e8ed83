"""Who carries out what the plan says: administrators, operators, chance.

A deed for which the time has passed is not done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agbot.rules.ids import GroupId
from agbot.rules.records import Hold
from agbot.sim.exchange.seed import SeedRefused
from agbot.sim.faults import Fault as ExchangeFault
from agbot.sim.faults import FaultKind
from agbot.sim.fleet import Fleet
from agbot.sim.node import SimNode
from agbot.store.contract import StoreUnavailableError
from tests.simulation.disk import Fault
from tests.simulation.nature import Nature
from tests.simulation.operators import Operator
from tests.simulation.plan import Deed, Event
from tests.simulation.stage import ORG, Stage, group_name, members, nmp_name
from tests.simulation.story import HUB


class People:
    """Carries out events."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.operator = Operator(stage)
        self.nature = Nature(stage)
        self._deeds: dict[Deed, Callable[[Event], None]] = {
            **self.operator.deeds,
            **self.nature.deeds,
            Deed.PUBLISH: self._publish,
            Deed.CHANGE_NMP: self._publish,
            Deed.DISABLE_NMP: lambda event: self._publish(event, enabled=False),
            Deed.DELETE_NMP: lambda event: self._stage.fleet.delete_nmp(ORG, nmp_name(event.group)),
            Deed.DEPLOY: self._deploy,
            Deed.DIE: lambda event: self._with_node(event, lambda node: self._die(node, event)),
            Deed.ALL_BUT_ONE_DIE: self._all_but_one_die,
            Deed.RESTART: lambda event: self._with_node(event, _restart_agent),
            Deed.UNREGISTER: self._unregister,
            Deed.DELETE_NODE: lambda event: self._with_node(event, self._stage.fleet.delete_node),
            Deed.LEAVE: lambda event: self._with_node(event, lambda node: self._leave(node, event)),
            Deed.JOIN: self._join,
            Deed.MOVE: self._move,
            Deed.STRANGE_WORDS: self._speak_strangely,
            Deed.FAULT: self._fault,
            Deed.STORE_FAULT: lambda event: self._store_fault(
                event, Fault.BEFORE if event.pick < 0.5 else Fault.AFTER, 0.5
            ),
            Deed.STORE_STALL: lambda event: self._store_fault(event, Fault.STALL, 0.3),
            Deed.KILL: self._kill,
            Deed.KILL_AT_WRITE: self._kill_at_write,
            Deed.LOSE_ANSWERS: self._lose_answers,
            Deed.AGBOT_RESTART: self._restart_agbot,
            Deed.CLOCK: self._shift_clock,
            Deed.PAUSE: self._hold,
            Deed.RESUME: self._resume,
            Deed.FORCE: self._force,
        }

    def do(self, event: Event) -> None:
        """Carry out one event, if it can still be done."""
        group = f"{ORG}/{group_name(event.group)}"
        try:
            self._deeds[event.deed](event)
        except SeedRefused as error:
            self._stage.story.report(group, f"{event.deed}: not possible any more: {error}")
        else:
            self._stage.story.report(group if event.deed in _ABOUT_A_GROUP else HUB, str(event.deed))

    def heal(self) -> None:
        """Let everything be well from now on: no faults, no losses, no pauses, every node back."""
        stage = self._stage
        stage.fleet.exchange.faults.clear()
        stage.judge.peers.sight.healed()
        self.nature.heal()
        stage.disk.rates.clear()
        stage.disk.kill_at_write = None
        stage.wire.loses = 0.0
        for name, node in sorted(stage.fleet.nodes.items()):
            if not node.alive and name.partition("/")[2] in _existing(stage.fleet):
                node.come_back()

    def _publish(self, event: Event, *, enabled: bool = True) -> None:
        stage, number = self._stage, event.group
        stage.versions[number] = stage.versions.get(number, 0) + 1
        nodes = [node for node in stage.fleet.nodes.values() if node.spec.properties.get("group") == group_name(number)]
        for node, fate in zip(nodes, event.fates, strict=False):
            node.fate = fate
        stage.fleet.publish(
            ORG, nmp_name(number), f"2.40.{stage.versions[number]}", group=group_name(number), enabled=enabled
        )

    def _deploy(self, event: Event) -> None:
        stage, number = self._stage, event.group
        stage.versions[-1 - number] = stage.versions.get(-1 - number, 0) + 1
        version = f"3.0.{stage.versions[-1 - number]}"
        for node in stage.fleet.nodes.values():
            node.services.outcomes[version] = event.outcome
        stage.deploy(number, version)

    def nodes(self, number: int) -> list[SimNode]:
        """Return the present members of a group, by name."""
        return members(self._stage, number)

    def _nodes(self, event: Event) -> list[SimNode]:
        return members(self._stage, event.group)

    def _with_node(self, event: Event, act: Callable[[SimNode], object]) -> None:
        nodes = self._nodes(event)
        if nodes:
            node = nodes[int(event.pick * len(nodes))]
            self._stage.story.report(f"{ORG}/{group_name(event.group)}", f"{event.deed}: {node.name}")
            act(node)

    def _die(self, node: SimNode, event: Event) -> None:
        node.die()
        self._later(event.seconds, lambda: None if node.alive else node.come_back())

    def _all_but_one_die(self, event: Event) -> None:
        nodes = self._nodes(event)
        for number, node in enumerate(nodes):
            if number != int(event.pick * len(nodes)):
                self._die(node, event)

    def _unregister(self, event: Event) -> None:
        self._with_node(event, lambda node: node.run_aside(node.unregister()))

    def _leave(self, node: SimNode, event: Event) -> None:
        self._stage.fleet.leave(ORG, group_name(event.group), node.spec.id)

    def _join(self, event: Event) -> None:
        members = self._stage.fleet.observer.members
        homeless = [node for name, node in sorted(self._stage.fleet.nodes.items()) if not members.group_of(name)]
        if homeless:
            node = homeless[int(event.pick * len(homeless))]
            self._stage.fleet.join(ORG, group_name(event.group), node.spec.id)

    def _move(self, event: Event) -> None:
        other = (event.group + 1) % len(self._stage.plan.groups)

        def act(node: SimNode) -> None:
            self._leave(node, event)
            self._stage.fleet.join(ORG, group_name(other), node.spec.id)

        if other != event.group:
            self._with_node(event, act)

    def _speak_strangely(self, event: Event) -> None:
        def act(node: SimNode) -> None:
            self._stage.judge.strange.add(node.name)
            self._stage.exchange_wire.words[node.name] = event.word

        self._with_node(event, act)

    def _fault(self, event: Event) -> None:
        if event.fault is not None:
            faults = self._stage.fleet.exchange.faults
            handle = faults.add(event.fault)
            self._stage.judge.overlaps.faulted(event.fault, event.seconds)
            self._stage.judge.gone.disturbed(event.seconds)
            self._stage.judge.peers.sight.faulted(event.fault, event.seconds)
            self._later(event.seconds, lambda: faults.remove(handle))

    def _store_fault(self, event: Event, fault: Fault, rate: float) -> None:
        self._stage.disk.rates[fault] = rate
        self._stage.judge.gone.disturbed(event.seconds / 4)
        self._later(event.seconds / 4, lambda: self._stage.disk.rates.pop(fault, None))

    def _kill(self, _event: Event) -> None:
        daemon = self._stage.daemon()
        if daemon is not None:
            daemon.kill()

    def _kill_at_write(self, event: Event) -> None:
        self._stage.disk.kill_at_write = (
            int(event.pick * 6),
            Fault.KILL_BEFORE if event.pick < 0.5 else Fault.KILL_AFTER,
        )

    def _lose_answers(self, event: Event) -> None:
        self._stage.wire.loses = 0.5
        self._later(event.seconds, lambda: setattr(self._stage.wire, "loses", 0.0))

    def _restart_agbot(self, event: Event) -> None:
        self._stage.fleet.agbot.stop()
        self._later(min(event.seconds, 60.0), self._stage.fleet.agbot.start)

    def _shift_clock(self, event: Event) -> None:
        seconds = 100.0 * (event.pick - 0.5)
        self._stage.fleet.exchange.faults.add(ExchangeFault(kind=FaultKind.CLOCK, seconds=seconds))

    def _hold(self, event: Event) -> None:
        daemon = self._stage.daemon()
        if daemon is not None:
            now = self._stage.fleet.clock.now()
            scope = ("*", ORG, f"{ORG}/{group_name(event.group)}")[int(event.pick * 3)]
            daemon.start(
                _quietly(daemon.coordinator.hold(Hold(scope=scope, since=now, by="operator", why="simulated")))
            )
            self._later(120.0, lambda: self._resume_scope(scope))

    def _resume_scope(self, scope: str) -> None:
        daemon = self._stage.daemon()
        if daemon is not None:
            daemon.start(_quietly(daemon.coordinator.resume(scope, subject=None, reason="over", who="operator")))

    def _resume(self, event: Event) -> None:
        daemon = self._stage.daemon()
        if daemon is not None:
            for brake in daemon.coordinator.groups():
                for each in brake.brakes:
                    daemon.start(
                        _quietly(
                            daemon.coordinator.resume(brake.id, subject=each.subject, reason="seen", who="operator")
                        )
                    )

    def _force(self, event: Event) -> None:
        """A person frees a lease only when the node is known to be up and doing nothing."""
        daemon = self._stage.daemon()
        group = GroupId(f"{ORG}/{group_name(event.group)}")
        lease = self._stage.disk.leases().get(group)
        if daemon is None or lease is None or lease.tenure is None:
            return
        node = self._stage.fleet.nodes.get(lease.tenure.claim.holder)
        if (
            node is not None
            and node.down_for is None
            and not self._stage.fleet.observer.under_way(group)
            and lease.state == "suspect"
        ):
            daemon.start(_quietly(daemon.coordinator.release(group, token=lease.token, reason="seen", who="operator")))

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(min(seconds, 1e6), act)


_ABOUT_A_GROUP = frozenset(Deed) - {
    Deed.FAULT,
    Deed.STORE_FAULT,
    Deed.STORE_STALL,
    Deed.KILL,
    Deed.KILL_AT_WRITE,
    Deed.CLOCK,
    Deed.PUBLISH_TO_ALL,
    Deed.END_HOLDS,
    Deed.APPROVE,
    Deed.OUR_CLOCK,
    Deed.RESTORE,
    Deed.AGBOT_FAULT,
    Deed.REPLACE_STORE,
}


def _restart_agent(node: SimNode) -> None:
    """An agent that does not run is not restarted: its node is down or installs, and starts it by itself."""
    if node.agent_runs:
        node.restart_agent()


async def _quietly(action: object) -> None:
    """An operator's action that meets a broken store is tried again by the operator, not here."""
    try:
        await action  # type: ignore[misc]  # a coroutine of the coordinator
    except StoreUnavailableError:
        return


def _existing(fleet: Fleet) -> set[str]:
    return {name for _, name in fleet.exchange.world.nodes}
