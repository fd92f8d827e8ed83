"""The consequences for running upgrades if members leave a group or the group is removed.

They come from the coordinator. If none is reachable, the members' own statuses in the Exchange show
which of them upgrade. The sentences are pure; the reads are at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agbot.cli.hzn import asking, coordinator
from agbot.cli.hzn.session import Session, at_once
from agbot.coordinator.contract import GroupView
from agbot.exchange.errors import ExchangeError
from agbot.rules import statuses
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.statuses import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The members that leave a group, and where they go."""

    group: GroupId
    nodes: frozenset[NodeId]
    group_goes: bool = False
    """The group itself is removed."""
    to: GroupId | None = None
    """The group to which they move; None if they will be in none."""


def _consequences(view: GroupView, leaving: Leaving) -> Iterator[str]:
    """Yield the consequences that the coordinator's view of the group shows."""
    lease = view.lease
    if lease.holder in leaving.nodes:
        status = f", {lease.status}" if lease.status else ""
        where = "outside the group" if leaving.to is None else f"in {leaving.to}, deferred there until it has ended"
        rest = "" if leaving.group_goes else ", and the next member may begin at once"
        yield (
            f"{lease.holder} is upgrading ({lease.kind} upgrade {lease.subject}{status}): it continues {where}; "
            f"the lease of {view.id} ends as left-group{rest}"
        )
    for wait in view.waiting:
        if wait.node in leaving.nodes and leaving.to is None:
            yield f"{wait.node} waits for its turn: once outside the group it upgrades without asking, within a minute"
        elif wait.node in leaving.nodes:
            yield f"{wait.node} waits for its turn: it continues to ask, in {leaving.to}"
    for member in view.members:
        if member.node in leaving.nodes and member.deferred_for:
            yield (
                f"{member.node} is still in the middle of {member.deferred_for}, which was under way when it joined; "
                "that upgrade continues"
            )


def _mid_upgrade(node: NodeId, reported: Mapping[PolicyId, str], leaving: Leaving) -> list[str]:
    """Return the consequences that a node's own statuses show, policy -> status."""
    under_way = "it continues" if leaving.group_goes else "it continues, and the others no longer wait for it"
    asking = "it will not ask" if leaving.to is None else f"it will ask in {leaving.to}"
    texts = {Phase.UNDER_WAY: under_way, Phase.ASKING: asking}
    phases = {policy: statuses.PHASES.get(value, Phase.UNREADABLE) for policy, value in reported.items()}
    return [
        f"{node} reports {reported[policy]} for {policy}: {texts[phase]}"
        for policy, phase in sorted(phases.items())
        if phase in texts
    ]


async def warn(session: Session, leaving: Leaving, url: str) -> None:
    """Print the consequences, from the coordinator at `url`.

    What cannot be read is left out: the command itself will report the error.
    """
    # the coordinator first: statuses in the Exchange show neither leases nor deferrals
    view = await asyncio.to_thread(coordinator.view_of, leaving.group, url)
    asking.warn(await _by_statuses(session, leaving) if view is None else _consequences(view, leaving))


async def _by_statuses(session: Session, leaving: Leaving) -> list[str]:

    async def of(node: NodeId) -> list[str]:
        try:
            found = await session.exchange.statuses(node)
        except ExchangeError:
            return []
        return _mid_upgrade(node, {policy: reported(entry) for policy, entry in found.items()}, leaving)

    return [line for lines in await at_once(sorted(leaving.nodes), of) for line in lines]


def reported(entry: Mapping[str, object]) -> str:
    """Return what a node reports of an upgrade, from its entry for a policy; empty if nothing."""
    status = entry.get("agentUpgradePolicyStatus")
    return str(status.get("status", "")) if isinstance(status, dict) else ""
