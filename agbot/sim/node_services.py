"""Agreements and containers of a simulated node: how its agent handles an agbot's messages.

Messages wait while the agent is down. The order of writes and their delays follow a recorded
service upgrade (`service-upgrade-sequence.jsonl`): first the agreement is gone and the status
empty; later the agreement is back and final, and the containers run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agbot.sim.habits import CRASH_SECONDS, CRASH_SHOWS_SECONDS, Outcome
from agbot.sim.links import Doc, segment
from agbot.sim.machine import Machine


class MessageKind(StrEnum):
    """The kinds of messages from an agbot to a node."""

    PROPOSE = "propose"
    CONFIRM = "confirm"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service of an agreement."""

    org: str
    url: str
    version: str
    arch: str = "amd64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of an agbot.

    `reply` is called when the node has agreed, or when the confirmed containers run; `failed` is
    called when they have failed after that.
    """

    kind: MessageKind
    agreement: str
    service: Service | None = None
    reply: Callable[[], None] | None = None
    failed: Callable[[], None] | None = None


@dataclass(slots=True, kw_only=True)
class Instance:
    """A service on a node under one agreement.

    `state` is that of its container, empty before there is one.
    """

    service: Service
    state: str = ""


class NodeServices:
    """One node's agreements.

    `outcomes` has what the containers of a version do; those of other versions run.
    """

    def __init__(self, node: Machine) -> None:
        """Take the machine that the containers run on."""
        self._node = node
        self._mail: list[Message] = []
        self._arrived = asyncio.Event()
        self._has_reported = False
        self._registered: list[str] = []
        """The services in the node's own record in the Exchange."""
        self.instances: dict[str, Instance] = {}
        self.outcomes: dict[str, Outcome] = {}

    @property
    def is_starting(self) -> bool:
        """Return whether an agreement has no running container; the upgrade script waits for it."""
        return any(not instance.state for instance in self.instances.values())

    def deliver(self, message: Message) -> None:
        """Put a message into the agent's mailbox."""
        self._mail.append(message)
        self._arrived.set()

    async def read_mail(self) -> None:
        """Handle messages forever, some seconds after they arrive."""
        node = self._node
        self._arrived = asyncio.Event()
        if self._mail:
            self._arrived.set()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await node.clock.sleep(node.draw_seconds(node.habits.mail_seconds))
            while self._mail:
                await self._handle(self._mail[0])
                self._mail.pop(0)

    async def _handle(self, message: Message) -> None:
        match message.kind:
            case MessageKind.CANCEL:
                await self._cancel(message.agreement)
            case MessageKind.PROPOSE if message.service is not None:
                await self._agree(message.agreement, message.service)
            case MessageKind.CONFIRM:
                await self._start(message)
        if message.reply is not None and message.kind is not MessageKind.CONFIRM:
            message.reply()

    async def _cancel(self, agreement: str) -> None:
        if self.instances.pop(agreement, None) is None:
            return
        node = self._node
        await node.send_until_answered("DELETE", node.path(f"/agreements/{segment(agreement)}"))
        await self.report()

    async def _agree(self, agreement: str, service: Service) -> None:
        self.instances[agreement] = Instance(service=service)
        await self._put(agreement, service, "Agree to proposal")

    async def _start(self, message: Message) -> None:
        node, instance = self._node, self.instances.get(message.agreement)
        if instance is None:
            return
        is_final_later = max(node.habits.final_seconds) > 0
        if not is_final_later:
            await self._put(message.agreement, instance.service, "Finalized Agreement")
        outcome = self.outcomes.get(instance.service.version, Outcome.RUNS)
        await node.clock.sleep(node.draw_seconds(node.habits.start_seconds))
        instance.state = "exited" if outcome is Outcome.NEVER_STARTS else "running"
        if instance.state == "running" and message.reply is not None:
            message.reply()
        await self.report()
        if is_final_later:
            node.run_aside(self._finalize_later(message.agreement))
        if outcome in (Outcome.CRASHES, Outcome.VANISHES):
            node.run_aside(self._crash(message, vanishes=outcome is Outcome.VANISHES))

    async def _finalize_later(self, agreement: str) -> None:
        await self._node.clock.sleep(self._node.draw_seconds(self._node.habits.final_seconds))
        if agreement in self.instances:
            await self._put(agreement, self.instances[agreement].service, "Finalized Agreement")

    async def _crash(self, message: Message, *, vanishes: bool) -> None:
        node, agreement = self._node, message.agreement
        await node.clock.sleep(CRASH_SECONDS)
        if agreement not in self.instances:
            return
        self.instances[agreement].state = "exited"
        await node.clock.sleep(node.draw_seconds(node.habits.crash_noticed_seconds))
        if agreement not in self.instances:
            return
        await self.report()
        if vanishes:
            await node.clock.sleep(node.draw_seconds(CRASH_SHOWS_SECONDS))
            await self._cancel(agreement)
            if message.failed is not None:
                message.failed()

    async def _put(self, agreement: str, service: Service, state: str) -> None:
        node = self._node
        body = {
            "services": [],
            "agreementService": {"orgid": service.org, "pattern": "", "url": f"{service.org}/{service.url}"},
            "state": state,
        }
        await node.send_until_answered("PUT", node.path(f"/agreements/{segment(agreement)}"), body)

    async def report(self) -> None:
        """Report the containers, after a change of the services in the node's own record."""
        node = self._node
        registered = sorted({f"{one.service.org}/{one.service.url}" for one in self.instances.values() if one.state})
        if registered != self._registered:
            self._registered = registered
            body = {"registeredServices": [{"url": url, "numAgreements": 1, "policy": ""} for url in registered]}
            await node.send_until_answered("PATCH", node.path(), body)
        services = [_shown(agreement, one) for agreement, one in self.instances.items() if one.state]
        if services or self._has_reported:
            self._has_reported = True
            await node.send_until_answered("PUT", node.path("/status"), {"connectivity": {}, "services": services})

    async def give_up(self) -> None:
        """End every agreement, as the agent of an unregistered node does."""
        node = self._node
        if self.instances:
            self.instances.clear()
            await node.send_until_answered("DELETE", node.path("/agreements"))
            await self.report()

    async def settle(self, agreement: str, service: Service) -> None:
        """Have an agreement with running containers at once: the start of a scenario."""
        self.instances[agreement] = Instance(service=service, state="running")
        await self._put(agreement, service, "Finalized Agreement")
        await self.report()


def _shown(agreement: str, one: Instance) -> Doc:
    service = one.service
    return {
        "agreementId": agreement,
        "serviceUrl": service.url,
        "orgid": service.org,
        "version": service.version,
        "arch": service.arch,
        "containerStatus": [
            {
                "name": f"/{agreement}-{service.url}",
                "image": f"lab/{service.url}:{service.version}",
                "created": 0,
                "state": one.state,
            }
        ],
        "operatorStatus": None,
        "configState": "active",
    }
