"""What the commands that change something share: who orders it and why, and where it applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from agbot.cli import options, screen
from agbot.cli.client import Client
from agbot.console.api import Endpoint
from agbot.rules.ids import STORE_SCOPE, node_id, node_scope

Command = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The options of each of these commands."""

    reason: str
    token_file: Path | None
    url: str
    as_json: bool

    def send(self, endpoint: Endpoint[Any], *names: str, **fields: object) -> None:
        """Send the order with the operator token and the user's name, and print what was done.

        Raises:
            Failure: it was not carried out.
        """
        if endpoint.body is None:
            raise TypeError(f"{endpoint.path} takes no order")
        client, body = Client(url=self.url), endpoint.body(reason=self.reason, by=options.person(), **fields)
        content = client.post(endpoint, *names, body=body, token_file=self.token_file)
        if self.as_json:
            screen.print_answer(content)
        else:
            screen.say(screen.console(), client.decoded(content, endpoint).text, indent=2)


def order(command: Command) -> Command:
    """Add the options of each of these commands, as the parameter `order`."""

    @wraps(command)
    def gathered(*, reason: str, token_file: Path | None, url: str, as_json: bool, **own: object) -> None:
        command(order=Order(reason=reason, token_file=token_file, url=url, as_json=as_json), **own)

    for option in (options.as_json, options.url, options.token_file, options.reason):
        gathered = option(gathered)
    return gathered


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an order applies: SCOPE, or one of the options."""

    scope: str | None
    group: str | None
    org: str | None
    node: str | None
    options: str
    """Those that this command has."""

    def named(self, *, store: bool = False) -> str:
        """Return the scope in the coordinator's notation.

        Raises:
            click.UsageError: there is none, more than one, or a name without its organisation.
        """
        named = [each for each in (STORE_SCOPE if store else None, self.scope, self.group, self.node) if each]
        if store and len(named) > 1:
            raise click.UsageError("--store is for the whole lease store: give no scope with it.")
        # two are not one scope inside the other: the smaller one would have been meant, or both
        if len(named) != 1:
            raise click.UsageError(
                f"give one scope: '*' for the fleet, ORG, ORG/GROUP, {self.options}; -o only completes names."
            )
        if self.node:
            return node_scope(node_id(*options.qualified(self.node, self.org, "node")))
        return "/".join(options.qualified(self.group, self.org, "group")) if self.group else named[0]


def place(command: Command) -> Command:
    """Add SCOPE and the options in its place, as the parameter `place`."""
    return click.option("--node", metavar="NODE", help="A single node.")(
        _placed(command, "--group GROUP or --node NODE")
    )


def place_of_groups(command: Command) -> Command:
    """Add the same, but for a command that takes no single node."""
    return _placed(command, "or --group GROUP")


def _placed(command: Command, named: str) -> Command:
    @wraps(command)
    def gathered(
        *, scope: str | None, group: str | None, org: str | None, node: str | None = None, **own: object
    ) -> None:
        command(place=Place(scope=scope, group=group, org=org, node=node, options=named), **own)

    for option in (
        options.org,
        click.option("--group", metavar="GROUP", help="A group."),
        click.argument("scope", required=False),
    ):
        gathered = option(gathered)
    return gathered
