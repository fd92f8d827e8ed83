"""The hub of the demo in one process: a simulated Exchange, agents and agbot, and the real daemon.

They are connected by HTTP on the loopback interface. The daemon is the one of production with its
default settings, except for addresses, secrets and the path of its store. Everything runs on one
clock, so that the daemon's periods hold in simulated time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from agbot.cli.demo.clock import PATIENCE_SECONDS, DemoClock
from agbot.cli.demo.guard import GuardedDatabase
from agbot.cli.demo.observed import Observed, observing
from agbot.cli.demo.stories import ORG, Plan, Story, set_up
from agbot.cli.demo.words import short
from agbot.daemon.context import Context
from agbot.daemon.daemon import Daemon
from agbot.daemon.notify import Notifier
from agbot.settings.load import Loaded
from agbot.settings.model import (
    AgbotSettings,
    ConsoleSettings,
    ExchangeSettings,
    GatewaySettings,
    GuardSettings,
    Settings,
    StoreSettings,
)
from agbot.settings.secret import Secret
from agbot.settings.secret_files import Secrets
from agbot.sim.actions import Act, Action
from agbot.sim.agbot_account import AgbotSpec
from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.clock import Clock as SimClock
from agbot.sim.episodes import Tolerance
from agbot.sim.exchange import SimExchange, seed, serving
from agbot.sim.fleet import GROUP_PROPERTY, Fleet
from agbot.sim.http_links import HttpExchange, HttpGateway
from agbot.sim.links import GatewayPort
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.plain_http import listening
from agbot.sim.secure_api import SecureApi
from agbot.store.contract import Store
from agbot.store.sqlite import SqliteStore

COORDINATOR: Final = "coordinator"
OPERATOR_TOKEN: Final = "demo"  # noqa: S105 - it is shown on the screen, and protects nothing but the demo
"""Of the demo's console, which listens on the loopback: so that the page's actions can be tried."""
_START_SECONDS: Final = 15.0
_REQUEST_SECONDS: Final = 2 * PATIENCE_SECONDS


@dataclass(slots=True, kw_only=True)
class DemoHub:
    """Everything that runs."""

    clock: DemoClock
    fleet: Fleet
    daemon: Daemon
    stories: list[Story]
    observed: Observed
    running: asyncio.Task[None]
    beside: DemoHub | None = None
    """The guarded hub, if there is one."""

    @property
    def hubs(self) -> list[DemoHub]:
        """This hub, and the guarded one if there is one."""
        return [self] if self.beside is None else [self, self.beside]

    @property
    def every_story(self) -> list[Story]:
        """The stories of all hubs."""
        return [story for hub in self.hubs for story in hub.stories]

    @property
    def is_over(self) -> bool:
        """Whether every story is over."""
        return all(story.is_over for story in self.every_story)


@asynccontextmanager
async def running_hub(
    plan: Plan,
    *,
    clock: DemoClock,
    chance_seed: int,
    folder: Path,
    observed: Observed,
    gateway: GatewayPort | None = None,
    database: GuardedDatabase | None = None,
) -> AsyncIterator[DemoHub]:
    """Start everything, and end it when the context is left.

    The agbot's two interfaces start before the daemon that is configured with them. `gateway`
    replaces the daemon's, to show what the observer sees without one. With a guarded `database`
    the agbot is an unmodified one, which asks no one; that hub is beside another, whose clock runs.

    Raises:
        TimeoutError: the daemon was not ready in time; its log states why.
        Exception: the error that ended a part while it ran.
    """
    exchange = _exchange(clock, chance_seed)
    async with AsyncExitStack() as stack:
        if database is None:
            stack.push_async_callback(_end, asyncio.create_task(clock.run(), name="clock"))
        server = await stack.enter_async_context(serving(exchange))
        rows: AgbotRows = AgbotRows() if database is None else database.rows
        secure, known = SecureApi(clock), list[Fleet]()
        secure_api = await stack.enter_async_context(listening(secure))
        api = await stack.enter_async_context(listening(_local_api(rows, clock, known)))
        agbot = AgbotSettings(secure_api=secure_api.url, api=(api.url,))
        daemon = _daemon(server.url, agbot, clock, database.url if database else folder / "agbot.db", observed)
        running = await _start(stack, daemon)
        fleet = Fleet(
            exchange,
            gateway or HttpGateway(f"http://127.0.0.1:{daemon.gateway.port}", timeout_seconds=_REQUEST_SECONDS),
            clock,
            chance_seed=chance_seed,
            exchange_port=await stack.enter_async_context(HttpExchange(server.url, timeout_seconds=_REQUEST_SECONDS)),
            tolerance=Tolerance(is_guarded=database is not None),
            agbot=AgbotSpec(asks=database is None),
            rows=rows,
        )
        fleet.bypass = HttpGateway(agbot.secure_api, timeout_seconds=_REQUEST_SECONDS)
        secure.lock = fleet.agbot.agent_lock
        known.append(fleet)
        if database is None:
            observed.on_release = fleet.observer.on_lease_released
        await stack.enter_async_context(fleet)
        stories = await _people(fleet, plan, observed)
        yield DemoHub(clock=clock, fleet=fleet, daemon=daemon, stories=stories, observed=observed, running=running)


def _exchange(clock: DemoClock, chance_seed: int) -> SimExchange:
    """Return an Exchange that knows the coordinator."""
    exchange = SimExchange(clock=clock, root_password=f"{random.Random(chance_seed).random()}", seed=chance_seed)  # noqa: S311 - made up
    seed.agbot(exchange, "IBM", COORDINATOR)
    return exchange


async def _people(fleet: Fleet, plan: Plan, observed: Observed) -> list[Story]:
    """Create the organisation, the agbot and the groups of all stories."""
    fleet.add_org(ORG)
    fleet.add_agbot()
    fleet.subscribe(lambda action: _show_exempt(action, fleet, observed))
    stories = await set_up(plan, fleet)
    for story in stories:
        story.stage.on_cue = partial(_show_cue, story.scenario.name, fleet.clock, observed)
    return stories


def _show_cue(group: str, clock: SimClock, observed: Observed, text: str) -> None:
    """Show what is done to a group when it is done, before its effects."""
    observed.line(clock.now(), short(f"{group}: * {text}"))


def _show_exempt(action: Action, fleet: Fleet, observed: Observed) -> None:
    """Show the upgrade of a cluster node.

    The journal has none, because cluster nodes do not ask.
    """
    node = fleet.nodes.get(action.node)
    if action.act is Act.DOWN and node is not None and node.spec.node_type == "cluster":
        group = node.spec.properties.get(GROUP_PROPERTY, "")
        observed.line(
            action.at, f"{group}: {node.spec.id} is a cluster node and upgrades by itself, beside the group's lease"
        )


def _local_api(rows: AgbotRows, clock: DemoClock, known: list[Fleet]) -> LocalApi:
    """Serve the agbot's rows. The daemon that reads them starts before there is a fleet."""
    shown = Shown(
        org="IBM",
        id="agbot1",
        policies=lambda: known[0].agbot.ledger.by_org() if known else {},
        waiting=lambda: known[0].agbot.ledger.waiting() if known else [],
    )
    return LocalApi(rows, clock, shown)


