"""What follows for upgrades under way when members leave a group, or the group goes.

The coordinator knows best. Where none is reachable, the members' own statuses in the Exchange still tell who is in the middle of an
upgrade. The sentences are pure; reading is at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agbot.cli.hzn import at_once, coordinator
from agbot.cli.hzn.session import Session
from agbot.coordinator.contract import GroupView
from agbot.exchange.errors import ExchangeError
from agbot.rules import statuses
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.statuses import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Who leaves which group, and where they go."""

    group: GroupId
    nodes: frozenset[NodeId]
    group_goes: bool = False
    """The group itself is removed."""
    to: GroupId | None = None
    """They move to this group; None: they are in none afterwards."""


def consequences(view: GroupView, leaving: Leaving) -> list[str]:
    """Say what follows, by what the coordinator knows of the group."""
    return list(_consequences(view, leaving))


def _consequences(view: GroupView, leaving: Leaving) -> Iterator[str]:
    lease = view.lease
    if lease.holder in leaving.nodes:
        status = f", {lease.status}" if lease.status else ""
        where = "outside the group" if leaving.to is None else f"in {leaving.to}, deferred there until it has ended"
        rest = "" if leaving.group_goes else ", and the next member may begin at once"
        yield (
            f"{lease.holder} upgrades now ({lease.kind} upgrade {lease.subject}{status}): it goes on with it {where}; "
            f"the lease of {view.id} ends as left-group{rest}"
        )
    for wait in view.waiting:
        if wait.node in leaving.nodes and leaving.to is None:
            yield f"{wait.node} waits for its turn: once outside the group it upgrades without asking, within a minute"
        elif wait.node in leaving.nodes:
            yield f"{wait.node} waits for its turn: it goes on asking, in {leaving.to}"
    for member in view.members:
        if member.node in leaving.nodes and member.deferred_for:
            yield f"{member.node} is in the middle of {member.deferred_for}, with which it came into the group; that goes on"


def mid_upgrade(node: NodeId, reported: Mapping[PolicyId, str], leaving: Leaving) -> list[str]:
    """Say what follows by a node's own statuses alone, policy -> status."""
    under_way = (
        "it goes on with it" if leaving.group_goes else "it goes on with it, and the others no longer wait for it"
    )
    asking = "it will not ask anybody" if leaving.to is None else f"it will ask in {leaving.to}"
    said = {Phase.UNDER_WAY: under_way, Phase.ASKING: asking}
    phases = {policy: statuses.PHASES.get(value, Phase.UNREADABLE) for policy, value in reported.items()}
    return [
        f"{node} reports {reported[policy]} for {policy}: {said[phase]}"
        for policy, phase in sorted(phases.items())
        if phase in said
    ]


async def what_follows(session: Session, leaving: Leaving, url: str) -> list[str]:
    """Say what follows, by the coordinator at `url`. What cannot be read is not made up: the Exchange itself will answer for it."""
    view = await asyncio.to_thread(coordinator.view_of, leaving.group, url)
    if view is not None:
        return consequences(view, leaving)

    async def of(node: NodeId) -> list[str]:
        try:
            found = await session.exchange.statuses(node)
        except ExchangeError:
            return []
        return mid_upgrade(node, {policy: _value(entry) for policy, entry in found.items()}, leaving)

    return [line for lines in await at_once.each(sorted(leaving.nodes), of) for line in lines]


def _value(entry: Mapping[str, object]) -> str:
    status = entry.get("agentUpgradePolicyStatus")
    return str(status.get("status", "")) if isinstance(status, dict) else ""
