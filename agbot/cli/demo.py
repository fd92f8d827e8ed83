"""`agbot demo`: the production daemon against a simulated hub, with stories to watch and an observer that counts."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.console import Console

    from agbot.cli.demo_figures import Summary
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
    """What the command line asks for."""

    groups: int = 3
    members: int = 3
    seed: int = 1
    speed: float = DEFAULT_SPEED
    duration: float | None = None
    as_json: bool = False
    picture: Path | None = None


@click.command(
    "demo",
    epilog="Exit codes: 0 as promised, 1 a promise was broken, a story ended otherwise, or a part failed.",
)
@click.option(
    "--groups", default=3, show_default=True, type=click.IntRange(0, 200), help="Ordinary groups beside the stories."
)
@click.option(
    "--members", default=3, show_default=True, type=click.IntRange(1, 50), help="Members of each ordinary group."
)
@click.option("--seed", default=1, show_default=True, help="Seed of everything that is left to chance.")
@click.option(
    "--speed",
    default=DEFAULT_SPEED,
    show_default=True,
    type=click.FloatRange(min=1, max=500),
    help="Simulated seconds in a real one; a slow machine gets fewer.",
)
@click.option(
    "--duration", type=click.FloatRange(min=1), help="Real seconds to run. Default: until every story is over."
)
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), hidden=True, help="Save the view as SVG in mid-run."
)
@click.option("--json", "as_json", is_flag=True, help="Print nothing but the summary, as JSON.")
def demo(
    groups: int, members: int, seed: int, speed: float, duration: float | None, *, picture: Path | None, as_json: bool
) -> None:
    """Watch a simulated hub upgrade its groups, one member at a time.

    The daemon is the one of production, over real HTTP on loopback. Nodes die, a release goes bad, a node joins in the middle of
    its upgrade. An observer inside the simulated hub counts what the nodes really did. Ctrl-C ends it with the summary.
    """
    options = Options(
        groups=groups, members=members, seed=seed, speed=speed, duration=duration, as_json=as_json, picture=picture
    )
    folder = Path(tempfile.mkdtemp(prefix="agbot-demo-"))
    try:
        summary = asyncio.run(play(options, folder))
    except Exception as error:  # noqa: BLE001 - whatever ended a part is told in one line; the log has the rest
        kept = f"the daemon's log is kept: {folder / LOG}"
        click.echo("\n".join((f"agbot demo: {_told(error)}", *_tail(folder / LOG), kept)), err=True)
        sys.exit(BROKEN)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=2))
    if not summary.is_as_promised:
        click.echo(f"agbot demo: not as promised; log and database are kept: {folder}", err=True)
        sys.exit(BROKEN)
    shutil.rmtree(folder, ignore_errors=True)


async def play(options: Options, folder: Path, gateway: GatewayPort | None = None) -> Summary:
    """Run the demo to its end and show it; `gateway` stands in for the daemon's.

    Raises:
        Exception: whatever ended a part of it.
    """
    from rich.console import Console

    from agbot.cli import demo_figures
    from agbot.cli.demo_clock import DemoClock
    from agbot.cli.demo_running import Heard, running_hub
    from agbot.cli.demo_stories import Plan
    from agbot.daemon import logging as daemon_logging
    from agbot.settings.model import LogSettings

    console = Console(quiet=options.as_json, highlight=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    heard = Heard()
    clock = DemoClock(options.speed, datetime.now(UTC).replace(microsecond=0))
    began = time.monotonic()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    plan = Plan(groups=options.groups, members=options.members, is_endless=options.duration is not None)
    with (folder / LOG).open("w", encoding="utf-8") as log:
        daemon_logging.set_up(LogSettings(format="json"), {}, log)
        async with running_hub(
            plan, clock=clock, chance_seed=options.seed, folder=folder, heard=heard, gateway=gateway
        ) as hub:
            if not console.is_terminal:
                _tell_where(hub, console, folder)
            await _watch(hub, options, console, stop)
            summary = _summary(hub, options, time.monotonic() - began)
    console.print(demo_figures.render(summary))
    return summary


async def _watch(hub: DemoHub, options: Options, console: Console, stop: asyncio.Event) -> None:
    """Tell the stories and show what happens, until they are over, the time is up, or somebody ends it."""
    async with AsyncExitStack() as stack:
        told = [asyncio.create_task(story.tell(), name=story.scenario.name) for story in hub.stories]
        for task in told:
            stack.callback(task.cancel)
        if options.picture is not None:
            drawing = asyncio.create_task(_draw(hub, options.picture))
            stack.callback(drawing.cancel)
        show = _live(hub, console) if console.is_terminal else _plain(hub, console)
        shown = asyncio.create_task(show)
        stack.callback(shown.cancel)
        ends = asyncio.get_running_loop().time() + (options.duration or float("inf"))
        while not (stop.is_set() or hub.running.done() or shown.done()):
            _raise_failures(told)
            if hub.is_told or asyncio.get_running_loop().time() >= ends:
                break
            await asyncio.sleep(_LOOK_SECONDS)
    _raise_failures([*told, shown, hub.running])


def _raise_failures(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Raise what ended one of them: a story that broke would never be over, and the run with it."""
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


