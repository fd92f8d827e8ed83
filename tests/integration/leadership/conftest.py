"""Several coordinators in this process, on one store in memory and real sockets, beside a simulated Exchange."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agbot.daemon.context import Context
from agbot.daemon.daemon import Daemon
from agbot.daemon.notify import Notifier
from agbot.settings.load import Loaded
from agbot.settings.model import (
    AgbotSettings,
    ConsoleSettings,
    ExchangeSettings,
    GatewaySettings,
    LeadershipSettings,
    Settings,
)
from agbot.settings.secret import Secret
from agbot.settings.secret_files import Secrets
from agbot.sim.links import Answered
from tests.acceptance import hub as hubs
from tests.acceptance.hub import COORDINATOR, GROUP, Hub, secret_of
from tests.acceptance.programs import free_port
from tests.support.authority import Pair
from tests.support.patience import until
from tests.support.shared_memory import SharedContent, SharedMemoryStore

OPERATOR = secret_of("operator")
LONG_TTL_SECONDS = 50.0
"""No leader loses its leadership because this machine is busy."""
SHORT_TTL_SECONDS = 3.0
"""For what a test lets expire."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive what coordinators leave open that die here as by `kill -9`, but go on living in this process."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.parent == folder:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning"))


@dataclass
class Running:
    """One coordinator."""

    name: str
    daemon: Daemon
    store: SharedMemoryStore
    task: asyncio.Task[None]
    gateway: str
    console: str
    session: aiohttp.ClientSession

    @property
    def leads(self) -> bool:
        return self.daemon.leads

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"{self.console}{path}") as reply:
            return reply.status, await reply.text()

    async def post(self, path: str, body: dict[str, Any], token: str = OPERATOR) -> tuple[int, dict[str, Any]]:
        bearer = {"Authorization": f"Bearer {token}"}
        async with self.session.post(f"{self.console}{path}", json=body, headers=bearer) as reply:
            return reply.status, await reply.json()

    async def ask(self, node: str, **more: str) -> Answered:
        return await hubs.ask(self.gateway, node, **more)

    async def die(self) -> None:
        """End without a word to the others, as `kill -9` does."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.daemon.coordinator.end_term()

    async def stop(self) -> None:
        """End as after SIGTERM."""
        self.daemon.request_stop()
        await self.task


@dataclass
class Site:
    """All that there is."""

    hub: Hub
    agbot_url: str
    content: SharedContent = field(default_factory=lambda: SharedContent(now=lambda: datetime.now(UTC)))
    running: list[Running] = field(default_factory=list)
    ttl_seconds: float = LONG_TTL_SECONDS

    async def start(
        self,
        name: str,
        *,
        gateway_url: str = "",
        console_url: str | None = None,
        pair: Pair | None = None,
        ca_file: Path | None = None,
        host: str = "127.0.0.1",
        is_cut: bool = False,
        fleetlock: bool = False,
    ) -> Running:
        """Start a coordinator, which others reach at its listeners unless another URL is given.

        With a pair its gateway uses TLS. It trusts those that `ca_file` has signed. If it is cut off,
        it cannot reach the store.
        """
        gateway, console = free_port(), free_port()
        settings = Settings(
            exchange=ExchangeSettings(
                url=self.hub.url,
                identity=f"IBM/{COORDINATOR}",
                poll_seconds=0.3,
                busy_poll_seconds=0.1,
                heartbeat_seconds=0.5,
                view_max_age_seconds=5.0,
            ),
            agbot=AgbotSettings(secure_api=self.agbot_url),
            gateway=GatewaySettings(
                listen=f"127.0.0.1:{gateway}",
                certificate_file=pair.certificate if pair else None,
                key_file=pair.key if pair else None,
                fleetlock=fleetlock,
            ),
            console=ConsoleSettings(listen=f"127.0.0.1:{console}"),
            leadership=LeadershipSettings(
                name=name,
                gateway_url=gateway_url or f"{'https' if pair else 'http'}://{host}:{gateway}",
                ca_file=ca_file,
                console_url=f"http://127.0.0.1:{console}" if console_url is None else console_url,
                ttl_seconds=self.ttl_seconds,
                renew_seconds=0.4,
            ),
        )
        secrets = Secrets(exchange_token=Secret(secret_of(COORDINATOR)), operator_token=Secret(OPERATOR))
        store = SharedMemoryStore(self.content)
        store.is_cut = is_cut
        context = Context(notifier=Notifier({}), handles_signals=False)
        daemon = Daemon(Loaded(settings=settings, secrets=secrets), context, shared=store)
        started = asyncio.Event()
        task = asyncio.create_task(daemon.run(started.set))
        made = Running(
            name,
            daemon,
            store,
            task,
            f"http://127.0.0.1:{gateway}",
            f"http://127.0.0.1:{console}",
            self.hub.session,
        )
        self.running.append(made)
        await until(f"the start of {name}", lambda: started.is_set() or task.done())
        return made

    async def leader(self, name: str, **more: Any) -> Running:
        """Start a coordinator that leads and may grant."""
        made = await self.start(name, **more)
        await self.until_ready(made)
        return made

    async def standby(self, name: str, **more: Any) -> Running:
        """Start a coordinator that stands by and knows who leads."""
        made = await self.start(name, **more)
        await until(f"{name} stands by", lambda: made.daemon.where().leader)
        return made

    async def until_ready(self, made: Running) -> None:
        await until(f"{made.name} leads", lambda: made.leads and made.daemon.coordinator.overview().ready)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        return web.Response(status=HTTPStatus.OK, text="the real agbot")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        hub = Hub(session)
        await hub.start()
        await hub.publish()
        await hub.group(GROUP, "anna", "ben", "carl")
        made = Site(hub, f"http://127.0.0.1:{port}")
        try:
            yield made
        finally:
            while made.running:  # nothing but cycles may hold them at the end
                await made.running.pop(0).die()
            hub.end()
            await runner.cleanup()
            gc.collect()  # what a dead coordinator has left open, so that no other test is blamed for it


@contextlib.asynccontextmanager
async def answering(answer: str) -> AsyncIterator[str]:
    """Give this answer, from its status on, to one request at the yielded URL, and wait for the end of its connection."""
    ended = asyncio.Event()

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {answer}".encode())
        await reader.read()  # until the standby has closed
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await ended.wait()
    server.close()
