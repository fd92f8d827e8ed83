"""How the real agbot permits agent upgrades: one row per group in `ha_group_updates`.

Agents that bypass the coordinator get these answers. Only the group is checked, not the existence
of the policy, the peers or the services. A monitor removes a row only if its node shows another
group or a status that is not active. So the row stays forever if the node, policy or status cannot
be read (A1 to A3). A row is removed by its group, whichever member holds it by then (A4).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from agbot.sim.agbot_rows import AgbotRows, AgentRow, UnexpectedReplyError
from agbot.sim.agent_state import IN_FLIGHT, Word
from agbot.sim.clock import Clock
from agbot.sim.links import TRANSPORT_STATUSES, Answered, ExchangePort, Question, Unanswered, segment

MONITOR_SECONDS = 60.0
_ACTIVE = frozenset(word.value for word in (*IN_FLIGHT, Word.ROLLBACK_STARTED))
_GIVES_UP_SECONDS = 8.0
"""After this long, an agbot that cannot reach the Exchange answers 401 (recorded)."""
_WRONG = "Failed to authenticate the nodes with the Exchange. Wrong organization id, nodes id or password."


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The node, policy and group of a question, as in the path: bare names and an organisation."""

    org: str
    group: str
    node: str
    nmp: str


class AgentLock:
    """One agbot's permission route and monitor. All agbots share the table."""

    def __init__(self, rows: AgbotRows, exchange: ExchangePort, clock: Clock, *, identity: str, secret: str) -> None:
        """Take the table, and the agbot's connection and credentials for the Exchange."""
        self._rows = rows
        self._exchange = exchange
        self._clock = clock
        self._identity = identity
        self._secret = secret
        self._groups: dict[str, str] = {}
        """Node (`org/id`) -> its group, cached until a change of the node is seen (A14)."""

    def forget(self, node: str) -> None:
        """Read a node again at the next question."""
        self._groups.pop(node, None)

    async def decide(self, claim: Claim, identity: str, secret: str) -> tuple[int, dict[str, str] | str]:
        """Answer a question as the secure API does, with a status and a body.

        If the body is a string, the credentials were refused.
        """
        doc = await self._own_node(identity, secret)
        if doc is None:
            return 401, _WRONG
        if identity != f"{claim.org}/{claim.node}":
            return _answer(400, "Error node authentication credentials do not match requesting node.")
        group = self._groups.setdefault(identity, doc["ha_group"] or "")
        if group != claim.group:
            return _answer(400, f"Error node ha group {group} does not match group name in request {claim.group}.")
        wanted = AgentRow(org=claim.org, group=claim.group, node=claim.node, nmp=claim.nmp)
        try:
            is_first = self._rows.claim_agent(wanted)
        except UnexpectedReplyError as error:
            return _answer(500, f"Error checking if node {identity} can start executing nmp {claim.nmp}: {error}")
        if is_first:
            return _answer(201, f"Node {identity} can start executing nmp {claim.nmp}.")
        return _answer(409, f"Node {identity} can not start executing nmp {claim.nmp}.")

    async def ask(self, question: Question) -> Answered:
        """Answer an agent in this process (`GatewayPort`)."""
        claim = Claim(org=question.org, group=question.group, node=question.node, nmp=question.policy)
        status, body = await self.decide(claim, question.identity, question.secret)
        return Answered(status, json.dumps(body).encode())

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        """Answer 404: agents report no end, and this agbot has no such route."""
        return Answered(HTTPStatus.NOT_FOUND, b"404 page not found\n")

    async def monitor(self) -> None:
        """Check the rows forever, with 60 s between the checks."""
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
        shown = await self._read(f"{node}/managementStatus/{segment(row.nmp)}")
        status = _one(shown, "managementStatus", f"{row.org}/{row.nmp}")
        return status is not None and status["agentUpgradePolicyStatus"]["status"] not in _ACTIVE

    async def _own_node(self, identity: str, secret: str) -> dict[str, Any] | None:
        org, _, name = identity.partition("/")
        try:
            answer = await self._exchange.request(
                "GET", f"/orgs/{segment(org)}/nodes/{segment(name)}", identity, secret
            )
        except Unanswered:
            answer = None
        if answer is None or answer.status in TRANSPORT_STATUSES:
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


def _answer(status: int, text: str) -> tuple[int, dict[str, str]]:
    return status, {"code": str(status), "msg": text}
