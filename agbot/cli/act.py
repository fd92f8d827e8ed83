"""`agbot release`, `hold`, `resume`: what a person may do. Each needs the operator token and a reason, and is written down with a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agbot.cli import options, screen, times
from agbot.cli.client import Client, decode, operator_token
from agbot.clock import SystemClock
from agbot.coordinator.contract import Done


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


@click.command("hold")
@click.argument("scope")
@click.option("--until", help="When it ends by itself: 2h, 3d, or a time such as 2026-01-31T18:00 (local) or …Z.")
@options.reason
@options.token_file
@options.url
@options.as_json
def hold(*, scope: str, until: str | None, reason: str, token_file: Path | None, url: str, as_json: bool) -> None:
    """Stop new grants for everything, an organisation or a group.

    SCOPE is '*', an organisation, or org/group. Running upgrades go on.
    """
    ends = times.coming(until, SystemClock().now(), "--until") if until else None
    body = {"scope": scope, "reason": reason, "until": ends.isoformat() if ends else None, "by": options.person()}
    _carry_out(url, ("v1", "holds"), body, token_file, as_json=as_json)


@click.command("resume")
@click.argument("scope")
@click.option(
    "--subject", help="Lift the brake on this policy (org/name) in the group SCOPE, instead of ending a hold."
)
@options.reason
@options.token_file
@options.url
@options.as_json
def resume(*, scope: str, subject: str | None, reason: str, token_file: Path | None, url: str, as_json: bool) -> None:
    """End a hold, or lift the brake on an upgrade in a group.

    SCOPE is what was held: '*', an organisation, or org/group.
    """
    body = {"scope": scope, "subject": subject, "reason": reason, "by": options.person()}
    _carry_out(url, ("v1", "resume"), body, token_file, as_json=as_json)


def _carry_out(
    url: str, path: tuple[str, ...], body: dict[str, Any], token_file: Path | None, *, as_json: bool
) -> None:
    content = Client(url=url).post(*path, body=body, token=operator_token(token_file))
    if as_json:
        screen.print_json(content)
    else:
        click.echo(screen.clean(decode(content, Done, url).text))
