"""`agbot status`: the coordinator, what needs a person, and every busy group, of one moment.

The exit code states it for programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from agbot.cli import options, screen, watching
from agbot.cli.client import Client
from agbot.cli.failure import Exit
from agbot.console import api, availability
from agbot.console.answers import CoordinatorView, Status
from agbot.coordinator.contract import GroupView, Overview
from agbot.rules import words
from agbot.rules.leadership import Position
from agbot.rules.reasons import Reason
from agbot.rules.records import Hold
from agbot.rules.words import apart, span

_SHOWN: Final = 100


@click.command("status")
@click.argument("where", metavar="[ORG|ORG/GROUP]", required=False)
@click.option("--all", "show_all", is_flag=True, help="Show idle groups too.")
@click.option(
    "--limit", type=click.IntRange(1, 250), default=_SHOWN, show_default=True, help="Show at most this many groups."
)
@options.watch
@options.interval
@options.url
@options.as_json
def status(
    *, where: str | None, show_all: bool, limit: int, watch: bool, interval: float, url: str, as_json: bool
) -> None:
    """Show the coordinator and every busy group.

    With ORG or ORG/GROUP, only that organisation's groups are shown, or that group. Everything is
    as of the same moment. The exit code is 0 if all is well, 6 if something needs a person, and 9
    if nothing is granted: not ready, or no leader. Holds, and members that have never asked, do not
    change it.
    """
    client, named = Client(url=url), {"group" if "/" in where else "org": where} if where is not None else {}

    def ask() -> bytes:
        return client.get(api.STATUS, limit=limit, state=None if show_all else "busy", **named)

    def draw(out: Console) -> int:
        found = client.decoded(ask(), api.STATUS)
        _write(out, found, is_part=where is not None)
        return _exit_code(found)

    if watch:
        watching.watch_json(ask, interval) if as_json else watching.watch(draw, interval)
    elif as_json:
        content = ask()
        screen.print_answer(content)
        raise SystemExit(_exit_code(client.decoded(content, api.STATUS)))
    else:
        raise SystemExit(draw(screen.console()))


def _exit_code(found: Status) -> int:
    if not (found.ready and any(each.leads for each in found.coordinators)):
        return Exit.NOTHING_GRANTED
    return Exit.NEEDS_A_PERSON if any(each.needs_a_person for each in found.attention) else Exit.OK


def _write(out: Console, found: Status, *, is_part: bool) -> None:
    now = found.at
    _write_coordinators(out, found.coordinators, now)
    if found.position is Position.LEADING:
        _write_overview(out, found, now)
    # why it is not ready has been printed above, by a leader
    stated = found.not_ready if found.position is Position.LEADING and not found.ready else ()
    for item in found.attention:
        if item.text not in stated:
            screen.item(out, item)
    if found.position is not Position.LEADING:
        return  # one that stands by has read neither leases nor groups
    if not is_part:
        _write_organisations(out, found, now)
    _write_groups(out, found, now, is_part=is_part)


def _write_coordinators(out: Console, coordinators: Sequence[CoordinatorView], now: datetime) -> None:
    """Print who leads since when, if there is more than one, or none that leads."""
    if len(coordinators) <= 1 and any(each.leads for each in coordinators):
        return
    rows = [
        (each.name, _position(each, now), f"{span(each.seen_seconds_ago)} ago", each.gateway_url, each.version)
        for each in coordinators
    ]
    screen.table(out, ("COORDINATOR", "POSITION", "LAST SEEN", "GATEWAY", "VERSION"), rows)
    if not any(each.leads for each in coordinators) and all(each.is_known for each in coordinators):
        screen.say(out, ("NO LEADER", "bold red"), ": questions are refused until a coordinator leads", indent=2)
    out.print()


def _position(each: CoordinatorView, now: datetime) -> str:
    if not each.is_known:
        return f"not known (led, epoch {each.epoch})" if each.leads else "not known"
    if each.leads:
        since = f" for {apart(each.since, now)}" if each.since else ""
        return f"leads{since}, epoch {each.epoch}"
    return "GONE" if each.is_gone else "stands by"


def _write_shadow(out: Console, overview: Overview) -> None:
    """Print what was compared in shadow mode."""
    found = "none of them" if not overview.differs else f"{overview.differs} of them (`agbot shadow` lists them)"
    compared = f"Compared {overview.compared} decisions of the agbot since the start"
    text = f": nothing is granted. {compared}; the coordinator decided {found} differently"
    screen.say(out, ("SHADOW MODE", "bold yellow"), text, indent=2)


def _write_overview(out: Console, overview: Overview, now: datetime) -> None:
    if overview.mode == "shadow":
        _write_shadow(out, overview)
    if overview.ready:
        # without the counts of that cycle; present ones follow
        done = overview.sentence.rpartition("; ")[0] or overview.sentence
        screen.say(out, ("ready", "bold green"), f"; last cycle: {done}", indent=2)
    for sentence in [] if overview.ready else overview.not_ready or ["no reason given"]:
        screen.say(out, ("NOT READY", "bold red"), f": {sentence}", indent=2)
    age = overview.view_age_seconds
    view = f"the Exchange was read {span(age)} ago" if age is not None else "the Exchange has not been read yet"
    store = "the store works" if overview.store_ok else "the store cannot be used"
    cycle = f"last cycle {screen.ago(overview.cycle_at, now)}" if overview.cycle_at else "no cycle yet"
    screen.say(out, f"{view}; {store}; {cycle}", indent=2)
    counts = (
        ("held", overview.held, ""),
        ("suspect", overview.suspect, "bold red"),
        ("waiting", overview.waiting, ""),
        ("deferred", overview.deferred, ""),
        ("overlaps", overview.overlaps, "bold red"),
        ("brakes", overview.brakes, "bold red"),
        ("holds", overview.holds, "yellow"),
        ("stuck", overview.stuck, "bold red"),
    )
    shown = (Text(f"{name} {number}", style=style if number else "") for name, number, style in counts)
    screen.say(out, Text(", ").join(shown), indent=2)
    if overview.agbot == "none":
        text = "upgrades that the agbot begins by itself are not known: set [agbot] api to its local API"
        screen.say(out, (text, "yellow"), indent=2)


def _write_organisations(out: Console, overview: Overview, now: datetime) -> None:
    rows = [
        (
            each.org,
            str(each.groups),
            str(each.members),
            each.failing or (f"last full read {screen.ago(each.read_at, now)}" if each.read_at else "not read yet"),
        )
        for each in overview.orgs
    ]
    if rows:
        out.print()
        screen.table(out, ("ORGANISATION", "GROUPS", "MEMBERS", "STATE"), rows)


def _write_groups(out: Console, found: Status, now: datetime, *, is_part: bool) -> None:
    for group in found.groups:
        out.print()
        _write_group(out, group, now)
    out.print()
    if not found.known and not found.total:
        out.print("no HA group is known")
    elif found.total > len(found.groups):
        screen.say(out, f"{len(found.groups)} of {found.total} groups are shown: --limit, or name one", indent=2)
    elif found.total < found.known and not is_part:
        screen.say(out, f"idle: {found.known - found.total} of {found.known} groups (--all shows them)", indent=2)


def _write_group(out: Console, group: GroupView, now: datetime) -> None:
    screen.say(out, (group.id, "bold"), f"  {_members(group, now)}", indent=2)
    for label, text, style in _lines(group, now):
        screen.labelled(out, label, text, style)


def _members(group: GroupView, now: datetime) -> str:
    since = availability.availability(group).since
    known = availability.in_words(
        group, "" if since is None else f"{screen.short_moment(since, now)} ({screen.ago(since, now)})"
    )
    return f"{known}; {group.required} must stay available ({group.required_by})" if group.required else known


def _lines(group: GroupView, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Yield the lines of a group, as label, text and style."""
    lease = group.lease
    yield lease.state, screen.lease(lease, now), {"held": "green", "suspect": "bold red"}.get(lease.state, "")
    for wait in group.waiting:
        asked = (
            f"when it last asked, {screen.ago(wait.asked_at, now)}"
            if wait.asked_at is not None
            else "it has not asked this coordinator yet"
        )
        text = f"{wait.node}, {wait.kind} upgrade {wait.subject}, for {apart(wait.since, now)}; {asked}: {_why(wait.reasons)}"
        yield "waiting", text, ""
    for brake in group.brakes:
        yield "brake", f"{brake.subject}: {brake.cause} on {brake.node} {screen.ago(brake.since, now)}", "bold red"
    for row in group.stuck:
        defect = f" ({row.defect})" if row.defect else ""
        yield (
            "stuck",
            f"the agbot's row of {row.node} for {row.subject}{defect}: {row.why}; cure: {row.cure}",
            "bold red",
        )
    for hold in group.holds:
        if "/" in hold.scope:
            yield "hold", _hold(hold), "yellow"
    for member in group.members:
        if member.deferred_for:
            yield "deferred", f"{member.node} until {member.deferred_for} has ended", ""
        elif member.available is False and not member.holds_lease:
            yield "missing", f"{member.node}: {member.why_unavailable}", "yellow"
        elif member.available is None and member.why_unavailable and member.read_at is not None:
            then = screen.short_moment(member.read_at, now)
            yield "not read", f"{member.node}: when it was last read, {then}: {member.why_unavailable}", "yellow"


def _hold(hold: Hold) -> str:
    until = f" until {screen.moment(hold.until)}" if hold.until else ""
    return f"on {words.scope(hold.scope)}{until}, by {hold.by}: {hold.why}"


def _why(reasons: Sequence[Reason]) -> str:
    """Write the first reason in words, and the codes of all."""
    codes = f"[{', '.join(reason.code for reason in reasons)}]"
    return f"{reasons[0].text} {codes}" if reasons else "it asks again"