def _daemon(exchange_url: str, agbot: AgbotSettings, clock: DemoClock, place: Path | str, observed: Observed) -> Daemon:
    """Return the daemon with its store at a place: a file, or the URL of a guarded database."""
    settings = Settings(
        exchange=ExchangeSettings(url=exchange_url, identity=f"IBM/{COORDINATOR}"),
        gateway=GatewaySettings(listen="127.0.0.1:0"),
        agbot=agbot,
        console=ConsoleSettings(listen="127.0.0.1:0"),
        store=StoreSettings(path=place) if isinstance(place, Path) else StoreSettings(url=place),
        guard=GuardSettings(enabled=not isinstance(place, Path)),
    )
    secrets = Secrets(exchange_token=Secret(seed.token_of(COORDINATOR)), operator_token=Secret(OPERATOR_TOKEN))
    store = observing(_store(place), observed.entry)
    context = Context(clock=clock, notifier=Notifier({}), handles_signals=False)
    return Daemon(Loaded(settings=settings, secrets=secrets), context, store=store)


async def _start(stack: AsyncExitStack, daemon: Daemon) -> asyncio.Task[None]:
    """Run the daemon until the context is left, and wait until it is ready."""
    started = asyncio.Event()
    running = asyncio.create_task(daemon.run(started.set), name="daemon")
    stack.push_async_callback(_stop, daemon, running)
    await _first(running, started.wait(), "the daemon did not start")
    await _first(running, _ready(daemon), "the daemon did not become ready")
    return running


def _store(place: Path | str) -> Store:
    if isinstance(place, Path):
        return SqliteStore(place)
    from agbot.store.postgres.address import Address
    from agbot.store.postgres.store import PostgresStore

    return PostgresStore(Address(url=place))


async def _ready(daemon: Daemon) -> None:
    while not daemon.coordinator.overview().ready:  # noqa: ASYNC110 - readiness can only be polled
        await asyncio.sleep(0.02)


async def _first(running: asyncio.Task[None], awaited: Coroutine[Any, Any, Any], what: str) -> None:
    """Wait for something that the daemon does, unless the daemon ends before."""
    waiting = asyncio.create_task(awaited)
    try:
        await asyncio.wait({waiting, running}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # why it has ended is a better answer than that it is not ready
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
