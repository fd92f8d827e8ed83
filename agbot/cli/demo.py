"""`agbot demo`: the production daemon against a simulated hub, with stories and an observer."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.console import Console

    from agbot.cli.demo_figures import Summary
    from agbot.cli.demo_guard import GuardedDatabase
    from agbot.cli.demo_running import DemoHub
    from agbot.cli.demo_view import Moment
    from agbot.sim.links import GatewayPort

BROKEN: Final = 1
LOG: Final = "daemon.log"
DEFAULT_SPEED: Final = 60.0
_FRAMES_PER_SECOND: Final = 4
_LOOK_SECONDS: Final = 0.05
_PIPED_WIDTH: Final = 120
_PICTURE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options."""

    groups: int = 3
    members: int = 3
    seed: int = 1
    speed: float = DEFAULT_SPEED
    duration: float | None = None
    guard: bool = True
    as_json: bool = False
    picture: Path | None = None


@click.command(
    "demo",
    epilog="Exit codes: 0 as promised, 1 a promise was broken, a story ended differently, or a part failed.",
)
@click.option(
    "--groups", default=3, show_default=True, type=click.IntRange(0, 200), help="Ordinary groups besides the stories."
)
@click.option(
    "--members", default=3, show_default=True, type=click.IntRange(1, 50), help="Members of each ordinary group."
)
@click.option("--seed", default=1, show_default=True, help="Random seed.")
@click.option(
    "--speed",
    default=DEFAULT_SPEED,
    show_default=True,
    type=click.FloatRange(min=1, max=500),
    help="Simulated seconds per real second; fewer on a slow machine.",
)
@click.option(
    "--duration", type=click.FloatRange(min=1), help="Real seconds to run. Default: until all stories are over."
)
@click.option("--no-guard", is_flag=True, help="Leave out the story with the guard, and start no PostgreSQL.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    hidden=True,
    help="Save the view as SVG in the middle of the run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the summary, as JSON.")
