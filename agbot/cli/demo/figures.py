"""The demo's summary: what the observer saw, what the daemon did, how each story ended. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agbot.cli.demo.stories import GUARD_STORY, Outcome

_TWO: Final = 2
_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    Outcome.AS_DESCRIBED: ("+", "green"),
    Outcome.OTHERWISE: ("!", "red bold"),
    Outcome.CUT_SHORT: ("-", "yellow"),
}
_ENDED: Final[Mapping[str, str]] = {
    Outcome.OTHERWISE: "Ended differently than described: ",
    Outcome.CUT_SHORT: "Cut short, its end was not seen: ",
}
_HANDOFFS: Final[Mapping[str, str]] = {
    "agent-asked": "agents that asked",
    "service-asked": "services, asked by the agbot",
    "agent-unasked": "agents, unasked",
    "service-unasked": "services, unasked",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How one story has ended."""

    name: str
    sentence: str
    outcome: str
    wrong: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The content of `agbot demo --json`. Seconds are simulated, except `real_seconds`."""

    grants: int
    exempt: int
    releases: Mapping[str, int]
    refusals: Mapping[str, int]
    max_concurrent_in_any_group: int
    violations: int
    """Counted by the observer from what the nodes really did."""
    violation_stories: Sequence[str]
    overlaps: int
    """Reported by the daemon: an unasked upgrade while another member upgraded."""
    handoff_seconds: Mapping[str, Mapping[str, Mapping[str, float | int | None]]]
    """From the end of an upgrade to the lease being free, by kind of upgrade: count, p50, p99
    (`agbot.sim.handoffs`)."""
    exchange_requests: int
    """Of the daemon, not of nodes and the simulated agbot."""
    upgrades: Mapping[str, int]
    simulated_seconds: float
    real_seconds: float
    speed: float
    seed: int
    stories: Sequence[Played]
    left_out: str = ""
    """Why the story with the guard was left out; empty if it was played."""

    @property
    def is_as_promised(self) -> bool:
        """Whether promises were kept, overlaps were true, and stories ended as described."""
        has_phantoms = self.overlaps > 0 and self.max_concurrent_in_any_group < _TWO
        return (
            self.violations == 0
            and not has_phantoms
            and all(story.outcome != Outcome.OTHERWISE for story in self.stories)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self)


def render(summary: Summary) -> RenderableType:
    """Return the summary as people read it."""
    figures = Table.grid(padding=(0, 2))
    figures.add_column(style="dim")
    for name, value in _figures(summary):
        figures.add_row(name, value)
    return Group(stories(summary.stories, summary.left_out), Text(), _verdict(summary), figures)


def stories(played: Sequence[Played], left_out: str = "") -> RenderableType:
    """Return how each story has ended, in words where it is not as described."""
    counts = Counter(story.outcome for story in played)
    counted = ", ".join(f"{counts[each]} {each}" for each in Outcome if counts[each])
    table = Table.grid(padding=(0, 2))
    for story in played:
        mark, style = _MARKS[story.outcome]
        ended = Text.assemble((_ENDED.get(story.outcome, ""), style), story.sentence)
        table.add_row(Text(mark, style=style), Text(story.name, style="bold"), ended)
        for sentence in story.wrong:
            table.add_row("", "", Text(sentence, style="red"))
    if left_out:
        table.add_row("", Text(GUARD_STORY, style="bold"), Text(f"left out: {left_out}", style="dim"))
    return Group(Text(f"How the stories ended: {counted}", style="bold underline"), table)


def _verdict(summary: Summary) -> Text:
    if summary.violations:
        lines = "\n".join(summary.violation_stories)
        return Text(
            f"BROKEN: two members of a group were down at once, {summary.violations} times\n{lines}", style="red bold"
        )
    most = summary.max_concurrent_in_any_group
    return Text(f"At most {most} member of any group was down for an upgrade at a time.", style="green bold")


def _figures(summary: Summary) -> list[tuple[str, str]]:
    return [
        ("grants", f"{summary.grants}{f', and {summary.exempt} without a lease' if summary.exempt else ''}"),
        ("releases", _counted(summary.releases)),
        ("refusals", _counted(summary.refusals)),
        ("overlaps", f"{summary.overlaps} reported"),
        *_handoffs(summary),
        (
            "exchange",
            f"{summary.exchange_requests} requests of the coordinator in {summary.simulated_seconds / 60:.0f} simulated minutes",
        ),
        ("run", f"{summary.real_seconds:.0f} s of real time at {summary.speed:g}x, seed {summary.seed}"),
    ]


def _handoffs(summary: Summary) -> list[tuple[str, str]]:
    """Return how soon leases were free after the end of their upgrades, by kind.

    Also without the agbot's part.
    """
    rows = [("hand-off", "simulated seconds from the end of an upgrade to the free lease")]
    for way, name in _HANDOFFS.items():
        figures = summary.handoff_seconds.get(way, {})
        whole, after = figures.get("whole"), figures.get("after_agbot_row")
        if whole is None or not whole["count"]:
            continue
        rows.append(("", f"{name}: {_percentiles(whole)}"))
        if after is not None and after["count"]:
            rows.append(("", f"  of which after the agbot had deleted its row: {_percentiles(after)}"))
    return rows


def _percentiles(figures: Mapping[str, float | int | None]) -> str:
    return f"p50 {_seconds(figures['p50'])}, p99 {_seconds(figures['p99'])} of {figures['count']}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _counted(counts: Mapping[str, int]) -> str:
    listed = ", ".join(
        f"{name} {count}" for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    )
    return listed or "none"
