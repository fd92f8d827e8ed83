"""The demo's live view: one line a group, and what has happened last. Pure: what the coordinator shows in, a picture out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agbot.cli.demo_words import bare, short
from agbot.coordinator.contract import GroupView, MemberView

LEGEND: Final = (
    ("●", "green", "available"),
    ("▲", "yellow bold", "upgrades"),
    ("◔", "cyan", "waits"),
    ("◆", "magenta", "deferred"),
    ("■", "blue", "cluster"),
    ("✕", "red", "offline"),
    ("·", "dim", "idle"),
)
_OTHER_LINES: Final = 8
"""Head, table's head, foot, three empty lines, and one that the terminal may want for itself."""
_MARKS: Final = {meaning: (mark, style) for mark, style, meaning in LEGEND}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is shown at one moment."""

    now: datetime
    speed: float
    groups: Sequence[GroupView]
    lines: Sequence[tuple[datetime, str]]
    grants: int
    refusals: int
    most_at_once: int
    violations: int
    console_url: str


def render(moment: Moment, height: int) -> RenderableType:
    """Draw the moment for a terminal of so many lines."""
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    table.add_column("group", no_wrap=True)
    table.add_column("members", no_wrap=True, min_width=8)
    table.add_column("lease", no_wrap=True, ratio=4, overflow="ellipsis")
    table.add_column("who waits, and why", no_wrap=True, ratio=5, overflow="ellipsis")
    for group in moment.groups:
        table.add_row(Text(bare(group.id), style="bold"), _members(group), _lease(group), _waiting(group))
    room = max(3, height - len(moment.groups) - _OTHER_LINES)
    told = [Text(f"{at:%H:%M:%S} {text}", no_wrap=True, overflow="ellipsis") for at, text in list(moment.lines)[-room:]]
    return Group(_head(moment), Text(), table, Text(), *told, Text(), _foot(moment))


def _head(moment: Moment) -> Text:
    verdict = f"{moment.violations} violations" if moment.violations else "no violation"
    return Text.assemble(
        ("agbot demo ", "bold"),
        f"{moment.now:%H:%M:%S} {moment.speed:g}x  ",
        (verdict, "red bold" if moment.violations else "green"),
        f"  at most {moment.most_at_once} down at once  {moment.grants} grants  {moment.refusals} refusals",
        no_wrap=True,
        overflow="ellipsis",
    )


def _foot(moment: Moment) -> Text:
    marks = Text("  ").join(Text.assemble((mark, style), f" {meaning}") for mark, style, meaning in LEGEND)
    asking = f"agbot status --url {moment.console_url}"
    return Text.assemble(marks, "\n", (asking, "dim"), overflow="ellipsis", no_wrap=True)


def _members(group: GroupView) -> Text:
    waiting = {waiter.node for waiter in group.waiting}
    found = Text()
    for member in group.members:
        mark, style = _MARKS[_state(member, is_waiting=member.node in waiting)]
        found.append(f"{mark} ", style=style)
    return found


def _state(member: MemberView, *, is_waiting: bool) -> str:
    if member.deferred_for is not None:
        return "deferred"
    if member.node_type == "cluster":
        return "cluster"
    if member.available is None:
        return "idle"
    if not member.available and "heartbeat" in member.why_unavailable:
        return "offline"
    if member.holds_lease or not member.available:
        return "upgrades"
    return "waits" if is_waiting else "available"


def _lease(group: GroupView) -> Text:
    lease = group.lease
    if lease.holder is None:
        ended = f" (last: {_member(lease.last_holder)} {lease.last_cause})" if lease.last_holder else ""
        return Text.assemble(("free", "dim"), (ended, "dim"))
    style = "red bold" if lease.state == "suspect" else "yellow"
    status = f": {lease.status}" if lease.status else ""
    return Text.assemble((f"{lease.state} ", style), f"by {_member(lease.holder)}, {lease.kind}{status}")


def _waiting(group: GroupView) -> Text:
    if group.brakes and not group.waiting:
        return Text(f"stopped: {bare(group.brakes[0].subject)}", style="red")
    if not group.waiting:
        return Text("-", style="dim")
    who = ", ".join(sorted({_member(waiter.node) for waiter in group.waiting}))
    first = group.waiting[0].reasons[0] if group.waiting[0].reasons else None
    return Text.assemble((f"{who}: ", "cyan"), short(f"{first.code}: {first.text}") if first else "asks")


def _member(node: object) -> str:
    """Return what tells a member from the others of its group: the last part of its name."""
    return bare(node).rpartition("-")[2]