def demo(
    groups: int,
    members: int,
    seed: int,
    speed: float,
    duration: float | None,
    *,
    no_guard: bool,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Watch a simulated hub upgrade its groups, one member at a time.

    The daemon is the production daemon, over real HTTP on loopback. Nodes die, an upgrade fails, a
    node joins in the middle of its upgrade. An observer in the simulated hub counts what the nodes
    really do. Ctrl-C ends it with the summary.
    """
    options = Options(
        groups=groups,
        members=members,
        seed=seed,
        speed=speed,
        duration=duration,
        guard=not no_guard,
        as_json=as_json,
        picture=picture,
    )
    folder, is_kept = Path(tempfile.mkdtemp(prefix="agbot-demo-")), False
    try:
        try:
            summary = asyncio.run(play(options, folder))
        except Exception as error:  # noqa: BLE001 - the error is shown in one line; the log has the rest
            is_kept = True
            kept = f"the daemon's log is kept: {folder / LOG}"
            click.echo("\n".join((f"agbot demo: {_cause_of(error)}", *_tail(folder / LOG), kept)), err=True)
            sys.exit(BROKEN)
        if as_json:
            click.echo(json.dumps(summary.to_json(), indent=2))
        if not summary.is_as_promised:
            is_kept = True
            click.echo(f"agbot demo: not as promised; log and database are in {folder}", err=True)
            sys.exit(BROKEN)
    finally:  # also when no one reads the output any more
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


async def play(options: Options, folder: Path, gateway: GatewayPort | None = None) -> Summary:
    """Run the demo to its end and show it; `gateway` replaces the daemon's.

    Raises:
        Exception: the error of the part that failed.
    """
    from agbot.cli import demo_figures, demo_guard
    from agbot.cli.demo_clock import DemoClock
    from agbot.cli.demo_running import Observed, running_hub
    from agbot.cli.demo_stories import GUARD_STORY, Plan
    from agbot.cli.demo_view import Output
    from agbot.daemon import logging as daemon_logging
    from agbot.settings.running import LogSettings

    console, stop = Output(quiet=options.as_json, highlight=False), asyncio.Event()
    console.on_lost = stop.set
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    observed = Observed()
    clock = DemoClock(options.speed, datetime.now(UTC).replace(microsecond=0))
    began = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as below nohup
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    plan = Plan(groups=options.groups, members=options.members, is_endless=options.duration is not None)
    with (folder / LOG).open("w", encoding="utf-8") as log:
        daemon_logging.set_up(LogSettings(format="json"), {}, log)
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(demo_guard.start()) if options.guard and gateway is None else None
            if starting is not None:
                stack.push_async_callback(_remove, starting)
            common = partial(running_hub, clock=clock, chance_seed=options.seed, folder=folder, observed=observed)
            hub = await stack.enter_async_context(common(plan, gateway=gateway))
            left_out = "--no-guard"
            if starting is not None:
                try:
                    guarded = common(Plan(groups=0, stories=(GUARD_STORY,)), database=await starting)
                    hub.beside, left_out = await stack.enter_async_context(guarded), ""
                except demo_guard.LeftOutError as error:
                    left_out = str(error)
            if not console.is_terminal:
                _print_where(hub, console, folder, left_out)
            await _watch(hub, options, console, stop)
            summary = _summary(hub, options, time.monotonic() - began, left_out)
    console.print(demo_figures.render(summary))
    return summary


async def _remove(starting: asyncio.Task[GuardedDatabase]) -> None:
    """End the PostgreSQL, if it has started."""
    with suppress(Exception):  # why not is known by then
        await (await starting).remove()


async def _watch(hub: DemoHub, options: Options, console: Console, stop: asyncio.Event) -> None:
    """Play the stories and show them, until they are over, the time is up, or it is interrupted."""
    async with AsyncExitStack() as stack:
        played = [asyncio.create_task(story.play(), name=story.scenario.name) for story in hub.every_story]
        for task in played:
            stack.callback(task.cancel)
        if options.picture is not None:
            drawing = asyncio.create_task(_draw(hub, options.picture))
            stack.callback(drawing.cancel)
        show = _live(hub, console) if console.is_terminal else _plain(hub, console)
        shown = asyncio.create_task(show)
        stack.callback(shown.cancel)
        ends = asyncio.get_running_loop().time() + (options.duration or float("inf"))
        while not (stop.is_set() or shown.done() or any(each.running.done() for each in hub.hubs)):
            _raise_failures(played)
            if hub.is_over or asyncio.get_running_loop().time() >= ends:
                break
            await asyncio.sleep(_LOOK_SECONDS)
    _raise_failures([*played, shown, *(each.running for each in hub.hubs)])


def _raise_failures(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raise the error of a failed task: a broken story would never be over, nor the run."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


async def _live(hub: DemoHub, console: Console) -> None:
    from rich.live import Live

    from agbot.cli import demo_view

    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(demo_view.render(_moment(hub), console.size), refresh=True)
            await asyncio.sleep(1 / _FRAMES_PER_SECOND)


async def _draw(hub: DemoHub, picture: Path) -> None:
    """Save the live view in the middle of the run."""
    from io import StringIO

    from rich.console import Console

    from agbot.cli import demo_view

    await hub.clock.sleep(_PICTURE_SECONDS)
    console = Console(record=True, width=132, height=26, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(demo_view.render(_moment(hub), console.size))
    picture.write_text(console.export_svg(title="agbot demo"), encoding="utf-8")  # noqa: ASYNC240 - a small file, once, for the README


def _print_where(hub: DemoHub, console: Console, folder: Path, left_out: str) -> None:
    from agbot.cli.demo_running import OPERATOR_TOKEN

    url = hub.daemon.console.url
    console.print(
        f"the page of the demo: {url} (operator token: {OPERATOR_TOKEN}; try agbot status --url {url}, too)",
        soft_wrap=True,
    )
    console.print(f"log of the daemon: {folder / LOG}", soft_wrap=True)
    if left_out:
        console.print(f"the story with the guard is left out: {left_out}", soft_wrap=True)


async def _plain(hub: DemoHub, console: Console) -> None:
    def line(at: datetime, text: str) -> None:
        console.print(f"{at:%H:%M:%S} {text}", soft_wrap=True)

    hub.observed.on_line = line
    await asyncio.Event().wait()


def _moment(hub: DemoHub) -> Moment:
    from agbot.cli.demo_view import Moment

    observers = [each.fleet.observer for each in hub.hubs]
    return Moment(
        now=hub.clock.now(),
        speed=hub.clock.speed,
        groups=[group for each in hub.hubs for group in each.daemon.coordinator.groups()],
        lines=list(hub.observed.lines),
        grants=hub.observed.grants,
        refusals=sum(sum(each.daemon.metrics.refusals().values()) for each in hub.hubs),
        most_at_once=max(each.max_concurrent for each in observers),
        violations=sum(len(each.violations) for each in observers),
        console_url=hub.daemon.console.url,
    )


def _summary(hub: DemoHub, options: Options, real_seconds: float, left_out: str) -> Summary:
    from agbot.cli.demo_figures import Played, Summary

    reports = [each.fleet.report() for each in hub.hubs]
    stories = [
        Played(
            name=story.scenario.name, sentence=story.scenario.sentence, outcome=str(story.outcome), wrong=story.wrong
        )
        for story in hub.every_story
    ]
    violations = [each for report in reports for each in report["violations"]]
    return Summary(
        grants=hub.observed.grants,
        exempt=hub.observed.exempt,
        overlaps=hub.observed.overlaps,
        releases=dict(sorted(hub.observed.releases.items())),
        refusals=_added(each.daemon.metrics.refusals() for each in hub.hubs),
        max_concurrent_in_any_group=max(report["max_concurrent_in_any_group"] for report in reports),
        violations=len(violations),
        violation_stories=violations,
        handoff_seconds=reports[0]["handoff_seconds"],
        exchange_requests=sum(each.daemon.metrics.exchange_requests() for each in hub.hubs),
        upgrades=_added(report["upgrades"] for report in reports),
        simulated_seconds=round(hub.clock.elapsed_seconds, 1),
        real_seconds=round(real_seconds, 1),
        speed=options.speed,
        seed=options.seed,
        stories=stories,
        left_out=left_out,
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return dict(sum((Counter(each) for each in counts), Counter()))


def _cause_of(error: BaseException) -> str:
    """Return the error itself, not the group of tasks it occurred in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _tail(written: Path, lines: int = 5) -> list[str]:
    return written.read_text(encoding="utf-8").splitlines()[-lines:] if written.exists() else []
