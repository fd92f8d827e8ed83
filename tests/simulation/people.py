"""Does the planned deeds, each when its time has come and as far as it is possible then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from agbot.rules.facts import Brake, Pause
from agbot.rules.ids import group_id
from agbot.rules.lease import State
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault as WireFault
from agbot.sim.faults import FaultKind
from agbot.sim.node import SimNode
from tests.simulation import disk
from tests.simulation.hub import ORG, Hub
from tests.simulation.plan import Deed, Event
from tests.simulation.process import Killed
from tests.simulation.story import HUB
from tests.support.hub import EPOCH

_FOR_EVER_SECONDS = 1e6
_LONGEST_OUTAGE_SECONDS = 120.0


class People:
    """Everybody who does something to the hub: operators, administrators, fate."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._version = 0
        self._service_version = 1

    def do(self, event: Event) -> None:
        """Do one deed."""
        name = f"g{event.group}"
        about = HUB if event.deed in _ABOUT_THE_HUB else f"{ORG}/{name}"
        details = event.fault or (event.word if event.deed is Deed.STRANGE_WORDS else "")
        self._hub.story.tell(about, f"== {event.deed} {event.pick:.2f} {event.seconds:g} {details}")
        _DEEDS[event.deed](self, event)

    def quiet(self) -> None:
        """Take back whatever would keep the hub from coming to rest."""
        hub = self._hub
        clocks = [fault for fault in hub.exchange.faults.to_json() if fault["kind"] == FaultKind.CLOCK]
        hub.exchange.faults.clear()
        for fault in clocks:
            hub.exchange.faults.add(WireFault(kind=FaultKind.CLOCK, seconds=fault["seconds"]))
        hub.disk.rates.clear()
        hub.disk.kill_at_write = None
        hub.wire.loses = 0.0
        hub.exchange_wire.words.clear()
        hub.start_daemon()
        if not hub.fleet.agbot._process.runs:  # noqa: SLF001 - nobody else needs to know
            hub.fleet.agbot.start()
        for number in range(len(hub.plan.groups)):
            self._end_pause(f"{ORG}/g{number}")

    # Policies

    def _publish(self, event: Event) -> None:
        self._version += 1
        for node, fate in zip(self._hub.members(f"g{event.group}"), event.fates, strict=False):
            node.fates[f"g{event.group}"] = fate
        self._hub.fleet.publish(ORG, f"g{event.group}", f"3.{self._version}.0", group=f"g{event.group}")

    def _disable(self, event: Event) -> None:
        if self._hub.truth.policies.get(f"{ORG}/g{event.group}"):
            version = f"3.{self._version}.0"
            self._hub.fleet.publish(ORG, f"g{event.group}", version, group=f"g{event.group}", enabled=False)

    def _delete_nmp(self, event: Event) -> None:
        if f"{ORG}/g{event.group}" in self._hub.truth.policies and self._exists(event.group):
            self._hub.fleet.delete_nmp(ORG, f"g{event.group}")

    def _exists(self, group: int) -> bool:
        return (ORG, f"g{group}") in self._hub.exchange.world.management_policies

    def _deploy(self, event: Event) -> None:
        before, self._service_version = self._service_version, self._service_version + 1
        top = f"{self._service_version}.0.0"
        for node in self._hub.fleet.nodes.values():
            node.services.outcomes[top] = event.outcome
        self._hub.fleet.deploy(ORG, f"g{event.group}", f"svc-g{event.group}", top, f"{before}.0.0")

    # Nodes

    def _pick(self, event: Event) -> SimNode | None:
        members = [node for node in self._hub.members(f"g{event.group}") if node.registered]
        return members[int(event.pick * len(members))] if members else None

    def _die(self, event: Event) -> None:
        node = self._pick(event)
        if node is not None and node.alive:
            node.die()
            if event.seconds < _FOR_EVER_SECONDS:
                self._hub.later(event.seconds, lambda: self._comes_back(node))

    def _comes_back(self, node: SimNode) -> None:
        if self._is_known(node):
            node.come_back()

    def _is_known(self, node: SimNode) -> bool:
        is_there = (ORG, node.spec.id) in self._hub.exchange.world.nodes
        return is_there and self._hub.fleet.nodes.get(node.name) is node

    def _restart(self, event: Event) -> None:
        node = self._pick(event)
        if node is not None and node.alive:
            node.restart_agent()

    def _unregister(self, event: Event) -> None:
        node = self._pick(event)
        if node is None or not node.alive:
            return
        self._hub.spawn(node.unregister())
        if event.seconds < _FOR_EVER_SECONDS:
            self._hub.later(event.seconds, lambda: self._registers(node))

    def _registers(self, node: SimNode) -> None:
        if self._is_known(node) and not node.registered:
            self._hub.spawn(node.register())

    def _delete_node(self, event: Event) -> None:
        node = self._pick(event)
        if node is not None and len(self._hub.members(f"g{event.group}")) > 1:
            self._hub.fleet.delete_node(node)

    def _leave(self, event: Event) -> None:
        node = self._pick(event)
        if node is not None:
            self._hub.fleet.leave(ORG, f"g{event.group}", node.spec.id)

    def _join(self, event: Event) -> None:
        """Take in a node that is in no group, one in the middle of its upgrade if there is any."""
        free = [
            node
            for node in self._hub.fleet.nodes.values()
            if self._is_known(node) and not self._hub.group_of(node.name)
        ]
        free.sort(key=lambda node: (node.down_for is None, node.name))
        if free and (ORG, f"g{event.group}") in self._hub.exchange.world.groups:
            self._hub.fleet.join(ORG, f"g{event.group}", free[0].spec.id)

    def _move(self, event: Event) -> None:
        node, to = self._pick(event), f"g{(event.group + 1) % len(self._hub.plan.groups)}"
        if node is not None and (ORG, to) in self._hub.exchange.world.groups:
            self._hub.fleet.leave(ORG, f"g{event.group}", node.spec.id)
            self._hub.fleet.join(ORG, to, node.spec.id)

    def _strange_words(self, event: Event) -> None:
        node = self._pick(event)
        if node is not None:
            self._hub.exchange_wire.words[node.name] = event.word

    # The hub

    def _fault(self, event: Event) -> None:
        hub = self._hub
        if event.fault is None:
            return
        hub.feed_lies = hub.feed_lies or event.fault.kind in {FaultKind.FREEZE, FaultKind.LATE}
        handle = hub.exchange.faults.add(event.fault)
        hub.later(event.seconds, lambda: hub.exchange.faults.remove(handle))

    def _clock(self, event: Event) -> None:
        jump = (-30.0, -3.0, -1.0, 1.0, 3.0, 30.0)[int(event.pick * 6)]
        self._hub.exchange.faults.add(WireFault(kind=FaultKind.CLOCK, seconds=jump))

    def _store_fault(self, event: Event) -> None:
        fault = disk.Fault.BEFORE if event.pick < 0.5 else disk.Fault.AFTER
        self._hub.disk.rates[fault] = 1.0 if event.pick * 10 % 1 < 0.3 else 0.3
        self._hub.later(event.seconds, lambda: self._hub.disk.rates.pop(fault, None))

    def _store_stall(self, event: Event) -> None:
        self._hub.disk.rates[disk.Fault.STALL] = 0.5
        self._hub.later(event.seconds, lambda: self._hub.disk.rates.pop(disk.Fault.STALL, None))

    def _kill(self, event: Event) -> None:
        if self._hub.daemon is not None:
            self._hub.daemon.kill()
        self._hub.later(min(event.seconds, _LONGEST_OUTAGE_SECONDS), self._hub.start_daemon)

    def _kill_at_write(self, event: Event) -> None:
        fault = disk.Fault.KILL_BEFORE if event.pick < 0.5 else disk.Fault.KILL_AFTER
        self._hub.disk.kill_at_write = (int(event.pick * 100) % 4, fault)
        self._hub.spawn(self._start_again(event.seconds))

    async def _start_again(self, seconds: float) -> None:
        while self._hub.disk.kill_at_write is not None:
            await asyncio.sleep(5)
        await asyncio.sleep(min(seconds, 60))
        self._hub.start_daemon()

    def _lose_answers(self, event: Event) -> None:
        self._hub.wire.loses = 0.4
        self._hub.later(event.seconds, self._lose_no_more)

    def _lose_no_more(self) -> None:
        self._hub.wire.loses = 0.0

    def _agbot_restart(self, event: Event) -> None:
        self._hub.fleet.agbot.stop()
        self._hub.later(event.seconds, self._start_agbot)

    def _start_agbot(self) -> None:
        if not self._hub.fleet.agbot._process.runs:  # noqa: SLF001 - as above
            self._hub.fleet.agbot.start()

    # Operators

    def _pause(self, event: Event) -> None:
        now = EPOCH + timedelta(seconds=asyncio.get_running_loop().time() + self._hub.plan.ahead_seconds)
        until = now + timedelta(seconds=event.seconds) if event.seconds < _FOR_EVER_SECONDS else None
        scope = f"{ORG}/g{event.group}"
        pause = Pause(scope=scope, since=now, by="operator", why="because", until=until)
        if self._hub.daemon is not None:
            self._order(self._hub.daemon.coordinator.hold(pause))

    def _resume(self, event: Event) -> None:
        group = f"{ORG}/g{event.group}"
        self._end_pause(group)
        for brake in self._hub.disk.records(Brake):
            if isinstance(brake, Brake) and brake.group == group and self._hub.daemon is not None:
                coordinator = self._hub.daemon.coordinator
                self._order(coordinator.resume(group, subject=brake.subject, reason="because", who="operator"))

    def _end_pause(self, scope: str) -> None:
        if self._hub.daemon is not None:
            self._order(self._hub.daemon.coordinator.resume(scope, subject=None, reason="because", who="operator"))

    def _force_one(self, event: Event) -> None:
        self.force(f"g{event.group}")

    def force(self, group: str) -> None:
        """Free a suspect lease by force; what its holder is in the middle of is the operator's business from then on."""
        lease = self._hub.disk.leases().get(group_id(ORG, group))
        if lease is None or lease.hold is None or lease.state is not State.SUSPECT or self._hub.daemon is None:
            return
        self._hub.judge.forced.add((lease.group, lease.token))
        self._hub.fleet.observer.excuse(lease.hold.claim.holder)
        coordinator = self._hub.daemon.coordinator
        self._order(coordinator.release(lease.group, token=lease.token, reason="looked at it", who="operator"))

    def _order(self, action: object) -> None:
        daemon = self._hub.daemon
        if daemon is not None:
            self._hub.spawn(_carry_out(daemon.call(action)))  # type: ignore[arg-type]  # a coroutine of any result


