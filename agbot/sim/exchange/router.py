"""The route table: the function that answers a method and a path, and the template to count it by.

A path is matched segment by segment after decoding; a literal takes precedence over a parameter. An
empty segment matches nothing, so a trailing slash is an unknown route, as in the Exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from agbot.sim.exchange.identity import Identity
from agbot.sim.exchange.message import Answer, Doc, Request
from agbot.sim.exchange.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What faults do to one request inside the Exchange."""

    frozen_at: int | None = None
    """The change feed shows no row after this id."""
    late_seconds: float = 0.0
    late_share: float = 0.0
    """This share of the change rows appears only so many seconds after their time, like rows of
    slow transactions."""
    raced: bool = False
    """Another request has changed what this one has already read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated request on its way to its route; `at` and `stamp` are the same moment."""

    world: World
    identity: Identity
    request: Request
    path: dict[str, str]
    query: dict[str, str]
    at: datetime
    stamp: str
    conditions: Conditions

    @property
    def feed_end(self) -> int:
        """Return the last change id that the feed shows."""
        last = self.world.log.last_id
        return last if self.conditions.frozen_at is None else min(last, self.conditions.frozen_at)

    @property
    def org(self) -> str:
        """Return the organisation in the path."""
        return self.path["org"]

    @property
    def id(self) -> str:
        """Return the id in the path, without an organisation that is repeated in front of it."""
        return self.path["id"].removeprefix(f"{self.org}/")

    def note(self, resource: str, operation: str, name: str, data: Doc | None = None) -> None:
        """Log one write of this call in the change feed."""
        self.world.note(self.at, resource, operation, (self.org, name), data)


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a template such as `/orgs/{org}/nodes/{id}` (below `/v1`), and its handler."""

    method: str
    template: str
    handler: Handler


@dataclass(slots=True)
class _Branch:
    literals: dict[str, _Branch] = field(default_factory=dict)
    parameter: tuple[str, _Branch] | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """The table as a tree."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Build the tree.

        Raises:
            ValueError: two routes have the same method and template.
        """
        self._root = _Branch()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        branch = self._root
        for part in route.template.split("/")[1:]:
            if part.startswith("{"):
                if branch.parameter is None:
                    branch.parameter = (part[1:-1], _Branch())
                name, branch = branch.parameter
                if name != part[1:-1]:
                    message = f"{route.template}: this place is called {name} elsewhere"
                    raise ValueError(message)
            else:
                branch = branch.literals.setdefault(part, _Branch())
        if branch.routes.setdefault(route.method, route) is not route:
            message = f"{route.method} {route.template} is there twice"
            raise ValueError(message)

    def match(self, segments: Iterable[str]) -> tuple[dict[str, Route], dict[str, str]]:
        """Return the routes of a path by method, and its parameters.

        There are no routes if the path is unknown.
        """
        branch = self._root
        found: dict[str, str] = {}
        for part in segments:
            literal = branch.literals.get(part)
            if literal is not None:
                branch = literal
            elif branch.parameter is not None and part:
                name, branch = branch.parameter
                found[name] = part
            else:
                return {}, {}
        return branch.routes, found
