"""A simulated Open Horizon Exchange 2.154.0 in memory, with its routes, bodies and oddities.

`SimExchange.handle` answers a `Request` with a `Reply` in-process; `serve` puts it behind HTTP;
`seed` fills it.
"""

from __future__ import annotations

from agbot.sim.exchange.core import RequestKey, SimExchange
from agbot.sim.exchange.message import Reply, Request, basic
from agbot.sim.exchange.server import ExchangeServer, serve, serving
from agbot.sim.exchange.world import Write

__all__ = ["ExchangeServer", "Reply", "Request", "RequestKey", "SimExchange", "Write", "basic", "serve", "serving"]
