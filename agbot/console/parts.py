"""What the console needs of the coordinators, and how its handlers find that in the application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from agbot import __version__
from agbot.clock import Clock
from agbot.console.answers import CoordinatorView
from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.operations import Operations
from agbot.delivery.receiver import Receiver
from agbot.delivery.sinks import Deliveries
from agbot.rules.leadership import Whereabouts
from agbot.settings.secret import Secret


class Coordinators(Protocol):
    """What the console needs. All views come from memory."""

    def where(self) -> Whereabouts:
        """Return who leads."""

    def coordinators(self) -> Sequence[CoordinatorView]:
        """Return every coordinator on this store, by name."""

    async def hand_over(self, *, to: str, reason: str, who: str) -> Done | NotDone:
        """Let the coordinator `to` lead, or any other if empty."""


class Alone:
    """A coordinator with a store of its own always leads."""

    def __init__(self, name: str) -> None:
        self._name = name

    def where(self) -> Whereabouts:
        """Return that this one leads."""
        return Whereabouts(own_name=self._name)

    def coordinators(self) -> Sequence[CoordinatorView]:
        """Return this coordinator alone."""
        return [CoordinatorView(name=self._name, leads=True, version=__version__)]

    async def hand_over(self, *, to: str, reason: str, who: str) -> Done | NotDone:
        """Refuse: there is no other."""
        return NotDone(
            text=f"{self._name} is the only coordinator: a SQLite store has one, PostgreSQL may have several"
        )


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
