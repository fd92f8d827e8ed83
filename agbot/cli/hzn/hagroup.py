"""`agbot hagroup`: `hzn exchange hagroup` without its pitfalls.

The commands' work is in the other modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from agbot.cli import options, screen
from agbot.cli.failure import Exit, Failure
from agbot.cli.folding import say
from agbot.cli.hzn import file as files
from agbot.cli.hzn import groups, listing, members
from agbot.cli.hzn.given import Given, HznGroup, common
from agbot.cli.hzn.groups import Outcome
from agbot.cli.hzn.session import Session

force: Final = click.option("-f", "--force", is_flag=True, help="Do not ask.")
_nodes: Final = click.option(
    "-m", "--node", "node_names", multiple=True, required=True, metavar="NODE", help="A node. Repeatable."
)


@click.group(
    "hagroup",
    cls=HznGroup,
    epilog="Exit codes: 0 done; 1 bad input; 3 bad JSON; 4 the file cannot be read; 5 the Exchange failed or refused; "
    "7 no Exchange is set; 8 not found.",
)
def hagroup() -> None:
    """List and change HA groups in the Exchange, as `hzn exchange hagroup` does.

    Names may include the organisation. Environment: HZN_EXCHANGE_URL, HZN_ORG_ID,
    HZN_EXCHANGE_USER_AUTH, HZN_EXCHANGE_NODE_AUTH (list), HZN_MGMT_HUB_CERT_PATH;
    /etc/default/horizon where they are not set.
    """


@hagroup.command("new")
@common
def new(*, given: Given) -> None:
    """Print a template for `add`."""

    async def nothing(_session: Session) -> None:
        """Check the Exchange's version even for this, as `hzn` does."""

    given.run(nothing)
    click.echo(files.TEMPLATE, nl=False)


@hagroup.command("list")
@click.argument("group", required=False)
@click.option("-l", "--long", "is_long", is_flag=True, help="Show each group with its description and members.")
@click.option("-n", "--node-id-tok", metavar="[ORG/]NODE:TOKEN", help="A node's credentials, in place of a user's.")
@options.url
@common
def list_groups(*, group: str | None, is_long: bool, node_id_tok: str | None, url: str, given: Given) -> None:
    """List HA groups.

    They are tables on a terminal, and `hzn`'s JSON in a pipe or with --json.
    """
    out = screen.console()
    # what is piped into jq from hzn is piped into it from here
    is_table = out.is_terminal and not given.as_json

    async def read(opened: Session) -> listing.Listed | str:
        found = await listing.read(opened, group)
        if is_table:
            return await listing.around(opened, found, url)
        return listing.as_json(found, names_only=not group and not is_long)

    shown = given.run(read, node=node_id_tok)
    if isinstance(shown, str):
        click.echo(shown)
    else:
        listing.write(out, shown, is_long=is_long or bool(group))


@hagroup.command("add")
@click.argument("group", required=False)
@click.option(
    "-f", "--json-file", required=True, metavar="FILE", help="JSON that describes the group; - is standard input."
)
@click.option("-y", "--yes", is_flag=True, help="Replace a group that exists without asking.")
@options.url
@common
def add(*, group: str | None, json_file: str, yes: bool, url: str, given: Given) -> None:
    """Create an HA group, or replace one and all its members.

    The name comes from GROUP or from the file. If the group exists, a person sees the changes and
    is asked to confirm them; scripts continue.
    """

    async def work(session: Session) -> Outcome:
        file = files.read(_content(json_file), os.environ, json_file)
        return await groups.add(session, group, file, says_yes=yes, coordinator=url)

    _show(given, work)


@hagroup.command("remove")
@click.argument("group")
@force
@options.url
@common
def remove(*, group: str, force: bool, url: str, given: Given) -> None:
    """Remove an HA group. Shows the consequences for running upgrades first."""
    _show(given, lambda session: groups.remove(session, group, is_forced=force, coordinator=url))


@hagroup.group("member", cls=HznGroup)
def member() -> None:
    """Add, remove and move members of an HA group."""


@member.command("add")
@click.argument("group")
@_nodes
@common
def member_add(*, group: str, node_names: tuple[str, ...], given: Given) -> None:
    """Add nodes to an HA group."""
    _show(given, lambda session: members.add(session, group, node_names))


@member.command("remove")
@click.argument("group")
@_nodes
@force
@options.url
@common
def member_remove(*, group: str, node_names: tuple[str, ...], force: bool, url: str, given: Given) -> None:
    """Remove nodes from an HA group. Shows the consequences for running upgrades first."""
    _show(given, lambda session: members.remove(session, group, node_names, is_forced=force, coordinator=url))


@member.command("move")
@click.argument("group")
@_nodes
@force
@options.url
@common
def member_move(*, group: str, node_names: tuple[str, ...], force: bool, url: str, given: Given) -> None:
    """Move nodes from their present HA groups to this one. A move that fails halfway is undone."""
    _show(given, lambda session: members.move(session, group, node_names, is_forced=force, coordinator=url))


def _content(source: str) -> str:
    """Read a file, or standard input for `-`.

    Raises:
        Failure: it cannot be read.
    """
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            Exit.BAD_FILE,
            tried=f"reading {source}",
            problem=f"the file cannot be read: {getattr(error, 'strerror', None) or error}",
            next_step="name a file with the JSON of the group, or - for standard input",
        ) from error


def _show(given: Given, work: Callable[[Session], Awaitable[Outcome]]) -> None:
    """Do the work, and print its outcome."""
    outcome = given.run(work)
    if given.as_json:
        screen.print_json(asdict(outcome))
    elif outcome.text:
        say(outcome.text)
