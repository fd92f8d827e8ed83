"""What one program has really read, from its own wires: so a judge can say what a grant rested on without asking the coordinator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agbot.agreementbot.transport import NotListeningError
from agbot.agreementbot.transport import Reply as ListReply
from agbot.exchange.credentials import Credentials
from agbot.exchange.transport import Reply
from agbot.sim.exchange import SimExchange
from agbot.sim.local_api import LocalApi
from tests.support.direct_agbot import DirectAgbot
from tests.support.direct_transport import DirectTransport

_LISTS = ("/ha/upgradingwlu", "/ha/upgradingnode")
_OK = 200


@dataclass(slots=True)
class Sightings:
    """When this program last read what, on the loop's clock.

    Of a look its begin counts: what is true is what was so then.
    """

    feed: float | None = None
    """When the last request for changes that was answered went out."""
    nodes: dict[tuple[str, str], float] = field(default_factory=dict)
    """(who read, path of the node) -> when its answer came."""
    lists: dict[str, float] = field(default_factory=dict)
    """Path of one of the agbot's lists -> when it was last asked for and answered."""
    refused: dict[str, float] = field(default_factory=dict)
    """Address of an agbot -> when it last refused a connection."""
    lists_failed: float = -1.0
    """When the agbot's lists were last asked for in vain."""

    def listed(self) -> float:
        """Return the begin of the last look that brought both lists.

        Before the beginning of time if there was none.
        """
        return min((self.lists.get(path, -1.0) for path in _LISTS), default=-1.0)

    def no_one_there(self, urls: Mapping[str, object]) -> float:
        """Return when every agbot had last refused the connection."""
        return min((self.refused.get(url, -1.0) for url in urls), default=-1.0)


class WatchedTransport(DirectTransport):
    """Writes down what was really read.

    Reports `on_feed` of every look at the feed, with its begin.
    """

    def __init__(
        self, exchange: SimExchange, way_seconds: Callable[[], float], on_feed: Callable[[float], None]
    ) -> None:
        super().__init__(exchange, way_seconds=way_seconds)
        self.sightings = Sightings()
        self._on_feed = on_feed

    async def request(
        self, method: str, path: str, *, credentials: Credentials | None, body: bytes | None, timeout_seconds: float
    ) -> Reply:
        """Send one request."""
        time = asyncio.get_running_loop().time
        begun = time()
        reply = await super().request(method, path, credentials=credentials, body=body, timeout_seconds=timeout_seconds)
        if reply.status in {200, 201} and credentials is not None:
            if path.endswith("/changes"):
                self.sightings.feed = begun
                self._on_feed(begun)
            self.sightings.nodes[credentials.identity, path] = time()
        return reply


class WatchedAgbot(DirectAgbot):
    """Writes down when the agbot's lists were really read."""

    def __init__(self, apis: Mapping[str, LocalApi], *, way_seconds: Callable[[], float], sightings: Sightings) -> None:
        super().__init__(apis, way_seconds=way_seconds)
        self._sightings = sightings

    async def get(self, url: str, *, timeout_seconds: float) -> ListReply:
        """Send one request."""
        begun, seen = asyncio.get_running_loop().time(), self._sightings
        base, _, path = url.partition("/ha/")
        try:
            reply = await super().get(url, timeout_seconds=timeout_seconds)
        except NotListeningError:
            seen.refused[base] = begun
            raise
        except Exception:
            seen.lists_failed = begun
            raise
        if reply.status == _OK and _is_list(reply.body):
            seen.lists[f"/ha/{path}"] = begun
        else:
            seen.lists_failed = begun
        return reply


def _is_list(body: bytes) -> bool:
    """Whether these are rows of upgrades: an agbot whose database failed answers 200 with `null`."""
    try:
        rows = json.loads(body)
    except ValueError:
        return False
    return isinstance(rows, list) and all(isinstance(row, dict) and isinstance(row.get("orgId"), str) for row in rows)
