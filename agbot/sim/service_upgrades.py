"""The simulated agbot: it brings deployment policies to nodes, and asks before it takes a service down.

When a policy gets another version, each member with a current agreement is put on a list. Every governance interval the agbot
asks for each of them, with its own identity; on a yes it cancels the agreement in the Exchange and makes a new one. The end is
reported when the node shows the new containers running. Delays follow a recorded upgrade (`service-upgrade-sequence.jsonl`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from agbot.sim.agbot_changes import CHANGE_POLL_SECONDS, AgbotChanges
from agbot.sim.agbot_matching import AgbotMatching
from agbot.sim.agbot_rows import AgbotRows, ServiceRow
from agbot.sim.agent_lock import AgentLock
from agbot.sim.agent_reply import Reaction, react
from agbot.sim.deeds import Act, Deed
from agbot.sim.deployment import Agreement, Deployment, Ledger, Phase, Upgrade
from agbot.sim.links import Answered, Doc, Kind, Question, Unanswered, segment
from agbot.sim.negotiation import Negotiation
from agbot.sim.node import SimNode, Surroundings
from agbot.sim.process import Process

GOVERNANCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgbotSpec:
    """Who the agbot is."""

    org: str = "IBM"
    id: str = "agbot1"
    token: str = "agbot1-secret"  # noqa: S105 - a made-up secret of the simulator
    asks: bool = True
    """Whether it asks before it takes a service down. Today's agbot does not: it goes by its table, one row per group and policy.

    One that asks writes its rows as well, but does not wait for those of others.
    """

    @property
    def name(self) -> str:
        """Return `org/id`."""
        return f"{self.org}/{self.id}"


class SimAgbot:
    """An agbot. `nodes` finds a simulated node by `org/id`: messages go straight to it, not through the Exchange."""

    def __init__(
        self,
        spec: AgbotSpec,
        around: Surroundings,
        *,
        nodes: Callable[[str], SimNode],
        chance: random.Random,
        rows: AgbotRows | None = None,
        poll_seconds: float = CHANGE_POLL_SECONDS,
        governance_seconds: float = GOVERNANCE_SECONDS,
    ) -> None:
        """Take who it is and where, and the database it shares with others; it is off until `start`."""
        self.spec = spec
        self.rows = AgbotRows() if rows is None else rows
        self.agent_lock = AgentLock(self.rows, around.exchange, around.clock, identity=spec.name, secret=spec.token)
        self.around = around
        self.nodes = nodes
        self.ledger = Ledger()
        self.clock = around.clock
        self._governance_seconds = governance_seconds
        self._process = Process(around.spawn)
        self._negotiation = Negotiation(self, self._process, chance)
        self.matching = AgbotMatching(self, self._negotiation)
        self._changes = AgbotChanges(self, poll_seconds)
        self.unasked: set[str] = set()
        """Policies (`org/name`) for which it does not ask, although it asks for others."""
        self.exchange_requests = 0
        """How often it has asked the Exchange: the coordinator has the same role there."""

    @property
    def name(self) -> str:
        """Return `org/id`."""
        return self.spec.name

    def start(self) -> None:
        """Start the process: follow the change feed, govern, and take up what was left half done."""
        self._process.start(self._changes.follow())
        self._process.start(self._govern())
        self._process.start(self.agent_lock.monitor())
        for upgrade in self.ledger.upgrades.values():
            if upgrade.phase is Phase.GOING:
                self._process.start(self._negotiation.recover(upgrade))

    def stop(self) -> None:
        """Stop the process; its database stays."""
        self._process.kill()

    async def send(self, method: str, path: str, body: Doc | None = None) -> Answered:
        """Send a request to the Exchange as the agbot.

        Raises:
            Unanswered: no reply, or a broken one.
        """
        self.exchange_requests += 1
        return await self.around.exchange.request(method, path, self.name, self.spec.token, body)

    async def adopt(self, node: SimNode, policy: str) -> bool:
        """Let a node have the policy's first version with running containers at once: how a scenario begins.

        A node that does not match the policy gets nothing; says whether it does.
        """
        if policy not in self.ledger.deployments:
            await self._changes.read_policy(policy)
        fits = await self.matching.fits(node.name, self.ledger.deployments[policy])
        if fits:
            await self._negotiation.settle(node, self.ledger.deployments[policy])
        return fits

    async def drop_agreements(self, node: str) -> None:
        """Cancel a node's agreements because it is offline, as node health does; no upgrade of it stays on the list."""
        for one in [one for one in self.ledger.agreements.values() if one.node == node]:
            await self._negotiation.cancel(one)
            self.ledger.upgrades.pop((node, one.policy), None)
            self.ledger.dropped.setdefault(node, []).append(one.policy)

    def take_up(self, node: str) -> None:
        """Make new agreements with a node that is back, for the policies under which it had those that were dropped.

        Nobody is asked: an agbot gates the end of an agreement, and this node has none.
        """
        for policy in self.ledger.dropped.pop(node, []):
            upgrade = Upgrade(node=node, policy=policy, phase=Phase.GOING)
            self.ledger.upgrades[node, policy] = upgrade
            self._negotiation.begin(upgrade)

    async def attempt(
        self, method: str, path: str, body: Doc | None = None, *, good: tuple[int, ...] = (200, 201)
    ) -> Answered | None:
        """Send a request, and return its answer if it is a good one."""
        try:
            answer = await self.send(method, path, body)
        except Unanswered:
            return None
        return answer if answer.status in good else None

    async def _govern(self) -> None:
        while True:
            await self.clock.sleep(self._governance_seconds)
            for upgrade in tuple(self.ledger.upgrades.values()):
                await self._advance(upgrade)

    async def _advance(self, upgrade: Upgrade) -> None:
        match upgrade.phase:
            case Phase.WAITING:
                await self._ask(upgrade, self.ledger.deployments.get(upgrade.policy))
            case Phase.GOING:
                await self._look(upgrade)
            case Phase.REPORTING:
                await self._report(upgrade)

    async def _ask(self, upgrade: Upgrade, policy: Deployment | None) -> None:
        current = self.ledger.current(upgrade.node, upgrade.policy)
        if policy is None or current is None or current.service.version == policy.top:
            self.ledger.upgrades.pop(
                (upgrade.node, upgrade.policy), None
            )  # a policy published meanwhile may have taken it away
            return
        group = await self._group_of(upgrade.node)
        if group is None:
            return
        if group and not await self._has_turn(upgrade, group):
            return
        upgrade.group, upgrade.phase, upgrade.attempt, upgrade.is_down = group, Phase.GOING, 0, True
        upgrade.is_overtaken = False
        self.tell(Act.DOWN, upgrade)
        await self._negotiation.cancel(current)
        self._negotiation.begin(upgrade)

    def asks_for(self, policy: str) -> bool:
        """Say whether it asks before it takes a policy's service down."""
        return self.spec.asks and policy not in self.unasked

    async def _has_turn(self, upgrade: Upgrade, group: str) -> bool:
        """Have a row before the agreement is cancelled: by winning it, or on somebody's word."""
        row = ServiceRow(org=upgrade.node.partition("/")[0], group=group, policy=upgrade.policy, node=upgrade.node)
        if not self.asks_for(upgrade.policy):
            return self.rows.claim_service(row)
        granted = await self._may_go(upgrade, group)
        if granted and row not in self.rows.services:
            self.rows.services.append(row)
        return granted

    def _is_stuck(self, upgrade: Upgrade) -> bool:
        """Say whether the row of an upgrade is never deleted by itself.

        The policy was published again meanwhile (W2), or the node has fallen back to a lower version (W3). Once somebody has deleted
        the row, the member goes once more, or is left as it is.
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

    async def _group_of(self, node: str) -> str | None:
        org, _, name = node.partition("/")
        answer = await self.attempt("GET", f"/orgs/{segment(org)}/nodes/{segment(name)}")
        body = answer.json() if answer else None
        return (body["nodes"][node]["ha_group"] or "") if isinstance(body, dict) else None

    def _question(self, upgrade: Upgrade, group: str) -> Question:
        org, _, node = upgrade.node.partition("/")
        return Question(
            kind=Kind.SERVICE,
            org=org,
            group=group,
            node=node,
            policy=upgrade.policy,
            identity=self.name,
            secret=self.spec.token,
        )

    async def _may_go(self, upgrade: Upgrade, group: str) -> bool:
        try:
            answer = await self.around.gateway.ask(self._question(upgrade, group))
        except Unanswered as error:
            self.tell(Act.ASKED, upgrade, detail=str(error))
            return False
        granted = react(answer) is Reaction.GO
        body = answer.json()
        detail = str(body.get("msg", "")) if isinstance(body, dict) else ""
        self.tell(Act.ASKED, upgrade, detail=detail, status=answer.status, granted=granted)
        return granted

    async def _look(self, upgrade: Upgrade) -> None:
        """See in the node's status whether the new containers run, as an agbot does."""
        current = self.ledger.current(upgrade.node, upgrade.policy)
        if current is None or not current.final:
            return
        state = await self._state_of(current.node, current.id)
        if state == "exited":
            upgrade.attempt += 1
            if len(self.ledger.deployments[upgrade.policy].versions) == 1:
                upgrade.is_overtaken = False  # a record without a lower version to remember goes with its agreement
            await self._negotiation.cancel(current)
            self._negotiation.begin(upgrade)
        elif state == "running" and not self._is_stuck(upgrade):
            upgrade.phase = Phase.REPORTING
            # a version that was the first when it was proposed is a success, even if another was published since
            upgrade.succeeded = current.service.version == upgrade.wanted
            await self._report(upgrade)

    def containers_run(self, agreement: Agreement) -> None:
        """Hear from a node that the containers of an agreement run: what really ends the time that a service is down."""
        upgrade = self.ledger.upgrades.get((agreement.node, agreement.policy))
        if upgrade is not None and upgrade.is_down:
            upgrade.is_down = False
            self.tell(Act.UP, upgrade, detail=f"runs {agreement.service.version}")

    def containers_failed(self, agreement: Agreement) -> None:
        """Hear from a node that the containers of an agreement, which ran, have failed: it has ended the agreement itself."""
        if self._process.runs and agreement.id in self.ledger.agreements:
            self._process.start(self._begin_again(agreement))

    async def _begin_again(self, agreement: Agreement) -> None:
        """Make a new agreement, asking nobody: there is none left that could be kept."""
        name = (agreement.node, agreement.policy)
        policy = self.ledger.deployments.get(agreement.policy)
        await self._negotiation.cancel(agreement)
        if policy is not None:
            self.ledger.crashes[*name, policy.top] += 1
            upgrade = self.ledger.upgrades.setdefault(name, Upgrade(node=name[0], policy=name[1]))
            upgrade.phase, upgrade.attempt = Phase.GOING, self.ledger.crashes[*name, policy.top]
            self._negotiation.begin(upgrade)

    async def _state_of(self, node: str, agreement: str) -> str:
        org, _, name = node.partition("/")
        answer = await self.attempt("GET", f"/orgs/{segment(org)}/nodes/{segment(name)}/status")
        body = answer.json() if answer else None
        services = body["services"] if isinstance(body, dict) else []
        states = [
            container["state"]
            for service in services
            if service["agreementId"] == agreement
            for container in service["containerStatus"]
        ]
        return "" if not states else "running" if set(states) == {"running"} else "exited"

    async def _report(self, upgrade: Upgrade) -> None:
        if upgrade.group and self.asks_for(upgrade.policy):
            try:
                question = self._question(upgrade, upgrade.group)
                answer = await self.around.gateway.report_end(question, succeeded=upgrade.succeeded)
            except Unanswered:
                return
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return
        self.ledger.upgrades.pop(
            (upgrade.node, upgrade.policy), None
        )  # a policy published meanwhile may have taken it away
        self.rows.end_service(upgrade.node, upgrade.policy)
        if upgrade.succeeded:
            # published again in the meantime: the same member has to go once more, and asks once more
            self.ledger.plan(upgrade.policy)

    def tell(self, act: Act, upgrade: Upgrade, *, detail: str = "", status: int = 0, granted: bool = False) -> None:
        """Tell a deed that concerns one upgrade."""
        deed = Deed(
            at=self.clock.now(),
            is_unasked=not self.asks_for(upgrade.policy),
            act=act,
            node=upgrade.node,
            kind=Kind.SERVICE,
            subject=upgrade.policy,
            detail=detail,
            status=status,
            granted=granted,
        )
        self.around.tell(deed)
