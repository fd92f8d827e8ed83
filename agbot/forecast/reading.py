"""Reads a hub for a forecast: GET requests alone, each with a reason.

The change feed is not read, because that would count as a heartbeat of the coordinator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from agbot.exchange import resources
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError, Forbidden, Refused, Unreachable
from agbot.fleet.garbled import Garbled
from agbot.forecast.snapshot import Orders, Snapshot
from agbot.rules.facts import Node
from agbot.rules.ids import GroupId, NodeId, OrgId
from agbot.rules.statuses import Status

Progress = Callable[[int, int], None]
"""Is called with the number of members that were read, and of all."""
_FATAL: Final = (Refused, Forbidden, Unreachable)
"""What fails for one member fails for all. Anything else is a lack."""
_MOST_LACKS: Final = 5
Key = TypeVar("Key", bound=str)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the rules in the settings, and the policies, make it necessary to read."""

    org: OrgId
    services: bool
    """What members run: `services_must_run`, or a deployment policy is forecast."""
    properties: bool
    """The properties of node policies: an order or a constraint uses them."""


async def take(
    exchange: ExchangeClient, wanted: Wanted, orders: Orders, *, url: str, now: datetime, progress: Progress
) -> Snapshot:
    """Read one organisation of a hub.

    Raises:
        ExchangeError: it cannot be read.
    """
    org, lacks = wanted.org, _Lacks()
    aims, services, groups, nodes = await asyncio.gather(
        exchange.get(resources.MANAGEMENT_POLICIES, org),
        exchange.get(resources.DEPLOYMENT_POLICIES, org),
        exchange.get(resources.GROUPS, org),
        exchange.get(resources.NODES, org),
    )
    members = {name: each for name, each in lacks.without(nodes).items() if each.group is not None}
    constrained = any(aim.constraints for aim in lacks.without(aims).values())
    reader = _Members(exchange, wanted, lacks, progress, of=len(members), has_constraints=constrained)
    await reader.read(members)
    return Snapshot(
        org=org,
        taken_at=now,
        exchange=url,
        aims=lacks.without(aims),
        services=lacks.without(services),
        groups=_in_groups(lacks.without(groups), members),
        nodes=members,
        statuses=reader.statuses,
        agreements=reader.agreements,
        properties=reader.properties,
        orders=orders,
        lacks=lacks.sentences(),
    )


def _in_groups(
    groups: Mapping[GroupId, tuple[NodeId, ...]], members: Mapping[NodeId, Node]
) -> dict[GroupId, tuple[NodeId, ...]]:
    """Return each group with those of its members that were read."""
    # a group may list a node that was deleted, or that cannot be read, which is noted by itself
    return {group: tuple(node for node in listed if node in members) for group, listed in sorted(groups.items())}


class _Lacks:
    """What could not be read."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, sentence: str) -> None:
        """Note something that could not be read."""
        self._found.append(sentence)

    def without(self, found: Mapping[Key, Value | Garbled]) -> dict[Key, Value]:
        """Return what is readable, and note the rest."""
        for key, each in found.items():
            if isinstance(each, Garbled):
                self.add(f"{key} cannot be read: {each.why}")
        return {key: each for key, each in found.items() if not isinstance(each, Garbled)}

    def sentences(self) -> tuple[str, ...]:
        """Return the first of them, each once."""
        found = list(dict.fromkeys(self._found))
        more = (f"and {len(found) - _MOST_LACKS} more",) if len(found) > _MOST_LACKS else ()
        return (*found[:_MOST_LACKS], *more)


class _Members:
    """Reads what belongs to each member, several at once; the client bounds how many."""

    def __init__(
        self,
        exchange: ExchangeClient,
        wanted: Wanted,
        lacks: _Lacks,
        progress: Progress,
        *,
        of: int,
        has_constraints: bool,
    ) -> None:
        self._exchange = exchange
        self._wanted = wanted
        self._lacks = lacks
        self._progress = progress
        self._of = of
        self._has_constraints = has_constraints
        self._done = 0
        self.statuses: dict[NodeId, Mapping[Any, Status]] = {}
        self.agreements: dict[NodeId, Any] = {}
        self.properties: dict[NodeId, Mapping[str, str]] = {}

    async def read(self, members: Mapping[NodeId, Node]) -> None:
        await asyncio.gather(*(self._read(name) for name in sorted(members)))

    async def _read(self, name: NodeId) -> None:
        exchange, wanted = self._exchange, self._wanted
        await self._into(self.statuses, name, exchange.get(resources.STATUSES, name))
        if wanted.services:
            await self._into(self.agreements, name, exchange.agreements(name))
        if wanted.properties or self._has_constraints:
            await self._into(self.properties, name, exchange.get(resources.PROPERTIES, name))
        self._done += 1
        self._progress(self._done, self._of)

    async def _into(self, found: dict[NodeId, Any], name: NodeId, reading: Awaitable[Any]) -> None:
        try:
            found[name] = await reading
        except _FATAL:
            # hundreds of members would each wait for the same failure
            raise
        except ExchangeError as error:
            self._lacks.add(f"{name}: {error}")
