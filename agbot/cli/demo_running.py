"""The demo's whole hub in one process: simulated Exchange, agents and agbot, and the real daemon, over loopback HTTP.

The daemon is the one of production with its default settings, but for addresses, secrets and where it keeps its leases. Everything runs on
one clock, so that its periods hold in simulated time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from agbot.cli.demo_clock import PATIENCE_SECONDS, DemoClock
from agbot.cli.demo_store import OverheardStore
from agbot.cli.demo_stories import ORG, Plan, Story, set_up
from agbot.cli.demo_words import in_words, short
from agbot.daemon.daemon import Daemon, Surroundings
from agbot.daemon.notify import Notifier
from agbot.events.names import GRANTS
from agbot.settings.load import Loaded, Secrets
from agbot.settings.model import (
    AgbotSettings,
    ConsoleSettings,
    ExchangeSettings,
    GatewaySettings,
    Settings,
    StoreSettings,
)
from agbot.settings.secret import Secret
from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.deeds import Act, Deed
from agbot.sim.exchange import SimExchange, seed, serving
from agbot.sim.fleet import GROUP_PROPERTY, Fleet
from agbot.sim.http_links import HttpExchange, HttpGateway
from agbot.sim.links import GatewayPort
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.plain_http import listening
from agbot.sim.secure_api import SecureApi
from agbot.store.contract import Entry
from agbot.store.sqlite import SqliteStore

COORDINATOR: Final = "coordinator"
_SHOWN_LINES: Final = 200
_START_SECONDS: Final = 15.0


@dataclass(slots=True, kw_only=True)
class Heard:
    """What the daemon has committed so far, counted, and told in words."""

    grants: int = 0
    exempt: int = 0
    overlaps: int = 0
    releases: Counter[str] = field(default_factory=Counter)
    lines: deque[tuple[datetime, str]] = field(default_factory=lambda: deque(maxlen=_SHOWN_LINES))
    on_line: Callable[[datetime, str], None] | None = None
    on_release: Callable[[str, str, str, datetime], None] | None = None
    """The observer: it measures the hand-off against what the Exchange held, and judges nothing by it."""

    def entry(self, entry: Entry) -> None:
        """Count an entry of the journal and tell it."""
        if entry.event in GRANTS:
            self.grants += 1
        elif entry.event == "lease.exempted":
            self.exempt += 1
        elif entry.event == "lease.overlapped":
            self.overlaps += 1
        elif entry.event == "lease.released":
            self.releases[str(entry.facts.get("cause"))] += 1
            if self.on_release is not None:
                self.on_release(entry.group or "", entry.node or "", entry.subject or "", entry.at)
        words = in_words(entry)
        if words is not None:
            self.line(entry.at, words)

    def line(self, at: datetime, text: str) -> None:
        """Tell one line."""
        self.lines.append((at, text))
        if self.on_line is not None:
            self.on_line(at, text)


@dataclass(slots=True, kw_only=True)
class DemoHub:
    """Everything that runs."""

    clock: DemoClock
    fleet: Fleet
    daemon: Daemon
    stories: list[Story]
    heard: Heard
    running: asyncio.Task[None]

    @property
    def is_told(self) -> bool:
        """Whether every story is over."""
        return all(story.is_over for story in self.stories)


@asynccontextmanager
async def running_hub(
    plan: Plan, *, clock: DemoClock, chance_seed: int, folder: Path, heard: Heard, gateway: GatewayPort | None = None
) -> AsyncIterator[DemoHub]:
    """Start everything, and end it on leaving: the agbot's two interfaces before the daemon that is configured with them.

    `gateway` stands in for the daemon's, to show what an observer sees without one.

    Raises:
        TimeoutError: the daemon was not ready in time; its log says why.
        Exception: whatever ended a part while it ran.
    """
    exchange = SimExchange(clock=clock, root_password=f"{random.Random(chance_seed).random()}", seed=chance_seed)  # noqa: S311 - made up
    seed.agbot(exchange, "IBM", COORDINATOR)
    async with AsyncExitStack() as stack:
        ticking = asyncio.create_task(clock.run(), name="clock")
        stack.push_async_callback(_end, ticking)
        server = await stack.enter_async_context(serving(exchange))
        rows, secure = AgbotRows(), SecureApi(clock)
        known: list[Fleet] = []
        agbot = AgbotSettings(
            secure_api=(await stack.enter_async_context(listening(secure))).url,
            api=((await stack.enter_async_context(listening(_local_api(rows, clock, known)))).url,),
        )
        daemon, started = _daemon(server.url, agbot, clock, folder, heard), asyncio.Event()
        running = asyncio.create_task(daemon.run(started.set), name="daemon")
        stack.push_async_callback(_stop, daemon, running)
        await _first(running, started.wait(), "the daemon did not start")
        await _first(running, _ready(daemon), "the daemon did not become ready")
        port = await stack.enter_async_context(HttpExchange(server.url, timeout_seconds=2 * PATIENCE_SECONDS))
        own = HttpGateway(f"http://127.0.0.1:{daemon.gateway.port}", timeout_seconds=2 * PATIENCE_SECONDS)
        fleet = Fleet(exchange, gateway or own, clock, chance_seed=chance_seed, exchange_port=port, rows=rows)
        fleet.bypass = HttpGateway(agbot.secure_api, timeout_seconds=2 * PATIENCE_SECONDS)
        secure.lock = fleet.agbot.agent_lock
        known.append(fleet)
        heard.on_release = fleet.observer.lease_free_at
        await stack.enter_async_context(fleet)
        fleet.add_org(ORG)
        fleet.add_agbot()
        fleet.listen(lambda deed: _tell_exempt(deed, fleet, heard))
        stories = await set_up(plan, fleet)
        for story in stories:
            story.stage.cues = _Cues(story.scenario.name, clock, heard)
        yield DemoHub(clock=clock, fleet=fleet, daemon=daemon, stories=stories, heard=heard, running=running)


class _Cues(list[str]):
    """What is done to a group, told at the moment it is done: a cue that came late would stand after what it has caused."""

    def __init__(self, group: str, clock: DemoClock, heard: Heard) -> None:
        super().__init__()
        self._group = group
        self._clock = clock
        self._heard = heard

    def append(self, cue: str) -> None:
        """Take a cue, `HH:MM:SS text`."""
        super().append(cue)
        self._heard.line(self._clock.now(), short(f"{self._group}: * {cue.partition(' ')[2]}"))


def _tell_exempt(deed: Deed, fleet: Fleet, heard: Heard) -> None:
    """Tell what no journal has: cluster nodes do not ask."""
    node = fleet.nodes.get(deed.node)
    if deed.act is Act.DOWN and node is not None and node.spec.node_type == "cluster":
        group = node.spec.properties.get(GROUP_PROPERTY, "")
        heard.line(
            deed.at, f"{group}: {node.spec.id} is a cluster node and upgrades by itself, beside the group's lease"
        )


def _local_api(rows: AgbotRows, clock: DemoClock, known: list[Fleet]) -> LocalApi:
    """Show the agbot's rows before there is a fleet: the daemon that looks at them starts first."""
    shown = Shown(org="IBM", id="agbot1", policies=lambda: known[0].agbot.ledger.by_org() if known else {})
    return LocalApi(rows, clock, shown)


