"""Commands that change something: `agbot release`, `hold`, `resume`, `allow`, `approve`, `lead`.

Each needs the operator token and a reason, and is journalled with the user's name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from agbot.cli import options, screen, times
from agbot.cli.client import Client, decode, operator_token
from agbot.clock import SystemClock
from agbot.coordinator.contract import Done, GroupView
from agbot.rules.ids import STORE_SCOPE, node_id, node_scope

F = TypeVar("F", bound=Callable[..., Any])


@click.command("release")
@click.argument("group")
@click.option("--token", type=click.IntRange(min=1), help="Free only the grant with this token (see `agbot leases`).")
@options.says_yes
@options.reason
@options.org
@options.token_file
@options.url
@options.as_json
def release(
    *,
    group: str,
    token: int | None,
    yes: bool,
    reason: str,
    org: str | None,
    token_file: Path | None,
    url: str,
    as_json: bool,
) -> None:
    """Free a group's lease by force.

    GROUP is org/name, or a name with -o. Shows who holds the lease and when that node was last
    alive, and asks. Make sure that the holder's upgrade is really over: the next member begins at
    once. With --token, nothing is freed if the lease has been granted again in the meantime.
    """
    org_name, name = options.qualified(group, org, "group")
    if not yes:
        client = Client(url=url)
        shown = decode(client.get("v1", "groups", org_name, name), GroupView, url)
        if shown.lease.holder is not None:
            options.confirm(screen.clean(_held(shown, client.now())), "Release it?", yes=yes)
            token = token or shown.lease.token  # a later grant was not asked about
    body = {"reason": reason, "token": token, "by": options.person()}
    _send(url, ("v1", "leases", org_name, name, "release"), body, token_file, as_json=as_json)


def _held(group: GroupView, now: datetime) -> str:
    """Return who holds the lease, and what shows whether that node still upgrades."""
    lease = group.lease
    beat = next((each.heartbeat_at for each in group.members if each.node == lease.holder), None)
    alive = f"its last heartbeat was {screen.ago(beat, now)}" if beat else "when it was last alive is not known"
    status = f", and it reports {lease.status!r}" if lease.status else ""
    return (
        f"{lease.holder} holds the lease of {group.id} for {lease.what}, token {lease.token}, "
        f"granted {screen.ago(lease.granted_at, now)}; {alive}{status}. The next member may begin at once."
    )


def scope(command: F) -> F:
    """Add the scope: SCOPE, or one of the options."""
    for option in (
        options.org,
        click.option("--node", "node", metavar="NODE", help="A single node."),
        click.option("--group", "group", metavar="GROUP", help="A group."),
        click.argument("scope", required=False),
    ):
        command = option(command)
    return command


def scope_of(given: str | None, group: str | None, node: str | None, org: str | None) -> str:
    """Return the scope in the coordinator's notation.

    Raises:
        click.UsageError: there is none, more than one, or a name without its organisation.
    """
    named = [each for each in (given, group, node) if each]
    if len(named) != 1:
        raise click.UsageError(
            "give one scope: '*' for the fleet, ORG, ORG/GROUP, --group GROUP or --node NODE; -o only completes names."
        )
    if node:
        return node_scope(node_id(*options.qualified(node, org, "node")))
    return "/".join(options.qualified(group, org, "group")) if group else named[0]


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
    org: str | None,
    group: str | None,
    node: str | None,
    until: str | None,
    reason: str,
    token_file: Path | None,
    url: str,
    as_json: bool,
) -> None:
    """Stop new grants for the fleet, an organisation, a group or a node.

    SCOPE is '*', an organisation, or org/group. Running upgrades continue.
    """
    ends = times.future(until, SystemClock().now(), "--until") if until else None
    where = scope_of(scope, group, node, org)
    body = {"scope": where, "reason": reason, "until": ends.isoformat() if ends else None, "by": options.person()}
    _send(url, ("v1", "holds"), body, token_file, as_json=as_json)


@click.command("resume")
@scope
@click.option("--store", is_flag=True, help="Resume grants although the lease store is not the one used last.")
@click.option("--rest", is_flag=True, help="End the rest after the last upgrade there, instead of a hold.")
@click.option("--subject", help="Lift the brakes on this policy there, instead of ending a hold.")
@options.reason
@options.token_file
@options.url
@options.as_json
def resume(
    *,
    scope: str | None,
    org: str | None,
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

    SCOPE is the scope of the hold: '*', an organisation, or org/group. With --subject it is where
    the upgrade may continue. With --store and no scope, you state that a replaced lease store has
    lost no running upgrade: grants then do not wait until every organisation has been read.
    """
    where = scope_of(STORE_SCOPE if store else scope, group, node, org)
    body = {
        "scope": where,
        "subject": options.qualified_name(subject, org, "policy"),
        "rest": rest,
        "reason": reason,
        "by": options.person(),
    }
    _send(url, ("v1", "resume"), body, token_file, as_json=as_json)


