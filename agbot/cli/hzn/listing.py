"""`agbot hagroup list`: `hzn`'s JSON in a pipe.

On a terminal, tables of members with their lease, waits and deferrals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import click
from rich.console import Console
from rich.text import Text

from agbot.cli import screen
from agbot.cli.hzn import coordinator
from agbot.cli.hzn.session import Session
from agbot.coordinator.contract import GroupView
from agbot.exchange import timestamps
from agbot.exchange.administration import HaGroup, NodeRecord
from agbot.exchange.errors import ExchangeError
from agbot.rules import ids
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.words import count

_HEADINGS = ("NODE", "TYPE", "OWNER", "HEARTBEAT", "AGENT", "LEASE", "WAITS FOR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The content of the tables."""

    groups: Sequence[HaGroup]
    nodes: Mapping[NodeId, NodeRecord]
    views: Mapping[GroupId, GroupView] | None
    """None if no coordinator is reachable."""
    now: datetime
    """To compute ages of heartbeats, whose stamps are not of this machine's clock."""


async def read(session: Session, name: str | None) -> tuple[HaGroup, ...]:
    """Read one group, or all of the organisation.

    Raises:
        Failure: there is no such group.
        ExchangeError: they cannot be read.
    """
    wanted = session.group_id(name) if name is not None else None
    if wanted is None or ids.name_of(wanted) == "*":
        org = ids.org_of(wanted) if wanted else ids.OrgId(session.asker.org)
        return await session.exchange.groups(org)
    found = await session.exchange.group(wanted)
    if found is None:
        raise await session.no_group(wanted)
    return (found,)


def as_json(groups: Sequence[HaGroup], *, names_only: bool) -> str:
    """Print groups as `hzn` does: names, or each with its description and members."""
    if names_only or not groups:  # `[]` also with --long, where a script of hzn's expects it
        return screen.json_text([group.id for group in groups])
    shown = {
        group.id: {
            "description": group.description,
            "name": ids.name_of(group.id),
            "members": list(group.members),
            "lastUpdated": group.last_updated,
        }
        for group in groups
    }
    return screen.json_text(shown)


async def around(session: Session, groups: Sequence[HaGroup], url: str) -> Listed:
    """Read the rest of the tables, also from the coordinator at `url`.

    Nodes that the caller may not see stay unknown.
    """
    orgs = sorted({ids.org_of(group.id) for group in groups})
    nodes: dict[NodeId, NodeRecord] = {}
    for org in orgs:
        try:
            nodes |= await session.exchange.nodes(org)
        except ExchangeError as error:
            click.echo(f"agbot: warning: the nodes cannot be read: {screen.clean(error.what_came_back)}", err=True)
    views, now = await asyncio.to_thread(coordinator.views, url)
    return Listed(groups=groups, nodes=nodes, views=views, now=now)


def write(out: Console, listed: Listed, *, is_long: bool) -> None:
    """Print a table for each group."""
    if not listed.groups:
        out.print("there is no HA group")
    for number, group in enumerate(listed.groups):
        if number:
            out.print()
        _write_group(out, group, listed, is_long=is_long)
    if listed.views is None and listed.groups:
        out.print()
        out.print("No coordinator is reachable (AGBOT_URL), so leases and waits are not shown.", style="dim")


def _write_group(out: Console, group: HaGroup, listed: Listed, *, is_long: bool) -> None:
    description = f"  {screen.clean(group.description)}" if group.description else ""
    out.print(
        Text.assemble((screen.clean(group.id), "bold"), f"{description}  ({count(len(group.members), 'member')})")
    )
    if is_long:
        by = "; created by an admin, so only admins may change it" if group.is_admins else ""
        out.print(f"  last changed {screen.clean(group.last_updated)}{by}", style="dim")
    if not group.members:
        out.print("  empty, or none of its nodes is yours", style="dim")
        return
    view = (listed.views or {}).get(group.id)
    rows = [_row(ids.node_id(ids.org_of(group.id), name), listed.nodes, view, listed.now) for name in group.members]
    shown = len(_HEADINGS) if listed.views is not None else len(_HEADINGS) - 2
    screen.table(out, _HEADINGS[:shown], [row[:shown] for row in rows])


def _row(node: NodeId, nodes: Mapping[NodeId, NodeRecord], view: GroupView | None, now: datetime) -> tuple[str, ...]:
    record = nodes.get(node)
    name = ids.name_of(node)
    if record is None:
        return (name, "not visible", "", "", "", _lease(node, view), _waits(node, view))
    return (
        name,
        "cluster" if record.is_cluster else "device",
        record.owner,
        _heartbeat(record.heartbeat, now),
        record.agent_version,
        _lease(node, view),
        _waits(node, view),
    )


def _heartbeat(text: str, now: datetime) -> str:
    if not text:
        return "never"
    try:
        return screen.ago(timestamps.parse(text), now)
    except ValueError:
        return text


def _lease(node: NodeId, view: GroupView | None) -> str:
    if view is None or view.lease.holder != node:
        return ""
    lease = view.lease
    return f"{lease.state}: {lease.kind} {lease.subject}{f', {lease.status}' if lease.status else ''}"


def _waits(node: NodeId, view: GroupView | None) -> str:
    if view is None:
        return ""
    waits = [f"{', '.join(reason.code for reason in wait.reasons)}" for wait in view.waiting if wait.node == node]
    deferred = [
        f"deferred until {member.deferred_for}"
        for member in view.members
        if member.node == node and member.deferred_for
    ]
    return "; ".join((*waits, *deferred))