def _daemon(exchange_url: str, agbot: AgbotSettings, clock: DemoClock, folder: Path, heard: Heard) -> Daemon:
    settings = Settings(
        exchange=ExchangeSettings(url=exchange_url, identity=f"IBM/{COORDINATOR}"),
        gateway=GatewaySettings(listen="127.0.0.1:0"),
        agbot=agbot,
        console=ConsoleSettings(listen="127.0.0.1:0"),
        store=StoreSettings(path=folder / "agbot.db"),
    )
    secrets = Secrets(exchange_token=Secret(seed.token_of(COORDINATOR)))
    store = OverheardStore(SqliteStore(settings.store.path), heard.entry)
    surroundings = Surroundings(clock=clock, notifier=Notifier({}), handles_signals=False)
    return Daemon(Loaded(settings=settings, secrets=secrets), surroundings, store=store)


async def _ready(daemon: Daemon) -> None:
    while not daemon.coordinator.overview().ready:  # noqa: ASYNC110 - readiness is shown, not signalled
        await asyncio.sleep(0.02)


async def _first(running: asyncio.Task[None], coming: Coroutine[Any, Any, Any], what: str) -> None:
    """Wait for something of the daemon, unless the daemon ends before."""
    waiting = asyncio.create_task(coming)
    try:
        await asyncio.wait({waiting, running}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        if not waiting.done():
            raise TimeoutError(f"{what} within {_START_SECONDS:g} s")
    finally:
        waiting.cancel()


async def _stop(daemon: Daemon, running: asyncio.Task[None]) -> None:
    daemon.request_stop()
    with suppress(asyncio.CancelledError):
        await running


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
