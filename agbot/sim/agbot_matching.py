"""The nodes with which the simulated agbot has agreements: those that match a policy.

An agreement whose policy was deleted, or whose node no longer matches, is cancelled at once,
without regard to the group or its row, as the real agbot does (W6). If another policy for the same
service matches the node, a new agreement is made under that policy.
"""

from __future__ import annotations

from agbot.sim.agbot_account import AgbotAccount
from agbot.sim.deployment import Agreement, Deployment, Ledger, Phase, Upgrade
from agbot.sim.links import segment
from agbot.sim.matching import matches, properties_of
from agbot.sim.negotiation import Negotiation


class AgbotMatching:
    """One agbot's selection of nodes."""

    def __init__(self, account: AgbotAccount, ledger: Ledger, negotiation: Negotiation) -> None:
        """Take the agbot's account and database, and the part that makes and ends agreements."""
        self._account = account
        self._ledger = ledger
        self._negotiation = negotiation
        self._unmatched: dict[tuple[str, str], None] = {}
        """Nodes and services whose agreements were ended here and which match no other policy
        yet."""

    async def fits(self, node: str, policy: Deployment) -> bool:
        """Return whether a node matches a policy, according to the Exchange.

        A node that cannot be read does not match.
        """
        if not policy.constraints:
            return True
        org, _, name = node.partition("/")
        path = f"/orgs/{segment(org)}/nodes/{segment(name)}/policy"
        answer = await self._account.attempt("GET", path)
        body = answer.json() if answer else None
        return isinstance(body, dict) and matches(policy.constraints, properties_of(body))

    async def check_again(self, *, policy: str = "", node: str = "") -> None:
        """Check whether the agreements under a policy, or with a node, still match."""
        ledger = self._ledger
        for one in tuple(ledger.agreements.values()):
            is_affected = policy == one.policy or node == one.node
            wanted = ledger.deployments.get(one.policy) if is_affected else None
            if wanted is not None and not await self.fits(one.node, wanted):
                await self._end(one, wanted)
        await self._match_others()

    async def drop(self, policy: str) -> None:
        """End every agreement under a policy that was deleted."""
        ledger = self._ledger
        gone = ledger.deployments.pop(policy, None)
        if gone is None:
            return
        for one in [one for one in ledger.agreements.values() if one.policy == policy]:
            await self._end(one, gone)
        await self._match_others()

    async def _end(self, one: Agreement, policy: Deployment) -> None:
        ended = self._ledger.upgrades.pop((one.node, one.policy), None)
        if ended is not None:
            ended.phase = Phase.REPORTING  # ends a negotiation under way
        await self._negotiation.cancel(one)
        self._unmatched[one.node, policy.url] = None

    async def _match_others(self) -> None:
        for node, url in tuple(self._unmatched):
            for policy in tuple(self._ledger.deployments.values()):
                if policy.url == url and await self.fits(node, policy):
                    del self._unmatched[node, url]
                    upgrade = Upgrade(node=node, policy=policy.name, phase=Phase.UPGRADING)
                    self._ledger.upgrades[node, policy.name] = upgrade
                    self._negotiation.begin(upgrade)
                    break
