"""What a person may do: `agbot release`, `hold`, `resume`, `allow`, `approve`.

Each needs the operator token and a reason, and is written down with a name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from agbot.cli import options, screen, times
from agbot.cli.client import Client, decode, operator_token
from agbot.clock import SystemClock
from agbot.coordinator.contract import Done
from agbot.rules import ids

F = TypeVar("F", bound=Callable[..., Any])


@click.command("release")
@click.argument("group")
@click.option("--token", type=click.IntRange(min=1), help="Free only the grant with this token (see `agbot leases`).")
@options.reason
@options.org
@options.token_file
@options.url
@options.as_json
def release(
    *, group: str, token: int | None, reason: str, org: str | None, token_file: Path | None, url: str, as_json: bool
) -> None:
    """Free a group's lease by force.

    GROUP is org/name, or a name with -o. Make sure that the holder's upgrade is really over: the next member goes at once. With --token
    nothing is freed if the lease has been granted anew meanwhile.
    """
    org_name, name = options.qualified(group, org, "group")
    body = {"reason": reason, "token": token, "by": options.person()}
    _carry_out(url, ("v1", "leases", org_name, name, "release"), body, token_file, as_json=as_json)


def scope(command: F) -> F:
    """Add the ways to say where something holds: SCOPE, or one of the options."""
    for option in (
        click.option("--node", "node", metavar="NODE", help="A single node, org/name."),
        click.option("--group", "group", metavar="GROUP", help="A group, org/name."),
        click.option("--org", "organisation", metavar="ORG", help="An organisation."),
        click.argument("scope", required=False),
    ):
        command = option(command)
    return command


def scope_of(given: str | None, organisation: str | None, group: str | None, node: str | None) -> str:
    """Return the one scope that was named, as the coordinator writes it.

    Raises:
        click.UsageError: none was named, more than one, or a name without its organisation.
    """
    named = [each for each in (given, organisation, group, node) if each]
    if len(named) != 1:
        raise click.UsageError("name one scope: '*' for everything, --org ORG, --group ORG/GROUP or --node ORG/NODE.")
    for option, name in (("--group", group), ("--node", node)):
        if name and not all(name.partition("/")):
            raise click.UsageError(f"{option} {name!r} is not org/name.")
    return f"node:{node}" if node else named[0]


@click.command("hold")
@scope
@click.option("--until", help="When it ends by itself: 2h, 3d, or a time such as 2026-01-31T18:00 (local) or …Z.")
@options.reason
@options.token_file
@options.url
@options.as_json
def hold(
    *,
    scope: str | None,
    organisation: str | None,
    group: str | None,
    node: str | None,
    until: str | None,
    reason: str,
    token_file: Path | None,
    url: str,
    as_json: bool,
) -> None:
    """Stop new grants for everything, an organisation, a group or a node.

    SCOPE is '*', an organisation, or org/group. Running upgrades go on.
    """
    ends = times.coming(until, SystemClock().now(), "--until") if until else None
    where = scope_of(scope, organisation, group, node)
    body = {"scope": where, "reason": reason, "until": ends.isoformat() if ends else None, "by": options.person()}
    _carry_out(url, ("v1", "holds"), body, token_file, as_json=as_json)


@click.command("resume")
@scope
@click.option("--store", is_flag=True, help="Let grants go on although the lease store is not the one used last.")
@click.option("--rest", is_flag=True, help="End the rest after the last upgrade there, instead of a hold.")
@click.option("--subject", help="Lift the brakes on this policy (org/name) there, instead of ending a hold.")
@options.reason
@options.token_file
@options.url
@options.as_json
def resume(
    *,
    scope: str | None,
    organisation: str | None,
    group: str | None,
    node: str | None,
    store: bool,
    rest: bool,
    subject: str | None,
    reason: str,
    token_file: Path | None,
    url: str,
    as_json: bool,
) -> None:
    """End a hold or a rest, or lift the brakes on an upgrade.

    SCOPE is what was held: '*', an organisation, or org/group. With --subject, where the upgrade may go on. With --store, and no scope, you
    say that no upgrade is under way that a replaced lease store has forgotten: nobody waits for the look at every organisation then.
    """
    where = scope_of(ids.STORE_SCOPE if store else scope, organisation, group, node)
    body = {"scope": where, "subject": subject, "rest": rest, "reason": reason, "by": options.person()}
    _carry_out(url, ("v1", "resume"), body, token_file, as_json=as_json)


@click.command("allow")
@click.argument("node")
@click.option("--subject", help="Only for this policy (org/name), not for whichever upgrade comes next.")
@click.option("--until", default="24h", show_default=True, help="When it lapses unused: 2h, 3d, or a time.")
@options.reason
@options.org
@options.token_file
@options.url
@options.as_json
def allow(
    *,
    node: str,
    subject: str | None,
    until: str,
    reason: str,
    org: str | None,
    token_file: Path | None,
    url: str,
    as_json: bool,
) -> None:
    """Let one upgrade of a node past health, window, brakes, approval, canary, pace and turn, once.

    NODE is org/name, or a name with -o. Never past the lease or the rest of another member, nor past a hold. Used up by the node's next
    grant, whether that needed it or not.
    """
    name = "/".join(options.qualified(node, org, "node"))
    ends = times.coming(until, SystemClock().now(), "--until")
    body = {"node": name, "subject": subject, "reason": reason, "until": ends.isoformat(), "by": options.person()}
    _carry_out(url, ("v1", "allowances"), body, token_file, as_json=as_json)


@click.command("approve")
@scope
@click.option("--subject", required=True, help="The policy, org/name, as it is published now.")
@click.option("--service", is_flag=True, help="It is a deployment policy, not a node management policy.")
@options.reason
@options.token_file
@options.url
@options.as_json
def approve(
    *,
    scope: str | None,
    organisation: str | None,
    group: str | None,
    node: str | None,
    subject: str,
    service: bool,
    reason: str,
    token_file: Path | None,
    url: str,
    as_json: bool,
) -> None:
    """Let a release begin where the settings ask for a person's word.

    SCOPE is '*', an organisation, or org/group.
    """
    if node:
        raise click.UsageError(
            "an approval is for a group, an organisation or everything; `agbot allow` is for a node."
        )
    kind = "service" if service else "agent"
    where = scope_of(scope, organisation, group, node)
    body = {"scope": where, "subject": subject, "kind": kind, "reason": reason, "by": options.person()}
    _carry_out(url, ("v1", "approvals"), body, token_file, as_json=as_json)


def _carry_out(
    url: str, path: tuple[str, ...], body: dict[str, Any], token_file: Path | None, *, as_json: bool
) -> None:
    content = Client(url=url).post(*path, body=body, token=operator_token(token_file))
    if as_json:
        screen.print_answer(content)
    else:
        click.echo(screen.clean(decode(content, Done, url).text))
