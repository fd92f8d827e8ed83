"""The agents' listener alone, in a separate process, with a constant refusal.

Sockets, reading, credentials and writing are as in the daemon. `python -m bench.gateway PORT`
serves until it is stopped. The difference to the daemon is the cost of the decision.
"""

from __future__ import annotations

import asyncio
import sys

from agbot.clock import SystemClock
from agbot.console.metrics import Metrics
from agbot.coordinator.permission import Answer, Confirm, Ended, Refused
from agbot.exchange.credentials import Credentials
from agbot.gateway.listener import Listener
from agbot.rules import facts
from agbot.rules.facts import Node
from agbot.rules.ids import NodeId
from agbot.rules.reasons import Code, Reason
from agbot.settings.model import AgbotSettings, GatewaySettings

_REFUSED = Refused(reasons=(Reason(code=Code.LEASE_HELD, text="o1/g0001a has been upgrading o1/up1 since 12:00"),))


class _AlwaysRefusing:
    """A coordinator that refuses every question with the same reason."""

    def refuse_from_memory(self, ask: facts.Ask) -> Refused | None:
        return _REFUSED

    async def ask(self, ask: facts.Ask, confirm: Confirm) -> Answer:
        await confirm()
        return _REFUSED

    async def report_end(self, ask: facts.Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        return Ended(released=False)


class _AcceptsAll:
    """An Exchange that accepts all credentials."""

    async def node(self, node_id: NodeId, credentials: Credentials | None = None) -> Node | None:
        return Node(id=node_id)

    async def agbot_exists(self, agbot_id: str, credentials: Credentials) -> bool:
        return True


async def serve(port: int) -> None:
    """Listen until the process is stopped."""
    settings = GatewaySettings(listen=f"127.0.0.1:{port}")
    observe = Metrics().answered
    await Listener(settings, AgbotSettings(), _AlwaysRefusing(), _AcceptsAll(), SystemClock(), observe=observe).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
