"""`agbot node list`, `agbot nmp status`, `agbot version`: what one looks at beside HA groups, as `hzn exchange` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from agbot import __version__
from agbot.cli import screen
from agbot.cli.failure import Exit, Failure
from agbot.cli.hzn import at_once
from agbot.cli.hzn.given import Given, HznGroup, common
from agbot.cli.hzn.session import Session
from agbot.exchange.administration import NodeRecord
from agbot.rules import ids
from agbot.rules.ids import NodeId, PolicyId

_NODE_KEYS = (
    "token",
    "name",
    "owner",
    "nodeType",
    "isNamespaceScoped",
    "clusterNamespace",
    "pattern",
    "registeredServices",
    "msgEndPoint",
    "softwareVersions",
    "lastHeartbeat",
    "publicKey",
    "arch",
    "userInput",
    "heartbeatIntervals",
    "ha_group",
    "lastUpdated",
)
"""What `hzn exchange node list` shows, in its order."""
_LEFT_OUT_WHEN_EMPTY = {"clusterNamespace", "ha_group"}


@click.group("node", cls=HznGroup)
def node() -> None:
    """Show nodes as the Exchange has them."""


@node.command("list")
@click.argument("name", metavar="[NODE]", required=False)
@click.option("-l", "--long", "is_long", is_flag=True, help="Each node with everything the Exchange says of it.")
@common
def list_nodes(*, name: str | None, is_long: bool, given: Given) -> None:
    """List nodes, or show one with its HA group."""

    async def read(session: Session) -> object:
        if name is None:
            found = await session.exchange.nodes(ids.OrgId(session.asker.org))
            return {each.id: _shown(each) for each in found.values()} if is_long else sorted(found)
        wanted = NodeId(session.qualified(name))
        record = await session.exchange.node(wanted)
        if record is None:
            raise _absent(f"node {ids.name_of(wanted)} in {ids.org_of(wanted)}", session)
        return {wanted: _shown(record)}

    _write(given.run(read))


def _shown(record: NodeRecord) -> dict[str, Any]:
    entry = record.entry
    return {key: entry[key] for key in _NODE_KEYS if key in entry and (entry[key] or key not in _LEFT_OUT_WHEN_EMPTY)}


@click.group("nmp", cls=HznGroup)
def nmp() -> None:
    """Show node management policies as nodes carry them out."""


@nmp.command("status")
@click.argument("policy")
@click.option("-l", "--long", "is_long", is_flag=True, help="Everything that each node reports.")
@common
def nmp_status(*, policy: str, is_long: bool, given: Given) -> None:
    """Show how far each node is with a node management policy."""

    async def read(session: Session) -> dict[str, object]:
        wanted = PolicyId(session.qualified(policy))
        nodes = await session.exchange.nodes(ids.org_of(wanted))
        reported = await _reported(session, sorted(nodes), wanted)
        if not reported:
            raise _absent(f"status of node management policy {ids.name_of(wanted)} in {ids.org_of(wanted)}", session)
        return {node: entry if is_long else _status(entry) for node, entry in reported.items()}

    _write(given.run(read))


async def _reported(session: Session, nodes: list[NodeId], policy: PolicyId) -> dict[NodeId, Mapping[str, Any]]:
    found = await at_once.each(nodes, session.exchange.statuses)
    return {node: statuses[policy] for node, statuses in zip(nodes, found, strict=True) if policy in statuses}


def _status(entry: Mapping[str, Any]) -> object:
    return (entry.get("agentUpgradePolicyStatus") or {}).get("status", "")


@click.command("version")
@common
def version(*, given: Given) -> None:
    """Show the versions of this program and of the Exchange."""

    async def read(session: Session) -> str:
        return await session.exchange.version()

    exchange = given.run(read)
    if given.as_json:
        _write({"agbot": __version__, "exchange": exchange})
    else:
        click.echo(f"agbot {__version__}\nExchange {screen.clean(exchange)}")


def _absent(what: str, session: Session) -> Failure:
    return Failure(
        Exit.NOT_FOUND,
        tried=f"finding it at {session.asker.url} as {session.asker.credentials.identity}",
        problem=f"there is no {what}",
        next_step="check the name and the organisation; a user sees only its own nodes",
    )


def _write(shown: object) -> None:
    screen.print_json(shown)