async def _carry_out(calling: object) -> None:
    from agbot.store.contract import StoreUnavailableError

    try:
        await calling  # type: ignore[misc]  # see `_order`
    except (Killed, StoreUnavailableError):
        return


_ABOUT_THE_HUB = frozenset(
    {
        Deed.FAULT,
        Deed.STORE_FAULT,
        Deed.STORE_STALL,
        Deed.KILL,
        Deed.KILL_AT_WRITE,
        Deed.LOSE_ANSWERS,
        Deed.AGBOT_RESTART,
        Deed.CLOCK,
    }
)
_DEEDS: dict[Deed, Callable[[People, Event], None]] = {
    Deed.PUBLISH: People._publish,
    Deed.CHANGE_NMP: People._publish,
    Deed.DISABLE_NMP: People._disable,
    Deed.DELETE_NMP: People._delete_nmp,
    Deed.DEPLOY: People._deploy,
    Deed.DIE: People._die,
    Deed.RESTART: People._restart,
    Deed.UNREGISTER: People._unregister,
    Deed.DELETE_NODE: People._delete_node,
    Deed.LEAVE: People._leave,
    Deed.JOIN: People._join,
    Deed.MOVE: People._move,
    Deed.STRANGE_WORDS: People._strange_words,
    Deed.FAULT: People._fault,
    Deed.STORE_FAULT: People._store_fault,
    Deed.STORE_STALL: People._store_stall,
    Deed.KILL: People._kill,
    Deed.KILL_AT_WRITE: People._kill_at_write,
    Deed.LOSE_ANSWERS: People._lose_answers,
    Deed.AGBOT_RESTART: People._agbot_restart,
    Deed.CLOCK: People._clock,
    Deed.PAUSE: People._pause,
    Deed.RESUME: People._resume,
    Deed.FORCE: People._force_one,
}
