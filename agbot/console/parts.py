"""The dependencies of the console's handlers, which they find in the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from agbot.clock import Clock
from agbot.console.leading import Coordinators
from agbot.coordinator.operations import Operations
from agbot.delivery.receiver import Receiver
from agbot.delivery.sinks import Deliveries
from agbot.settings.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The coordinator, and what else the handlers need."""

    operations: Operations
    clock: Clock
    coordinators: Coordinators
    deliveries: Deliveries | None
    """None if this console serves no receivers, as in some tests."""
    operator_token: Callable[[], Secret | None]
    """Called for each request that needs the token, so that a reload takes effect."""

    def receivers(self) -> list[Receiver]:
        """Return how far the deliveries to each receiver are."""
        return self.deliveries.receivers() if self.deliveries else []


PARTS: Final = web.AppKey("parts", Parts)


def of(request: web.Request) -> Parts:
    """Return the parts behind a request."""
    return request.app[PARTS]