async def _live(hub: DemoHub, console: Console) -> None:
    from rich.live import Live

    from agbot.cli import demo_view

    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(demo_view.render(_moment(hub), console.height), refresh=True)
            await asyncio.sleep(1 / _FRAMES_PER_SECOND)


async def _draw(hub: DemoHub, picture: Path) -> None:
    """Save what the live view shows in the middle of the run."""
    from io import StringIO

    from rich.console import Console

    from agbot.cli import demo_view

    await hub.clock.sleep(_PICTURE_SECONDS)
    console = Console(record=True, width=132, height=26, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(demo_view.render(_moment(hub), console.height))
    picture.write_text(console.export_svg(title="agbot demo"), encoding="utf-8")  # noqa: ASYNC240 - a small file, once, for the README


def _tell_where(hub: DemoHub, console: Console, folder: Path) -> None:
    url = hub.daemon.console.url
    console.print(f"operators' API of the demo: {url} (try: agbot status --url {url})", soft_wrap=True)
    console.print(f"log of the daemon: {folder / LOG}", soft_wrap=True)


async def _plain(hub: DemoHub, console: Console) -> None:
    def line(at: datetime, text: str) -> None:
        console.print(f"{at:%H:%M:%S} {text}", soft_wrap=True)

    hub.heard.on_line = line
    await asyncio.Event().wait()


def _moment(hub: DemoHub) -> Moment:
    from agbot.cli.demo_view import Moment

    observer = hub.fleet.observer
    return Moment(
        now=hub.clock.now(),
        speed=hub.clock.speed,
        groups=hub.daemon.coordinator.groups(),
        lines=list(hub.heard.lines),
        grants=hub.heard.grants,
        refusals=sum(hub.daemon.metrics.refusals().values()),
        most_at_once=observer.max_concurrent,
        violations=len(observer.violations),
        console_url=hub.daemon.console.url,
    )


def _summary(hub: DemoHub, options: Options, real_seconds: float) -> Summary:
    from agbot.cli.demo_figures import Summary, Told

    report = hub.fleet.report()
    stories = [
        Told(name=story.scenario.name, sentence=story.scenario.sentence, outcome=str(story.outcome), wrong=story.wrong)
        for story in hub.stories
    ]
    return Summary(
        grants=hub.heard.grants,
        exempt=hub.heard.exempt,
        overlaps=hub.heard.overlaps,
        releases=dict(sorted(hub.heard.releases.items())),
        refusals=hub.daemon.metrics.refusals(),
        max_concurrent_in_any_group=report["max_concurrent_in_any_group"],
        violations=len(report["violations"]),
        violation_stories=report["violations"],
        handoff_seconds=report["handoff_seconds"],
        exchange_requests=hub.daemon.metrics.exchange_requests(),
        upgrades=report["upgrades"],
        simulated_seconds=round(hub.clock.elapsed_seconds, 1),
        real_seconds=round(real_seconds, 1),
        speed=options.speed,
        seed=options.seed,
        stories=stories,
    )


def _told(error: BaseException) -> str:
    """Name what went wrong itself, not the group of tasks that it went wrong in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _tail(written: Path, lines: int = 5) -> list[str]:
    return written.read_text(encoding="utf-8").splitlines()[-lines:] if written.exists() else []
