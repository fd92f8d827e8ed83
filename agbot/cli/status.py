"""`agbot status`: the coordinator at one glance, and every group where something happens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.text import Text

from agbot.cli import options, screen
from agbot.cli.client import Client, decode
from agbot.coordinator.contract import GroupView, Overview
from agbot.rules import words
from agbot.rules.facts import Pause

_AGBOT_FAILS: Final[Mapping[str, str]] = {
    "nobody-there": "no agbot runs where [agbot] api says; what it had begun is still waited for",
    "unreadable": "the agbot's local API cannot be read, so agent upgrades wait",
}
_LABEL: Final = 10


class _Groups(msgspec.Struct):
    groups: list[GroupView]


@click.command("status")
@click.option("--all", "show_all", is_flag=True, help="Show the groups where nothing happens too.")
@options.url
@options.as_json
def status(show_all: bool, url: str, as_json: bool) -> None:
    """Show the coordinator and every group where something happens."""
    client = Client(url=url)
    health = client.get("healthz")
    content = client.get("v1", "groups")
    if as_json:
        screen.print_json({**json.loads(health), **json.loads(content)})
        return
    overview = decode(health, Overview, url)
    groups = decode(content, _Groups, url).groups
    out = screen.console()
    now = client.now()
    _write_overview(out, overview, now)
    _write_holds(out, groups)
    _write_organisations(out, overview, now)
    _write_groups(out, [each for each in groups if show_all or _is_busy(each)], len(groups), now)


def _write_overview(out: Console, overview: Overview, now: datetime) -> None:
    if overview.ready:
        out.print("ready", style="bold green", end="")
        done = (
            overview.sentence.rpartition("; ")[0] or overview.sentence
        )  # the counts of the last cycle; those of now come below
        out.print(f"; last cycle: {screen.clean(done)}")
    for sentence in [] if overview.ready else overview.not_ready or ["no reason given"]:
        out.print("NOT READY", style="bold red", end="")
        out.print(f": {screen.clean(sentence)}")
    age = overview.view_age_seconds
    view = f"the Exchange was read {screen.span(age)} ago" if age is not None else "the Exchange has not been read yet"
    store = "the store works" if overview.store_ok else "the store FAILS"
    cycle = f"last cycle {screen.ago(overview.cycle_at, now)}" if overview.cycle_at else "no cycle yet"
    out.print(f"{view}; {store}; {cycle}")
    counts = (
        ("held", overview.held, ""),
        ("suspect", overview.suspect, "bold red"),
        ("waiting", overview.waiting, ""),
        ("deferred", overview.deferred, ""),
        ("overlaps", overview.overlaps, "bold red"),
        ("brakes", overview.brakes, "bold red"),
        ("holds", overview.pauses, "yellow"),
        ("stuck", overview.stuck, "bold red"),
    )
    shown = (Text(f"{name} {number}", style=style if number else "") for name, number, style in counts)
    out.print(Text(", ").join(shown))
    _write_unasked(out, overview)


def _write_unasked(out: Console, overview: Overview) -> None:
    """Say how well is known what goes on without asking here."""
    if overview.agbot == "none":
        out.print("what the agbot begins by itself is not known: set [agbot] api to its local API", style="yellow")
    elif overview.agbot_failing:
        meaning = _AGBOT_FAILS.get(overview.agbot, "the agbot's local API cannot be read")
        out.print(f"{meaning}: {screen.clean(overview.agbot_failing)}", style="bold red")
    for number, named, what in (
        (overview.bypassing, overview.bypassing_named, "upgraded without asking here; see HZN_AGBOT_URL"),
        (overview.never_asked, overview.never_asked_named, "never asked here"),
    ):
        if number:
            more = f" and {number - len(named)} more" if number > len(named) else ""
            noun = "member has" if number == 1 else "members have"
            out.print(f"{number} {noun} {what}: {screen.clean(', '.join(named))}{more}")


def _write_holds(out: Console, groups: list[GroupView]) -> None:
    """Tell the holds of everything and of organisations once, not at each of their groups."""
    wide = {pause.scope: pause for group in groups for pause in group.pauses if "/" not in pause.scope}
    for _, pause in sorted(wide.items()):
        out.print(Text.assemble(("HOLD", "bold yellow"), f" {screen.clean(_hold(pause))}"))


def _hold(pause: Pause) -> str:
    until = f" until {screen.moment(pause.until)}" if pause.until else ""
    return f"of {_scope(pause.scope)}{until} by {pause.by}: {pause.why}"


def _write_organisations(out: Console, overview: Overview, now: datetime) -> None:
    rows = [
        (
            each.org,
            str(each.groups),
            str(each.members),
            each.failing or f"last full read {screen.ago(each.read_at, now)}",
        )
        for each in overview.orgs
    ]
    if rows:
        out.print()
        screen.table(out, ("ORGANISATION", "GROUPS", "MEMBERS", "STATE"), rows)


def _write_groups(out: Console, shown: list[GroupView], known: int, now: datetime) -> None:
    for group in shown:
        out.print()
        _write_group(out, group, now)
    out.print()
    if not known:
        out.print("no HA group is known")
    elif len(shown) < known:
        out.print(f"idle: {known - len(shown)} of {known} groups (--all shows them)")


def _write_group(out: Console, group: GroupView, now: datetime) -> None:
    out.print(Text.assemble((screen.clean(group.id), "bold"), f"  {_members(group)}"))
    for label, text, style in _lines(group, now):
        out.print(Text.assemble("  ", (label.ljust(_LABEL), style), screen.clean(text)))


def _members(group: GroupView) -> str:
    """Count the members; what was not looked at lately is neither available nor not."""
    available = sum(member.available is True for member in group.members)
    unknown = sum(member.available is None for member in group.members)
    if unknown == len(group.members) and unknown:
        return f"{unknown} members, not looked at lately"
    more = f", {unknown} not looked at lately" if unknown else ""
    needed = f", {group.required} must stay so ({group.required_by})" if group.required else ""
    return f"{available} of {len(group.members)} members are available{more}{needed}"


def _lines(group: GroupView, now: datetime) -> Iterator[tuple[str, str, str]]:
    """Give what is to be known of a group, as label, text and style."""
    lease = group.lease
    yield lease.state, screen.lease(lease, now), {"held": "green", "suspect": "bold red"}.get(lease.state, "")
    for wait in group.waiting:
        why = ", ".join(reason.code for reason in wait.reasons)
        yield (
            "waiting",
            f"{wait.node} for {wait.kind} upgrade {wait.subject}, since {screen.span_since(wait.since, now)}: {why}",
            "",
        )
    for brake in group.brakes:
        yield "brake", f"{brake.subject}: {brake.cause} on {brake.node} {screen.ago(brake.since, now)}", "bold red"
    for row in group.stuck:
        defect = f" ({row.defect})" if row.defect else ""
        yield (
            "stuck",
            f"the agbot's row of {row.node} for {row.subject}{defect}: {row.why}; cure: {row.cure}",
            "bold red",
        )
    for pause in group.pauses:
        if "/" in pause.scope:
            yield "hold", _hold(pause), "yellow"
    for member in group.members:
        if member.deferred_for:
            yield "deferred", f"{member.node} until {member.deferred_for} has ended", ""
        elif member.available is False and not member.holds_lease:
            yield "missing", f"{member.node}: {member.why_unavailable}", "yellow"


def _scope(scope: str) -> str:
    return "everything" if scope == "*" else words.scope(scope)


def _is_busy(group: GroupView) -> bool:
    deferred = any(member.deferred_for for member in group.members)
    held_back = any("/" in pause.scope for pause in group.pauses)
    happens = group.lease.state != "free" or group.waiting or group.brakes or group.stuck
    return bool(happens or held_back or deferred)
