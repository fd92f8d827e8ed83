"""How the simulated agbot ends an agreement and makes a new one with a node.

Proposal, reply and confirmation each take the time that was recorded of real programs. If a node
does not answer, the agbot makes another proposal. Which node may go down is not decided here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from http import HTTPStatus

from agbot.sim.agbot_account import AgbotAccount
from agbot.sim.clock import Clock
from agbot.sim.deployment import Agreement, Deployment, Ledger, Phase, Upgrade
from agbot.sim.links import TRANSPORT_STATUSES, Doc, Unanswered, segment
from agbot.sim.node import SimNode
from agbot.sim.node_services import Message, MessageKind, Service
from agbot.sim.process import Process, draw

_RETRY_SECONDS = 10.0
_REPEATED = TRANSPORT_STATUSES | {HTTPStatus.INTERNAL_SERVER_ERROR}
_PROPOSE_SECONDS = (2.5, 15.0)
_FINALIZE_SECONDS = (0.2, 1.0)
_NO_ANSWER_SECONDS = 240.0
"""Protocol timeout of an agreement that the node does not answer (`agbot-ha.md` 9)."""


class Negotiation:
    """The part of an agbot that exchanges messages with nodes."""

    def __init__(
        self,
        account: AgbotAccount,
        ledger: Ledger,
        *,
        clock: Clock,
        nodes: Callable[[str], SimNode],
        process: Process,
        chance: random.Random,
        containers_run: Callable[[Agreement], None],
        containers_failed: Callable[[Agreement], None],
    ) -> None:
        """Take the agbot's account and database, and the process that runs the negotiations.

        `containers_run` and `containers_failed` are called when a node reports this about an
        agreement.
        """
        self._account = account
        self._ledger = ledger
        self._clock = clock
        self._nodes = nodes
        self._process = process
        self._chance = chance
        self._containers_run = containers_run
        self._containers_failed = containers_failed

    def begin(self, upgrade: Upgrade) -> None:
        """Start to make a new agreement for an upgrade whose old one was cancelled."""
        self._process.start(self._negotiate(upgrade))

    async def recover(self, upgrade: Upgrade) -> None:
        """Continue an upgrade that was unfinished when the agbot stopped."""
        agreement = self._ledger.current(upgrade.node, upgrade.policy)
        if agreement is not None and agreement.final:
            self._confirm(agreement)
            return
        if agreement is not None:
            await self.cancel(agreement)
        self.begin(upgrade)

    async def cancel(self, agreement: Agreement) -> None:
        """End an agreement: first in the agbot's list in the Exchange, then with the node."""
        self._ledger.agreements.pop(agreement.id, None)
        await self._send_until_answered("DELETE", agreement.id)
        self._nodes(agreement.node).services.deliver(Message(kind=MessageKind.CANCEL, agreement=agreement.id))

    async def settle(self, node: SimNode, policy: Deployment) -> None:
        """Make a final agreement with running containers, without any messages."""
        agreement = self._new(node.name, policy, policy.service(0))
        await self._put(agreement, "Finalized Agreement")
        agreement.final = True
        await node.services.settle(agreement.id, agreement.service)

    def _new(self, node: str, policy: Deployment, service: Service) -> Agreement:
        name = f"{self._chance.getrandbits(256):064x}"
        agreement = Agreement(id=name, node=node, policy=policy.name, service=service)
        self._ledger.agreements[name] = agreement
        return agreement

    async def _negotiate(self, upgrade: Upgrade) -> None:
        while upgrade.phase is Phase.UPGRADING:
            await self._clock.sleep(draw(self._chance, _PROPOSE_SECONDS))
            policy = self._ledger.deployments.get(upgrade.policy)
            if policy is None or upgrade.phase is not Phase.UPGRADING:
                return
            upgrade.wanted = policy.top
            agreement = self._new(upgrade.node, policy, policy.service(upgrade.attempt))
            await self._put(agreement, "Formed Proposal")
            self._nodes(upgrade.node).services.deliver(
                Message(
                    kind=MessageKind.PROPOSE,
                    agreement=agreement.id,
                    service=agreement.service,
                    reply=lambda agreement=agreement: self._agreed(agreement),  # type: ignore[misc]  # binds the loop's value
                )
            )
            await self._clock.sleep(_NO_ANSWER_SECONDS)
            if agreement.final or agreement.id not in self._ledger.agreements:
                return
            await self.cancel(agreement)

    def _agreed(self, agreement: Agreement) -> None:
        if self._process.runs and agreement.id in self._ledger.agreements and not agreement.final:
            self._process.start(self._finalize(agreement))

    async def _finalize(self, agreement: Agreement) -> None:
        await self._clock.sleep(draw(self._chance, _FINALIZE_SECONDS))
        await self._put(agreement, "Finalized Agreement")
        agreement.final = True
        self._confirm(agreement)

    def _confirm(self, agreement: Agreement) -> None:
        services = self._nodes(agreement.node).services
        services.deliver(
            Message(
                kind=MessageKind.CONFIRM,
                agreement=agreement.id,
                reply=lambda: self._containers_run(agreement),
                failed=lambda: self._containers_failed(agreement),
            )
        )

    async def _put(self, agreement: Agreement, state: str) -> None:
        service = agreement.service
        body = {"service": {"orgid": service.org, "pattern": "", "url": service.url}, "state": state}
        await self._send_until_answered("PUT", agreement.id, body)

    async def _send_until_answered(self, method: str, agreement: str, body: Doc | None = None) -> None:
        """Write one of the agbot's agreements, and retry until the Exchange answers."""
        path = f"/orgs/{segment(self._account.spec.org)}/agbots/{segment(self._account.spec.id)}/agreements/{segment(agreement)}"
        while True:
            try:
                answer = await self._account.send(method, path, body)
            except Unanswered:
                pass
            else:
                if answer.status not in _REPEATED:
                    return
            await self._clock.sleep(_RETRY_SECONDS)
