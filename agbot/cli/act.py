"""Commands that change something: `agbot release`, `hold`, `resume`, `allow`, `approve`, `lead`.

Each needs the operator token and a reason, and is journalled with the user's name.
"""

from __future__ import annotations

from datetime import datetime

import click

from agbot.cli import options, screen, times
from agbot.cli.client import Client
from agbot.cli.failure import Exit, Failure
from agbot.cli.ordering import Order, Place, order, place, place_of_groups
from agbot.console import api, release_safety
from agbot.coordinator.contract import GroupView
from agbot.rules.lease import Kind


@click.command("release")
@click.argument("group")
@click.option("--token", type=click.IntRange(min=1), help="Free only the grant with this token (see `agbot leases`).")
@options.yes
@options.org
@order
def release(*, group: str, token: int | None, yes: bool, org: str | None, order: Order) -> None:
    """Free a group's lease by force.

    GROUP is org/name, or a name with -o. It shows who holds the lease and when that node was last
    alive, and asks. Make sure that the holder's upgrade is really over: the next member begins at
    once. With --token, nothing is freed if the lease has been granted again in the meantime.
    """
    names = options.qualified(group, org, "group")
    if not yes:
        client = Client(url=order.url)
        shown = client.read(api.GROUP, *names)
        if shown.lease.holder is None:
            # the request is not sent: it would free a grant of this moment, which was not shown
            raise _not_held(shown)
        options.confirm(screen.clean(_held(shown, client.now())), "Release it?", yes=yes)
        token = token or shown.lease.token  # a later grant was not asked about
    order.send(api.RELEASE, *names, token=token)


def _not_held(group: GroupView) -> Failure:
    return Failure(
        Exit.REFUSED,
        tried=f"releasing the lease of {group.id}",
        problem=f"no node holds the lease of {group.id}; nothing was changed",
        next_step="`agbot leases` lists the leases that are held",
    )


def _held(group: GroupView, now: datetime) -> str:
    """Return who holds the lease, and whether it is safe to release it."""
    lease = group.lease
    return (
        f"{lease.holder} holds the lease of {group.id} for {lease.what}, token {lease.token}, "
        f"granted {screen.ago(lease.granted_at, now)}. {release_safety.verdict(group, now)} "
        "The next member may begin at once."
    )


@click.command("hold")
@place
@click.option("--until", help="When the hold ends by itself: 2h, 3d, or a time such as 2026-01-31T18:00 (local) or …Z.")
@order
def hold(*, place: Place, until: str | None, order: Order) -> None:
    """Stop new grants for the fleet, an organisation, a group or a node.

    SCOPE is '*', an organisation, or org/group. Running upgrades continue.
    """
    scope = place.named()
    order.send(api.HOLD, scope=scope, until=_end(until, order) if until else None)


def _end(until: str, order: Order) -> datetime:
    return times.future(until, Client(url=order.url).present, "--until")


@click.command("resume")
@place
@click.option("--store", is_flag=True, help="Resume grants although the lease store is not the one used last.")
@click.option("--rest", is_flag=True, help="End the rest after the last upgrade there, instead of a hold.")
@click.option("--subject", help="Lift the brakes on this policy there, instead of ending a hold.")
@order
def resume(*, place: Place, store: bool, rest: bool, subject: str | None, order: Order) -> None:
    """End a hold or a rest, or lift the brakes on an upgrade.

    SCOPE is the scope of the hold: '*', an organisation, or org/group. With --subject it is where
    the upgrade may continue. With --store and no scope, you state that a replaced lease store has
    lost no running upgrade: grants then do not wait until every organisation has been read.
    """
    # the coordinator would end one of them and say nothing of the others
    given = [name for name, is_given in (("--store", store), ("--rest", rest), ("--subject", subject)) if is_given]
    if len(given) > 1:
        raise click.UsageError(f"give one of {' and '.join(given)}: each ends something else.")
    where = place.named(store=store)
    order.send(api.RESUME, scope=where, subject=options.qualified_name(subject, place.org, "policy"), rest=rest)


@click.command("allow")
@click.argument("node")
@click.option("--subject", help="Only for this policy; otherwise for its next upgrade, whichever that is.")
@click.option("--until", default="24h", show_default=True, help="When it expires if unused: 2h, 3d, or a time.")
@click.option("--withdraw", is_flag=True, help="Take the node's allowance back.")
@options.org
@order
def allow(*, node: str, subject: str | None, until: str, withdraw: bool, org: str | None, order: Order) -> None:
    """Let one upgrade of a node past health, window, brakes, approval, canary, pace and turn, once.

    NODE is org/name, or a name with -o. An allowance never passes the lease or the rest of another
    member, a hold, or a brake that is set later. The node's next grant uses it up, needed or not.
    `agbot orders` lists allowances.
    """
    name = options.qualified_name(node, org, "node")
    if withdraw:
        # --until always has a value, its default: only one that was typed would be ignored here
        source = click.get_current_context().get_parameter_source("until")
        if subject is not None or source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--withdraw takes the node's only allowance back: leave out --subject and --until.")
        order.send(api.WITHDRAW_ALLOWANCE, node=name)
        return
    policy = options.qualified_name(subject, org, "policy")
    order.send(api.ALLOW, node=name, subject=policy, until=_end(until, order))


@click.command("approve")
@place_of_groups
@click.option("--subject", required=True, help="The policy, as it is published now.")
@click.option("--service", is_flag=True, help="The policy is a deployment policy, not a node management policy.")
@click.option("--withdraw", is_flag=True, help="Take the approval back; groups that have begun go on.")
@order
def approve(*, place: Place, subject: str, service: bool, withdraw: bool, order: Order) -> None:
    """Let an upgrade begin where the settings require an approval.

    SCOPE is '*', an organisation, or org/group; `agbot allow` is for a single node. `agbot orders`
    lists approvals.
    """
    order.send(
        api.WITHDRAW_APPROVAL if withdraw else api.APPROVE,
        scope=place.named(),
        subject=options.qualified_name(subject, place.org, "policy"),
        kind=Kind.SERVICE if service else Kind.AGENT,
    )


@click.command("lead")
@click.argument("coordinator", required=False)
@options.yes
@order
def lead(*, coordinator: str | None, yes: bool, order: Order) -> None:
    """Let another coordinator on the same PostgreSQL store lead.

    COORDINATOR is its name in `agbot status`; without it, any other may. The present leader
    finishes its writes, and nothing is granted for about a second. Leases stay with their holders.
    """
    options.confirm("Nothing is granted for a moment.", f"Let {coordinator or 'another coordinator'} lead?", yes=yes)
    order.send(api.LEAD, to=coordinator)
