"""How the real agbot permits agent upgrades: one row per group in `ha_group_updates`, and a monitor that removes rows.

It is what agents meet that bypass the coordinator. Nothing is checked but the group: not that the policy exists, nor the peers, nor
the services. A row goes only when its node shows another group or a status that is not active; a node, policy or status that cannot
be read keeps it for ever (A1 to A3), and it is removed by group, whoever holds it by then (A4).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from agbot.sim.agbot_rows import AgbotRows, AgentRow
from agbot.sim.agent_state import IN_FLIGHT, Word
from agbot.sim.clock import Clock
from agbot.sim.links import Answered, ExchangePort, Question, Unanswered, segment

MONITOR_SECONDS = 60.0
_ACTIVE = frozenset(word.value for word in (*IN_FLIGHT, Word.ROLLBACK_STARTED))
_GIVES_UP_SECONDS = 8.0
"""After so long an agbot that cannot reach the Exchange says 401 (recorded)."""
_WRONG = "Failed to authenticate the nodes with the Exchange. Wrong organization id, nodes id or password."


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who wants to execute which policy in the name of which group: bare names and their organisation, as in the path."""

    org: str
    group: str
    node: str
    nmp: str


class AgentLock:
    """One agbot's permission route and monitor, on the table that all agbots share."""

    def __init__(self, rows: AgbotRows, exchange: ExchangePort, clock: Clock, *, identity: str, secret: str) -> None:
        """Take the table, and how the agbot reaches the Exchange as itself."""
        self._rows = rows
        self._exchange = exchange
        self._clock = clock
        self._identity = identity
        self._secret = secret
        self._groups: dict[str, str] = {}
        """Node (`org/id`) -> its group, as cached until a change of the node is seen (A14)."""

    def forget(self, node: str) -> None:
        """Read a node anew at the next question."""
        self._groups.pop(node, None)

    async def decide(self, claim: Claim, identity: str, secret: str) -> tuple[int, dict[str, str] | str]:
        """Answer a question as the secure API does: status and body; a body that is a string is a refused credential."""
        doc = await self._own_node(identity, secret)
        if doc is None:
            return 401, _WRONG
        if identity != f"{claim.org}/{claim.node}":
            return _said(400, "Error node authentication credentials do not match requesting node.")
        group = self._groups.setdefault(identity, doc["ha_group"] or "")
        if group != claim.group:
            return _said(400, f"Error node ha group {group} does not match group name in request {claim.group}.")
        wanted = AgentRow(org=claim.org, group=claim.group, node=claim.node, nmp=claim.nmp)
        if self._rows.claim_agent(wanted):
            return _said(201, f"Node {identity} can start executing nmp {claim.nmp}.")
        return _said(409, f"Node {identity} can not start executing nmp {claim.nmp}.")

    async def ask(self, question: Question) -> Answered:
        """Answer an agent in this process (`GatewayPort`)."""
        claim = Claim(org=question.org, group=question.group, node=question.node, nmp=question.policy)
        status, body = await self.decide(claim, question.identity, question.secret)
        return Answered(status, json.dumps(body).encode())

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        """Know no such route: agents report no end, and this agbot asks nobody."""
        return Answered(HTTPStatus.NOT_FOUND, b"404 page not found\n")

    async def monitor(self) -> None:
        """Look through the rows for ever, 60 s after the end of the last time."""
        while True:
            await self._clock.sleep(MONITOR_SECONDS)
            for row in tuple(self._rows.agents):
                if await self._is_over(row):
                    self._rows.delete_agents(row.org, row.group)

    async def _is_over(self, row: AgentRow) -> bool:
        node = f"/orgs/{segment(row.org)}/nodes/{segment(row.node)}"
        doc = _one(await self._read(node), "nodes", f"{row.org}/{row.node}")
        if doc is None:
            return False
        if (doc["ha_group"] or "") != row.group:
            return True
        said = await self._read(f"{node}/managementStatus/{segment(row.nmp)}")
        status = _one(said, "managementStatus", f"{row.org}/{row.nmp}")
        return status is not None and status["agentUpgradePolicyStatus"]["status"] not in _ACTIVE

    async def _own_node(self, identity: str, secret: str) -> dict[str, Any] | None:
        org, _, name = identity.partition("/")
        try:
            answer = await self._exchange.request(
                "GET", f"/orgs/{segment(org)}/nodes/{segment(name)}", identity, secret
            )
        except Unanswered:
            await self._clock.sleep(_GIVES_UP_SECONDS)
            return None
        return _one(answer.json() if answer.status == HTTPStatus.OK else None, "nodes", identity)

    async def _read(self, path: str) -> Any:
        try:
            answer = await self._exchange.request("GET", path, self._identity, self._secret)
        except Unanswered:
            return None
        return answer.json() if answer.status == HTTPStatus.OK else None


def _one(body: Any, table: str, name: str) -> dict[str, Any] | None:
    found = body.get(table, {}).get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else None


def _said(status: int, text: str) -> tuple[int, dict[str, str]]:
    return status, {"code": str(status), "msg": text}
