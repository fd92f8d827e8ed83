"""With which nodes the simulated agbot has agreements: those that match a policy, and no others.

An agreement whose policy is gone, or which its node does not match any more, is cancelled at once, without a look at the group or
its row, as the real agbot does (W6). If another policy for the same service fits the node, a new agreement is made under that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agbot.sim.deployment import Agreement, Deployment, Phase, Upgrade
from agbot.sim.links import segment
from agbot.sim.matching import matches, properties_of

if TYPE_CHECKING:
    from agbot.sim.negotiation import Negotiation
    from agbot.sim.service_upgrades import SimAgbot


class AgbotMatching:
    """One agbot's choice of nodes."""

    def __init__(self, agbot: SimAgbot, negotiation: Negotiation) -> None:
        """Take whose choice it is, and how agreements are ended and made."""
        self._agbot = agbot
        self._negotiation = negotiation
        self._without: dict[tuple[str, str], None] = {}
        """Node and service of agreements that were ended here and have found no other policy yet."""

    async def fits(self, node: str, policy: Deployment) -> bool:
        """Say whether a node matches a policy, by what the Exchange shows; a node that cannot be read does not."""
        if not policy.constraints:
            return True
        org, _, name = node.partition("/")
        path = f"/orgs/{segment(org)}/nodes/{segment(name)}/policy"
        answer = await self._agbot.attempt("GET", path)
        body = answer.json() if answer else None
        return isinstance(body, dict) and matches(policy.constraints, properties_of(body))

    async def look_again(self, *, policy: str = "", node: str = "") -> None:
        """See whether the agreements under a policy, or with a node, still fit."""
        ledger = self._agbot.ledger
        for one in tuple(ledger.agreements.values()):
            is_meant = policy == one.policy or node == one.node
            wanted = ledger.deployments.get(one.policy) if is_meant else None
            if wanted is not None and not await self.fits(one.node, wanted):
                await self._end(one, wanted)
        await self._find_others()

    async def drop(self, policy: str) -> None:
        """End every agreement under a policy that is gone."""
        ledger = self._agbot.ledger
        gone = ledger.deployments.pop(policy, None)
        if gone is None:
            return
        for one in [one for one in ledger.agreements.values() if one.policy == policy]:
            await self._end(one, gone)
        await self._find_others()

    async def _end(self, one: Agreement, policy: Deployment) -> None:
        ended = self._agbot.ledger.upgrades.pop((one.node, one.policy), None)
        if ended is not None:
            ended.phase = Phase.REPORTING  # whoever still negotiates for it stops
        await self._negotiation.cancel(one)
        self._without[one.node, policy.url] = None

    async def _find_others(self) -> None:
        for node, url in tuple(self._without):
            for policy in tuple(self._agbot.ledger.deployments.values()):
                if policy.url == url and await self.fits(node, policy):
                    del self._without[node, url]
                    upgrade = Upgrade(node=node, policy=policy.name, phase=Phase.GOING)
                    self._agbot.ledger.upgrades[node, policy.name] = upgrade
                    self._negotiation.begin(upgrade)
                    break
