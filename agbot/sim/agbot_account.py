"""The identity of a simulated agbot, and its requests to the Exchange."""

from __future__ import annotations

from dataclasses import dataclass

from agbot.sim.links import Answered, Doc, ExchangePort, Unanswered, segment


@dataclass(frozen=True, slots=True, kw_only=True)
class AgbotSpec:
    """The identity of the agbot."""

    org: str = "IBM"
    id: str = "agbot1"
    token: str = "agbot1-secret"  # noqa: S105 - a made-up secret of the simulator
    asks: bool = True
    """Whether it asks before it takes a service down.

    An agbot that asks writes its rows as well, but does not wait for the rows of others.
    """

    @property
    def name(self) -> str:
        """Return `org/id`."""
        return f"{self.org}/{self.id}"


class AgbotAccount:
    """An agbot's account at the Exchange.

    `requests` counts its requests: the coordinator has the same role there.
    """

    def __init__(self, spec: AgbotSpec, exchange: ExchangePort) -> None:
        """Take the agbot's identity and its connection to the Exchange."""
        self.spec = spec
        self.requests = 0
        self._exchange = exchange

    async def send(self, method: str, path: str, body: Doc | None = None) -> Answered:
        """Send a request to the Exchange as the agbot.

        Raises:
            Unanswered: no reply, or a broken one.
        """
        self.requests += 1
        return await self._exchange.request(method, path, self.spec.name, self.spec.token, body)

    async def attempt(
        self, method: str, path: str, body: Doc | None = None, *, good: tuple[int, ...] = (200, 201)
    ) -> Answered | None:
        """Send a request; return its answer if it has one of the good statuses, otherwise None."""
        try:
            answer = await self.send(method, path, body)
        except Unanswered:
            return None
        return answer if answer.status in good else None

    async def group_of(self, node: str) -> str | None:
        """Return a node's group, empty for none; None if the node cannot be read."""
        org, _, name = node.partition("/")
        answer = await self.attempt("GET", f"/orgs/{segment(org)}/nodes/{segment(name)}")
        body = answer.json() if answer else None
        return (body["nodes"][node]["ha_group"] or "") if isinstance(body, dict) else None

    async def container_state(self, node: str, agreement: str) -> str:
        """Return the state of an agreement's containers: `running`, `exited`, or empty for none."""
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
