"""One run of `agbot demo`: plays the stories, and shows them on the terminal."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from agbot.cli import ending
from agbot.cli.demo import figures, guard, view
from agbot.cli.demo.clock import DemoClock
from agbot.cli.demo.figures import Played, Summary
from agbot.cli.demo.guard import GuardedDatabase
from agbot.cli.demo.observed import Observed
from agbot.cli.demo.running import OPERATOR_TOKEN, DemoHub, running_hub
from agbot.cli.demo.stories import GUARD_STORY, Plan
from agbot.cli.demo.view import Moment, Output
from agbot.daemon import logging as daemon_logging
from agbot.settings.running import LogSettings
from agbot.sim.links import GatewayPort

LOG: Final = "daemon.log"
_FRAMES_PER_SECOND: Final = 4
_LOOK_SECONDS: Final = 0.05
_PIPED_WIDTH: Final = 120
_HELD_SECONDS: Final = 0.5
"""Real seconds for which a line is held in a pipe, since one of the other hub may be earlier."""
_PICTURE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `agbot demo`."""

    groups: int = 3
    members: int = 3
    seed: int = 1
    speed: float = 60.0
    duration: float | None = None
    no_guard: bool = False
    as_json: bool = False
    picture: Path | None = None


async def play(options: Options, folder: Path, gateway: GatewayPort | None = None) -> Summary:
    """Run the demo to its end and show it; `gateway` replaces the daemon's.

    Raises:
        Exception: the error of the part that failed.
    """
    stop = ending.on_signal((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    console = Output(quiet=options.as_json)
    console.on_lost = stop.set
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    observed = Observed()
    clock = DemoClock(options.speed, datetime.now(UTC).replace(microsecond=0))
    began = time.monotonic()
    plan = Plan(groups=options.groups, members=options.members, is_endless=options.duration is not None)
    with (folder / LOG).open("w", encoding="utf-8") as log:
        daemon_logging.set_up(LogSettings(format="json"), {}, log)
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(guard.start()) if not options.no_guard and gateway is None else None
            if starting is not None:
                stack.push_async_callback(_remove, starting)
            common = partial(running_hub, clock=clock, chance_seed=options.seed, folder=folder, observed=observed)
            hub = await stack.enter_async_context(common(plan, gateway=gateway))
            left_out = "--no-guard"
            if starting is not None:
                try:
                    guarded = common(Plan(groups=0, stories=(GUARD_STORY,)), database=await starting)
                    hub.beside, left_out = await stack.enter_async_context(guarded), ""
                except guard.LeftOutError as error:
                    left_out = str(error)
            if not console.is_terminal:
                _print_where(hub, console, folder, left_out)
            await _watch(hub, options, console, stop)
            summary = _summary(hub, options, time.monotonic() - began, left_out)
    _print_summary(summary, console)
    return summary


def _print_summary(summary: Summary, console: Console) -> None:
    """Print the summary; in a pipe, without the blanks with which rich fills each line."""
    if console.is_terminal:
        console.print(figures.render(summary))
        return
    with console.capture() as captured:
        console.print(figures.render(summary))
    console.out("\n".join(line.rstrip() for line in captured.get().splitlines()), highlight=False)


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
        show = _live(hub, console) if console.is_terminal else print_lines(hub.observed, hub.clock, console)
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
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(view.render(_moment(hub), console.size), refresh=True)
            await asyncio.sleep(1 / _FRAMES_PER_SECOND)


async def _draw(hub: DemoHub, picture: Path) -> None:
    """Save the live view in the middle of the run."""
    await hub.clock.sleep(_PICTURE_SECONDS)
    console = Console(record=True, width=132, height=26, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(view.render(_moment(hub), console.size))
    picture.write_text(console.export_svg(title="agbot demo"), encoding="utf-8")  # noqa: ASYNC240 - a small file, once, for the README


def _print_where(hub: DemoHub, console: Console, folder: Path, left_out: str) -> None:
    url = hub.daemon.console.url
    console.print(
        f"the page of the demo: {url} (operator token: {OPERATOR_TOKEN}; try agbot status --url {url}, too)",
        soft_wrap=True,
    )
    console.print(f"log of the daemon: {folder / LOG}", soft_wrap=True)
    console.print(
        f"all times, also those of the page, are simulated, and pass {hub.clock.speed:g} times as fast as real time",
        soft_wrap=True,
    )
    console.print("lines with * are what happens in the hub, the others are events of the coordinator", soft_wrap=True)
    if left_out:
        console.print(f"the story with the guard is left out: {left_out}", soft_wrap=True)


async def print_lines(observed: Observed, clock: DemoClock, console: Console) -> None:
    """Print the lines in the order of their times: the two hubs write theirs beside each other."""
    held: list[tuple[datetime, int, str]] = []
    numbers = itertools.count()

    def line(at: datetime, text: str) -> None:
        console.print(f"{at:%H:%M:%S} {text}", soft_wrap=True)

    def print_until(moment: datetime) -> None:
        while held and held[0][0] <= moment:
            at, _, text = heapq.heappop(held)
            line(at, text)

    observed.on_line = lambda at, text: heapq.heappush(held, (at, next(numbers), text))
    try:
        while True:
            print_until(clock.now() - timedelta(seconds=_HELD_SECONDS * clock.speed))
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        observed.on_line = line
        print_until(datetime.max.replace(tzinfo=UTC))


def _moment(hub: DemoHub) -> Moment:
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
