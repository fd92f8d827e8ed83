"""The operator of a run with controls: holds, allows and approves in the middle of it, and puts everything right in the end.

What an operator says while the coordinator is dead, or its store fails, is not received; at the end
it is stated again until it is.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from agbot.rules.ids import GroupId, NodeId, PolicyId, node_scope
from agbot.rules.lease import Kind, State
from agbot.rules.reasons import Code
from agbot.rules.records import Allowance, Approval, Hold
from agbot.sim.agent_state import Word
from agbot.sim.exchange import seed
from agbot.sim.exchange.seed import SeedRefused
from agbot.sim.habits import Fate
from agbot.store.contract import StoreUnavailableError
from tests.simulation.controls import FOR_EVER_SECONDS, lifted
from tests.simulation.plan import Deed, Event
from tests.simulation.stage import ORG, Stage, group_name, members

ALL = "up-all"
"""The node management policy for every node there is."""
_LONGEST_INSTALL_SECONDS = 300.0
"""Longer than any that ends."""
_LAST_AGENT, _LAST_SERVICE = "9.0.0", "9.0.0"


class Operator:
    """Whoever runs the hub."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._releases = 0
        self.deeds: dict[Deed, Callable[[Event], None]] = {
            Deed.PUBLISH_TO_ALL: self._publish_to_all,
            Deed.HOLD: self._hold,
            Deed.END_HOLDS: lambda _event: self._end_holds(),
            Deed.ALLOW: self._allow,
            Deed.APPROVE: lambda _event: self._approve_all(),
        }

    def begin_last_release(self) -> None:
        """Lift what only time would end, mend every node, and publish what must reach all of them."""
        stage = self._stage
        stage.limits = lifted(stage.limits)
        stage.exchange_wire.words.clear()
        for node in stage.fleet.nodes.values():
            node.fate, node.services.outcomes = Fate.SUCCEEDS, {}
        stage.fleet.publish(ORG, ALL, _LAST_AGENT)
        for number, group in enumerate(stage.plan.groups):
            if group.has_service:
                stage.fleet.deploy(ORG, f"svc-g{number}", f"url-g{number}", _LAST_SERVICE)

    def put_right(self) -> None:
        """Do once what a person does who sees that something waits: to be repeated until nothing does."""
        self._end_holds()
        self._lift_brakes()
        if self._is_waited_for(Code.NOT_APPROVED):
            self._approve_all()
        self._reboot_hung()
        self._free_what_is_over()
        self._reset_lost_reports()
        self._take_out_unregistered()

    def _is_waited_for(self, code: Code) -> bool:
        daemon = self._stage.daemon()
        groups = daemon.coordinator.groups() if daemon is not None else ()
        return any(reason.code is code for group in groups for waiter in group.waiting for reason in waiter.reasons)

    def _do(self, action: Coroutine[Any, Any, object]) -> None:
        daemon = self._stage.daemon()
        if daemon is None:
            action.close()
        else:
            daemon.start(_quietly(action))

    def _publish_to_all(self, event: Event) -> None:
        for node, fate in zip(self._stage.fleet.nodes.values(), event.fates, strict=False):
            node.fate = fate
        self._releases += 1
        self._stage.fleet.publish(ORG, ALL, f"2.50.{self._releases}")

    def _hold(self, event: Event) -> None:
        daemon, nodes = self._stage.daemon(), members(self._stage, event.group)
        if daemon is None:
            return
        group = f"{ORG}/{group_name(event.group)}"
        scopes = ["*", ORG, group, *(node_scope(NodeId(node.name)) for node in nodes)]
        until = daemon.now() + timedelta(seconds=event.seconds) if event.seconds < FOR_EVER_SECONDS else None
        scope = scopes[int(event.pick * len(scopes))]
        self._do(daemon.coordinator.hold(Hold(scope=scope, since=daemon.now(), by="operator", why="held", until=until)))

    def _end_holds(self) -> None:
        daemon = self._stage.daemon()
        if daemon is not None:
            for hold in self._stage.disk.holds():
                self._do(daemon.coordinator.resume(hold.scope, subject=None, reason="over", who="operator"))

    def _allow(self, event: Event) -> None:
        daemon, nodes = self._stage.daemon(), members(self._stage, event.group)
        if daemon is None or not nodes:
            return
        now = daemon.now()
        node = NodeId(nodes[int(event.pick * len(nodes))].name)
        until = now + timedelta(seconds=event.seconds)
        allowance = Allowance(node=node, subject=PolicyId(""), since=now, until=until, by="operator", why="urgent")
        self._stage.judge.controls.allows(allowance)
        self._do(daemon.coordinator.allow(allowance))

    def _approve_all(self) -> None:
        daemon, stage = self._stage.daemon(), self._stage
        if daemon is None or not stage.limits.approval:
            return
        world = stage.fleet.exchange.world
        known = [(Kind.AGENT, f"{org}/{name}") for org, name in world.management_policies]
        known += [(Kind.SERVICE, f"{org}/{name}") for org, name in world.business_policies]
        for kind, subject in known:
            approval = Approval(
                scope=ORG, kind=kind, subject=PolicyId(subject), since=daemon.now(), by="operator", why="tested"
            )
            stage.judge.controls.approves(approval)
            self._do(daemon.coordinator.approve(approval))

    def _lift_brakes(self) -> None:
        daemon = self._stage.daemon()
        if daemon is not None:
            for group in daemon.coordinator.groups():
                for brake in group.brakes:
                    lift = daemon.coordinator.resume(group.id, subject=brake.subject, reason="seen", who="operator")
                    self._do(lift)

    def _free_what_is_over(self) -> None:
        """Free a suspect lease whose holder is up and does nothing, or is not there."""
        daemon, stage = self._stage.daemon(), self._stage
        if daemon is None:
            return
        for group, lease in stage.disk.leases().items():
            if lease.tenure is None or lease.state is not State.SUSPECT:
                continue
            node = stage.fleet.nodes.get(lease.tenure.claim.holder)
            is_idle = node is None or (node.down_for is None and not stage.fleet.observer.under_way(group))
            if is_idle:
                self._do(daemon.coordinator.release(GroupId(group), token=lease.token, reason="seen", who="operator"))

    def _reboot_hung(self) -> None:
        """An install that never ends is given up with the machine's next start."""
        now = self._stage.fleet.clock.now()
        for node in self._stage.fleet.nodes.values():
            entry = node.installing
            began = entry.started_at if entry is not None else None
            if node.alive and began is not None and (now - began).total_seconds() > _LONGEST_INSTALL_SECONDS:
                node.die()
                node.come_back()

    def _reset_lost_reports(self) -> None:
        """An upgrade whose end the agent has never learnt of keeps it from every other one."""
        for node in self._stage.fleet.nodes.values():
            for nmp, entry in node.notebook.entries.items():
                if entry.word is not Word.INITIATED or node.down_for is not None or not node.alive:
                    continue
                body = entry.report()
                body["agentUpgradePolicyStatus"]["status"] = Word.RESET.value
                path = f"/orgs/{ORG}/nodes/{node.spec.id}/managementStatus/{nmp}"
                try:
                    seed.send(self._stage.fleet.exchange, "PUT", path, body, caller=seed.admin_of(ORG))
                except SeedRefused:
                    continue  # the node was deleted

    def _take_out_unregistered(self) -> None:
        """A member that is not registered is no available peer, and no one will register it."""
        fleet = self._stage.fleet
        for name, node in sorted(fleet.nodes.items()):
            group = fleet.observer.members.group_of(name)
            if group and not node.registered:
                fleet.leave(ORG, group.partition("/")[2], node.spec.id)


async def _quietly(action: Coroutine[Any, Any, object]) -> None:
    try:
        await action
    except StoreUnavailableError:
        return
