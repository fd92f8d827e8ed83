"""The demo's live view: one line per group, and the last events. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Final

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agbot.cli.demo.words import bare, short
from agbot.coordinator.contract import GroupView, MemberView
from agbot.rules.reasons import Code

_LEGEND: Final = (
    ("●", "green", "available"),
    ("▲", "yellow bold", "upgrades"),
    ("◔", "cyan", "waits"),
    ("◆", "magenta", "deferred"),
    ("■", "blue", "cluster"),
    ("✕", "red", "offline"),
    ("·", "dim", "unread"),
)
_OTHER_LINES: Final = 8
"""Head, table head, foot, three empty lines, and one for the terminal itself."""
_LEAST_EVENTS: Final = 3
_REFUSED_BEFORE: Final = "asks again by itself: the lease has become free since its last question"
_MARK: Final = 2
"""Columns of a member."""
_MARKS: Final = {meaning: (mark, style) for mark, style, meaning in _LEGEND}


class Output(Console):
    """The console of the demo.

    When no one reads the output any more, as below `| head`, it is silent and calls `on_lost`.
    """

    on_lost: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *, quiet: bool = False, file: IO[str] | None = None) -> None:
        # texts have brackets and colons of their own: of `agbot[postgres]` rich printed `agbot`
        super().__init__(quiet=quiet, file=file, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Go on in silence, where rich would end the program in the middle of whatever prints."""
        with suppress(SystemExit):
            super().on_broken_pipe()
        self.on_lost()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The content of the view at one moment."""

    now: datetime
    speed: float
    groups: Sequence[GroupView]
    lines: Sequence[tuple[datetime, str]]
    grants: int
    refusals: int
    most_at_once: int
    violations: int
    console_url: str


def render(moment: Moment, size: ConsoleDimensions) -> RenderableType:
    """Draw the moment for a terminal of this size.

    Each reason has its own line where there is room; groups with nothing to show go first where
    there is none.
    """
    room = size.height - _OTHER_LINES
    shown = _most_interesting(moment.groups, room - _LEAST_EVENTS)
    waits = {group.id: _waits(group) for group in shown}
    if sum(map(len, waits.values())) > room - _LEAST_EVENTS:
        waits = {group: [Text("; ").join(lines)] for group, lines in waits.items()}
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    table.add_column("group", no_wrap=True)
    table.add_column("members", no_wrap=True, min_width=8)
    table.add_column("lease", no_wrap=True, ratio=4, overflow="ellipsis")
    table.add_column("who waits, and why", no_wrap=True, ratio=5, overflow="ellipsis")
    for group in shown:
        first, *others = waits[group.id]
        table.add_row(Text(bare(group.id), style="bold"), _members(group, size.width), _lease(group), first)
        for line in others:
            table.add_row("", "", "", line)
    left_out = len(moment.groups) - len(shown)
    more = [Text(f" and {left_out} more groups", style="dim")] if left_out else []
    events = [Text(f"{at:%H:%M:%S} {text}", no_wrap=True, overflow="ellipsis") for at, text in moment.lines]
    last = max(_LEAST_EVENTS, room - sum(map(len, waits.values())) - len(more))
    return Group(_head(moment), Text(), table, *more, Text(), *events[-last:], Text(), _foot(moment))


def _most_interesting(groups: Sequence[GroupView], most: int) -> list[GroupView]:
    """Return as many groups as fit, in their order; idle ones are left out first."""
    if len(groups) <= most:
        return list(groups)
    idle_last = sorted(groups, key=lambda each: each.lease.holder is None and not each.waiting and not each.brakes)
    kept = {each.id for each in idle_last[: max(most - 1, 1)]}
    return [each for each in groups if each.id in kept]


def _head(moment: Moment) -> Text:
    verdict = f"{moment.violations} violations" if moment.violations else "no violation"
    return Text.assemble(
        ("agbot demo ", "bold"),
        f"{moment.now:%H:%M:%S} (simulated, {moment.speed:g}x)  ",
        (verdict, "red bold" if moment.violations else "green"),
        f"  {moment.most_at_once} down at most, {moment.grants} grants, {moment.refusals} refusals",
        no_wrap=True,
        overflow="ellipsis",
    )


def _foot(moment: Moment) -> Text:
    marks = Text("  ").join(Text.assemble((mark, style), f" {meaning}") for mark, style, meaning in _LEGEND)
    asking = f"agbot status --url {moment.console_url}"
    return Text.assemble(marks, "\n", (asking, "dim"), overflow="ellipsis", no_wrap=True)


def _members(group: GroupView, width: int) -> Text:
    """Draw each member, or count them where they are many."""
    waiting = {waiter.node for waiter in group.waiting}
    states = [_state(member, is_waiting=member.node in waiting) for member in group.members]
    marks = ((mark, style, states.count(meaning)) for mark, style, meaning in _LEGEND)
    if _MARK * len(states) > width // 5:
        return Text(" ").join(Text(f"{mark}{number}", style=style) for mark, style, number in marks if number)
    return Text().join(Text(f"{mark} ", style=style) for mark, style in map(_MARKS.__getitem__, states))


def _state(member: MemberView, *, is_waiting: bool) -> str:
    if member.deferred_for is not None:
        return "deferred"
    if member.node_type == "cluster":
        return "cluster"
    if member.available is None:
        return "unread"
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


def _waits(group: GroupView) -> list[Text]:
    """Return a line for each first reason, with the members that wait for it."""
    if not group.waiting:
        stopped = Text(f"stopped: {bare(group.brakes[0].subject)}", style="red") if group.brakes else None
        return [stopped or Text("-", style="dim")]
    by_reason: dict[str, list[str]] = {}
    for waiter in group.waiting:
        first = waiter.reasons[0] if waiter.reasons else None
        is_past = first is not None and first.code is Code.LEASE_HELD and group.lease.holder is None
        why = _REFUSED_BEFORE if is_past else short(f"{first.code}: {first.text}") if first else "asks"
        by_reason.setdefault(why, []).append(_member(waiter.node))
    return [Text.assemble((f"{', '.join(sorted(set(members)))}: ", "cyan"), why) for why, members in by_reason.items()]


def _member(node: object) -> str:
    """Return the last part of a member's name, which is unique in its group."""
    return bare(node).rpartition("-")[2]