@click.command("allow")
@click.argument("node")
@click.option("--subject", help="Only for this policy, not for the next upgrade in general.")
@click.option("--until", default="24h", show_default=True, help="When it expires unused: 2h, 3d, or a time.")
@click.option("--withdraw", is_flag=True, help="Take the node's allowance back.")
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
    withdraw: bool,
    reason: str,
    org: str | None,
    token_file: Path | None,
    url: str,
    as_json: bool,
) -> None:
    """Let one upgrade of a node past health, window, brakes, approval, canary, pace and turn, once.

    NODE is org/name, or a name with -o. Never past the lease or the rest of another member, nor
    past a hold. The node's next grant uses it up, needed or not. `agbot orders` lists allowances.
    """
    body = {"node": options.qualified_name(node, org, "node"), "reason": reason, "by": options.person()}
    if not withdraw:
        body["subject"] = options.qualified_name(subject, org, "policy")
        body["until"] = times.future(until, SystemClock().now(), "--until").isoformat()
    _send(url, ("v1", "allowances", *_withdrawn(withdraw)), body, token_file, as_json=as_json)


@click.command("approve")
@scope
@click.option("--subject", required=True, help="The policy, as it is published now.")
@click.option("--service", is_flag=True, help="It is a deployment policy, not a node management policy.")
@click.option("--withdraw", is_flag=True, help="Take the approval back; groups that have begun go on.")
@options.reason
@options.token_file
@options.url
@options.as_json
def approve(
    *,
    scope: str | None,
    org: str | None,
    group: str | None,
    node: str | None,
    subject: str,
    service: bool,
    withdraw: bool,
    reason: str,
    token_file: Path | None,
    url: str,
    as_json: bool,
) -> None:
    """Let an upgrade begin where the settings require an approval.

    SCOPE is '*', an organisation, or org/group. `agbot orders` lists approvals.
    """
    if node:
        raise click.UsageError("an approval is for a group, an organisation or the fleet; `agbot allow` is for a node.")
    kind = "service" if service else "agent"
    where = scope_of(scope, group, node, org)
    body = {
        "scope": where,
        "subject": options.qualified_name(subject, org, "policy"),
        "kind": kind,
        "reason": reason,
        "by": options.person(),
    }
    _send(url, ("v1", "approvals", *_withdrawn(withdraw)), body, token_file, as_json=as_json)


def _withdrawn(withdraw: bool) -> tuple[str, ...]:
    return ("withdraw",) if withdraw else ()


@click.command("lead")
@click.argument("coordinator", required=False)
@options.says_yes
@options.reason
@options.token_file
@options.url
@options.as_json
def lead(*, coordinator: str | None, yes: bool, reason: str, token_file: Path | None, url: str, as_json: bool) -> None:
    """Let another coordinator on the same PostgreSQL store lead.

    COORDINATOR is its name in `agbot status`; without one, any other may. The present leader
    finishes its writes, and nothing is granted for about a second. Leases stay with their holders.
    """
    options.confirm("Nothing is granted for a moment.", f"Let {coordinator or 'another coordinator'} lead?", yes=yes)
    _send(
        url, ("v1", "lead"), {"to": coordinator, "reason": reason, "by": options.person()}, token_file, as_json=as_json
    )


def _send(url: str, path: tuple[str, ...], body: dict[str, Any], token_file: Path | None, *, as_json: bool) -> None:
    content = Client(url=url).post(*path, body=body, token=operator_token(token_file))
    if as_json:
        screen.print_answer(content)
    else:
        screen.say(screen.console(), decode(content, Done, url).text, indent=2)
