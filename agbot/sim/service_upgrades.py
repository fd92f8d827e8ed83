"""The simulated agbot: it brings deployment policies to nodes.

When a policy gets another version, each member with a current agreement is put on a list. In every
governance interval the agbot asks for each of them, with its own identity. After a grant it cancels
the agreement in the Exchange and makes a new one. It reports the end when the node shows the new
containers running. Delays follow a recorded upgrade (`service-upgrade-sequence.jsonl`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from http import HTTPStatus

from agbot.sim.actions import Act, Action
from agbot.sim.agbot_account import AgbotAccount, AgbotSpec
from agbot.sim.agbot_changes import AgbotChanges
from agbot.sim.agbot_matching import AgbotMatching
from agbot.sim.agbot_rows import AgbotRows, ServiceRow
from agbot.sim.agent_lock import AgentLock
from agbot.sim.agent_reply import Reaction, react
from agbot.sim.deployment import Agreement, Deployment, Ledger, Phase, Upgrade
from agbot.sim.links import Kind, Question, Unanswered
from agbot.sim.machine import Environment
from agbot.sim.negotiation import Negotiation
from agbot.sim.node import SimNode
from agbot.sim.process import Process

GOVERNANCE_SECONDS = 10.0


class SimAgbot:
    """An agbot.

    `nodes` finds a simulated node by `org/id`: messages are delivered to it directly, not through
    the Exchange.
    """

    def __init__(
        self,
        spec: AgbotSpec,
        environment: Environment,
        *,
        nodes: Callable[[str], SimNode],
        chance: random.Random,
        rows: AgbotRows | None = None,
    ) -> None:
        """Take the agbot's identity, connections and database; it is off until `start`."""
        self.spec = spec
        self.rows = AgbotRows() if rows is None else rows
        self.agent_lock = AgentLock(
            self.rows, environment.exchange, environment.clock, identity=spec.name, secret=spec.token
        )
        self.ledger = Ledger()
        self._environment = environment
        self._process = Process(environment.spawn)
        self._account = AgbotAccount(spec, environment.exchange)
        self._negotiation = Negotiation(
            self._account,
            self.ledger,
            clock=environment.clock,
            nodes=nodes,
            process=self._process,
            chance=chance,
            containers_run=self._containers_run,
            containers_failed=self._containers_failed,
        )
        self._matching = AgbotMatching(self._account, self.ledger, self._negotiation)
        self._changes = AgbotChanges(
            self._account,
            self.ledger,
            matching=self._matching,
            rows=self.rows,
            agent_lock=self.agent_lock,
            clock=environment.clock,
        )
        self.governance_seconds = GOVERNANCE_SECONDS
        self.unasked: set[str] = set()
        """Policies (`org/name`) for which it does not ask, although it asks for others."""

    @property
    def exchange_requests(self) -> int:
        """Return the number of its requests: the coordinator has the same role in the Exchange."""
        return self._account.requests

    def start(self) -> None:
        """Start the process: follow the change feed, govern, and continue unfinished upgrades."""
        self._process.start(self._changes.follow())
        self._process.start(self._govern())
        self._process.start(self.agent_lock.monitor())
        for upgrade in self.ledger.upgrades.values():
            if upgrade.phase is Phase.UPGRADING:
                self._process.start(self._negotiation.recover(upgrade))

    async def has_started(self) -> None:
        """Wait until it has checked the rows that it has found, and follows the change feed."""
        await self._changes.has_started.wait()

    def stop(self) -> None:
        """Stop the process; its database stays."""
        self._process.kill()

    async def adopt(self, node: SimNode, policy: str) -> bool:
        """Give a node the policy's first version with running containers, to start a scenario.

        A node that does not match the policy gets nothing. Returns whether it matches.
        """
        if policy not in self.ledger.deployments:
            await self._changes.read_policy(policy)
        fits = await self._matching.fits(node.name, self.ledger.deployments[policy])
        if fits:
            await self._negotiation.settle(node, self.ledger.deployments[policy])
        return fits

    async def drop_agreements(self, node: str) -> None:
        """Cancel an offline node's agreements, as node health does; its upgrades leave the list."""
        for one in [one for one in self.ledger.agreements.values() if one.node == node]:
            await self._negotiation.cancel(one)
            self.ledger.upgrades.pop((node, one.policy), None)
            self.ledger.dropped.setdefault(node, []).append(one.policy)

    def take_up(self, node: str) -> None:
        """Make new agreements with a node that is back, in place of those that were dropped.

        There is no question: an agbot gates the end of an agreement, and this node has none.
        """
        for policy in self.ledger.dropped.pop(node, []):
            upgrade = Upgrade(node=node, policy=policy, phase=Phase.UPGRADING)
            self.ledger.upgrades[node, policy] = upgrade
            self._negotiation.begin(upgrade)

    async def _govern(self) -> None:
        while True:
            await self._environment.clock.sleep(self.governance_seconds)
            for upgrade in tuple(self.ledger.upgrades.values()):
                await self._advance(upgrade)

    async def _advance(self, upgrade: Upgrade) -> None:
        match upgrade.phase:
            case Phase.WAITING:
                await self._ask(upgrade, self.ledger.deployments.get(upgrade.policy))
            case Phase.UPGRADING:
                await self._check_containers(upgrade)
            case Phase.REPORTING:
                await self._report(upgrade)

    async def _ask(self, upgrade: Upgrade, policy: Deployment | None) -> None:
        current = self.ledger.current(upgrade.node, upgrade.policy)
        if policy is None or current is None or current.service.version == policy.top:
            # a policy that was published meanwhile may have removed it
            self.ledger.upgrades.pop((upgrade.node, upgrade.policy), None)
            return
        group = await self._account.group_of(upgrade.node)
        if group is None:
            return
        if group and not await self._has_turn(upgrade, group):
            return
        upgrade.group, upgrade.phase, upgrade.attempt, upgrade.is_down = group, Phase.UPGRADING, 0, True
        upgrade.is_overtaken = False
        self._notify(Act.DOWN, upgrade)
        await self._negotiation.cancel(current)
        self._negotiation.begin(upgrade)

    def asks_for(self, policy: str) -> bool:
        """Return whether it asks before it takes a policy's service down."""
        return self.spec.asks and policy not in self.unasked

    async def _has_turn(self, upgrade: Upgrade, group: str) -> bool:
        """Get a row before the agreement is cancelled: by winning it, or with a grant."""
        row = ServiceRow(org=upgrade.node.partition("/")[0], group=group, policy=upgrade.policy, node=upgrade.node)
        if not self.asks_for(upgrade.policy):
            return self.rows.claim_service(row)
        granted = await self._is_granted(upgrade, group)
        if granted and row not in self.rows.services:
            self.rows.services.append(row)
        return granted

    def _is_stuck(self, upgrade: Upgrade) -> bool:
        """Return whether the row of an upgrade stays until a person deletes it.

        The policy was published again meanwhile (W2), or the node has fallen back to a lower
        version (W3). Once a person has deleted the row, the member upgrades again, or is left as it
        is.
        """
        if self.asks_for(upgrade.policy) or not upgrade.group:
            return False
        current = self.ledger.current(upgrade.node, upgrade.policy)
        has_fallen_back = current is not None and current.service.version != upgrade.wanted
        if not (upgrade.is_overtaken or has_fallen_back):
            return False
        if not self.rows.has_service(upgrade.node.partition("/")[0], upgrade.group, upgrade.policy):
            if upgrade.is_overtaken:
                upgrade.phase = Phase.WAITING
            else:
                self.ledger.upgrades.pop((upgrade.node, upgrade.policy), None)
        return True

    def _question(self, upgrade: Upgrade, group: str) -> Question:
        org, _, node = upgrade.node.partition("/")
        return Question(
            kind=Kind.SERVICE,
            org=org,
            group=group,
            node=node,
            policy=upgrade.policy,
            identity=self.spec.name,
            secret=self.spec.token,
        )

    async def _is_granted(self, upgrade: Upgrade, group: str) -> bool:
        try:
            answer = await self._environment.gateway.ask(self._question(upgrade, group))
        except Unanswered as error:
            self._notify(Act.ASKED, upgrade, detail=str(error))
            return False
        granted = react(answer) is Reaction.GO
        body = answer.json()
        detail = str(body.get("msg", "")) if isinstance(body, dict) else ""
        self._notify(Act.ASKED, upgrade, detail=detail, status=answer.status, granted=granted)
        return granted

    async def _check_containers(self, upgrade: Upgrade) -> None:
        """Check in the node's status whether the new containers run, as an agbot does."""
        current = self.ledger.current(upgrade.node, upgrade.policy)
        if current is None or not current.final:
            return
        state = await self._account.container_state(current.node, current.id)
        if state == "exited":
            upgrade.attempt += 1
            if len(self.ledger.deployments[upgrade.policy].versions) == 1:
                # an agreement's row is deleted with it if there is no lower version to remember
                upgrade.is_overtaken = False
            await self._negotiation.cancel(current)
            self._negotiation.begin(upgrade)
        elif state == "running" and not self._is_stuck(upgrade):
            upgrade.phase = Phase.REPORTING
            # a version that was the first when it was proposed is a success, even if another was
            # published since
            upgrade.succeeded = current.service.version == upgrade.wanted
            await self._report(upgrade)

    def _containers_run(self, agreement: Agreement) -> None:
        """Record that the containers of an agreement run: the service is no longer down."""
        upgrade = self.ledger.upgrades.get((agreement.node, agreement.policy))
        if upgrade is not None and upgrade.is_down:
            upgrade.is_down = False
            self._notify(Act.UP, upgrade, detail=f"runs {agreement.service.version}")

    def _containers_failed(self, agreement: Agreement) -> None:
        """Record that the containers of an agreement have failed after they ran.

        The node has ended the agreement itself.
        """
        if self._process.runs and agreement.id in self.ledger.agreements:
            self._process.start(self._renegotiate(agreement))

    async def _renegotiate(self, agreement: Agreement) -> None:
        """Make a new agreement without a question: there is none left that could be kept."""
        name = (agreement.node, agreement.policy)
        policy = self.ledger.deployments.get(agreement.policy)
        await self._negotiation.cancel(agreement)
        if policy is not None:
            self.ledger.crashes[*name, policy.top] += 1
            upgrade = self.ledger.upgrades.setdefault(name, Upgrade(node=name[0], policy=name[1]))
            upgrade.phase, upgrade.attempt = Phase.UPGRADING, self.ledger.crashes[*name, policy.top]
            self._negotiation.begin(upgrade)

    async def _report(self, upgrade: Upgrade) -> None:
        if upgrade.group and self.asks_for(upgrade.policy):
            try:
                question = self._question(upgrade, upgrade.group)
                answer = await self._environment.gateway.report_end(question, succeeded=upgrade.succeeded)
            except Unanswered:
                return
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return
        # a policy that was published meanwhile may have removed it
        self.ledger.upgrades.pop((upgrade.node, upgrade.policy), None)
        self.rows.end_service(upgrade.node, upgrade.policy)
        if upgrade.succeeded:
            # if the policy was published again meanwhile, the same member must upgrade and ask
            # again
            self.ledger.plan(upgrade.policy)

    def _notify(self, act: Act, upgrade: Upgrade, *, detail: str = "", status: int = 0, granted: bool = False) -> None:
        """Notify the listeners of an action that concerns one upgrade."""
        action = Action(
            at=self._environment.clock.now(),
            is_unasked=not self.asks_for(upgrade.policy),
            act=act,
            node=upgrade.node,
            kind=Kind.SERVICE,
            subject=upgrade.policy,
            detail=detail,
            status=status,
            granted=granted,
        )
        self._environment.notify(action)
