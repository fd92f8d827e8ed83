"""The coordinators on one store: who leads, and a request to hand over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agbot import __version__
from agbot.console.answers import CoordinatorView
from agbot.coordinator.contract import Done, NotDone
from agbot.rules.leadership import Whereabouts


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
