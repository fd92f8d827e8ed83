"""`agbot node list`, `agbot nmp status` and `agbot version`, as in `hzn exchange`."""

from __future__ import annotations

from typing import Any

import click

from agbot import __version__
from agbot.cli import screen
from agbot.cli.failure import Exit, Failure
from agbot.cli.hzn import in_use
from agbot.cli.hzn.environment import MissingError
from agbot.cli.hzn.given import Given, HznGroup, common
from agbot.cli.hzn.session import Session, at_once
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
"""The fields of `hzn exchange node list`, in its order."""
_LEFT_OUT_WHEN_EMPTY = {"clusterNamespace", "ha_group"}


@click.group("node", cls=HznGroup)
def node() -> None:
    """Show the nodes in the Exchange."""


@node.command("list")
@click.argument("name", metavar="[NODE]", required=False)
@click.option("-l", "--long", "is_long", is_flag=True, help="Show all that the Exchange has of each node.")
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
            raise await session.no_node(wanted, "check the name and the organisation; a user sees only its own nodes")
        return {wanted: _shown(record)}

    screen.print_json(given.run(read))


def _shown(record: NodeRecord) -> dict[str, Any]:
    entry = record.entry
    return {key: entry[key] for key in _NODE_KEYS if key in entry and (entry[key] or key not in _LEFT_OUT_WHEN_EMPTY)}


@click.group("nmp", cls=HznGroup)
def nmp() -> None:
    """Show the progress of nodes with node management policies."""


@nmp.command("status")
@click.argument("policy")
@click.option("-l", "--long", "is_long", is_flag=True, help="Show all that each node reports.")
@common
def nmp_status(*, policy: str, is_long: bool, given: Given) -> None:
    """Show the progress of each node with a node management policy."""

    async def read(session: Session) -> dict[str, object]:
        wanted = PolicyId(session.qualified(policy))
        nodes = sorted(await session.exchange.nodes(ids.org_of(wanted)))
        found = await at_once(nodes, session.exchange.statuses)
        reported = {node: of_node[wanted] for node, of_node in zip(nodes, found, strict=True) if wanted in of_node}
        if not reported:
            raise await _unreported(session, wanted)
        return {node: entry if is_long else in_use.reported(entry) for node, entry in reported.items()}

    screen.print_json(given.run(read))


@click.command("version")
@common
def version(*, given: Given) -> None:
    """Show the versions of this program and of the Exchange.

    Without an Exchange, an organisation or credentials, only that of this program is shown, and
    what is missing.
    """

    async def read(session: Session) -> str:
        return await session.exchange.version()

    exchange, shown = None, ""
    try:
        exchange = given.run(read)
        shown = exchange
    except MissingError as error:
        shown = f"version: failed to get: {error.problem}; {error.next_step}"
    if given.as_json:
        screen.print_json({"agbot": __version__, "exchange": exchange})
    else:
        click.echo(f"agbot {__version__}\nExchange {screen.clean(shown)}")


async def _unreported(session: Session, policy: PolicyId) -> Failure:
    if policy not in await session.exchange.management_policies(ids.org_of(policy)):
        return await session.no_policy(policy)
    return Failure(
        Exit.NOT_FOUND,
        tried=f"reading the statuses of all nodes of {ids.org_of(policy)} that {session.asker.credentials.identity} sees",
        problem=f"no node has reported a status of {policy} yet",
        next_step="the agents report it when they take up the policy; a user sees only its own nodes",
    )
