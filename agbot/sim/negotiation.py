"""How the simulated agbot ends an agreement and makes a new one with a node.

Proposal, the node's yes, confirmation: each takes the time that was recorded of real programs. A node that does not answer is
proposed to again; nothing here decides who may go down.
"""

from __future__ import annotations

import random
from http import HTTPStatus
from typing import TYPE_CHECKING

from agbot.sim.deployment import Agreement, Deployment, Phase, Upgrade
from agbot.sim.links import Doc, Unanswered, segment
from agbot.sim.node import SimNode
from agbot.sim.node_services import Message, Service, Talk
from agbot.sim.process import Process, draw

if TYPE_CHECKING:
    from agbot.sim.service_upgrades import SimAgbot

_RETRY_SECONDS = 10.0
_TRANSPORT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_PROPOSE_SECONDS = (2.5, 15.0)
_FINALIZE_SECONDS = (0.2, 1.0)
_NO_ANSWER_SECONDS = 240.0
"""Protocol timeout of an agreement that the node does not answer (`agbot-ha.md` 9)."""


class Negotiation:
    """The part of an agbot that talks to nodes."""

    def __init__(self, agbot: SimAgbot, process: Process, chance: random.Random) -> None:
        """Take the agbot, and the process whose tasks these talks are."""
        self._agbot = agbot
        self._process = process
        self._chance = chance

    def begin(self, upgrade: Upgrade) -> None:
        """Start to make a new agreement for an upgrade whose old one is gone."""
        self._process.start(self._negotiate(upgrade))

    async def recover(self, upgrade: Upgrade) -> None:
        """Take up an upgrade that was left half done when the agbot stopped."""
        agreement = self._agbot.ledger.current(upgrade.node, upgrade.policy)
        if agreement is not None and agreement.final:
            self._confirm(agreement)
            return
        if agreement is not None:
            await self.cancel(agreement)
        self.begin(upgrade)

    async def cancel(self, agreement: Agreement) -> None:
        """End an agreement: first in the agbot's list in the Exchange, then by a message to the node."""
        self._agbot.ledger.agreements.pop(agreement.id, None)
        await self._insist("DELETE", agreement.id)
        self._agbot.nodes(agreement.node).services.deliver(Message(talk=Talk.CANCEL, agreement=agreement.id))

    async def settle(self, node: SimNode, policy: Deployment) -> None:
        """Make a final agreement with running containers, without any talk."""
        agreement = self._new(node.name, policy, policy.service(0))
        await self._put(agreement, "Finalized Agreement")
        agreement.final = True
        await node.services.settle(agreement.id, agreement.service)

    def _new(self, node: str, policy: Deployment, service: Service) -> Agreement:
        name = f"{self._chance.getrandbits(256):064x}"
        agreement = Agreement(id=name, node=node, policy=policy.name, service=service)
        self._agbot.ledger.agreements[name] = agreement
        return agreement

    async def _negotiate(self, upgrade: Upgrade) -> None:
        agbot = self._agbot
        while upgrade.phase is Phase.GOING:
            await agbot.clock.sleep(draw(self._chance, _PROPOSE_SECONDS))
            policy = agbot.ledger.deployments.get(upgrade.policy)
            if policy is None or upgrade.phase is not Phase.GOING:
                return
            upgrade.wanted = policy.top
            agreement = self._new(upgrade.node, policy, policy.service(upgrade.attempt))
            await self._put(agreement, "Formed Proposal")
            agbot.nodes(upgrade.node).services.deliver(
                Message(
                    talk=Talk.PROPOSE,
                    agreement=agreement.id,
                    service=agreement.service,
                    reply=lambda agreement=agreement: self._agreed(agreement),  # type: ignore[misc]  # binds the loop's value
                )
            )
            await agbot.clock.sleep(_NO_ANSWER_SECONDS)
            if agreement.final or agreement.id not in agbot.ledger.agreements:
                return
            await self.cancel(agreement)

    def _agreed(self, agreement: Agreement) -> None:
        if self._process.runs and agreement.id in self._agbot.ledger.agreements and not agreement.final:
            self._process.start(self._finalize(agreement))

    async def _finalize(self, agreement: Agreement) -> None:
        agbot = self._agbot
        await agbot.clock.sleep(draw(self._chance, _FINALIZE_SECONDS))
        await self._put(agreement, "Finalized Agreement")
        agreement.final = True
        self._confirm(agreement)

    def _confirm(self, agreement: Agreement) -> None:
        services = self._agbot.nodes(agreement.node).services
        services.deliver(
            Message(
                talk=Talk.CONFIRM,
                agreement=agreement.id,
                reply=lambda: self._agbot.containers_run(agreement),
                failed=lambda: self._agbot.containers_failed(agreement),
            )
        )

    async def _put(self, agreement: Agreement, state: str) -> None:
        service = agreement.service
        body = {"service": {"orgid": service.org, "pattern": "", "url": service.url}, "state": state}
        await self._insist("PUT", agreement.id, body)

    async def _insist(self, method: str, agreement: str, body: Doc | None = None) -> None:
        """Write one of the agbot's agreements, as often as it takes."""
        agbot = self._agbot
        path = f"/orgs/{segment(agbot.spec.org)}/agbots/{segment(agbot.spec.id)}/agreements/{segment(agreement)}"
        while True:
            try:
                answer = await agbot.send(method, path, body)
            except Unanswered:
                pass
            else:
                if answer.status not in _TRANSPORT_STATUSES or answer.status == HTTPStatus.NOT_FOUND:
                    return
            await agbot.clock.sleep(_RETRY_SECONDS)
