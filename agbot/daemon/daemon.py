"""The daemon: starts and stops its parts in order, and follows systemd and signals.

The Exchange and a shared store may be down: the daemon then runs, is not ready, grants nothing and
states why.

Order of start: store (its lock proves that this is the only daemon, unless several share it),
listeners, then scheduler and deliveries; on a shared store the leadership begins and ends those.

Order of stop: no new grants, the leadership is given up, open questions are answered, scheduler and
deliveries end, the store closes. The leases stay with their holders.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from agbot import __version__, log
from agbot.console.metrics import Metrics
from agbot.console.server import Console
from agbot.coordinator.coordinator import Coordinator
from agbot.daemon import starting
from agbot.daemon.context import Context
from agbot.daemon.parts import assemble
from agbot.daemon.reloading import Reloading
from agbot.daemon.working import standing
from agbot.events.process import DaemonFailed, DaemonStarted, DaemonStopped, DaemonStopping
from agbot.gateway.listener import Listener
from agbot.rules.leadership import Whereabouts
from agbot.settings.load import Loaded
from agbot.store.contract import Store, StoreRefusedError, StoreUnavailableError
from agbot.store.leadership import SharedStore

_STOP_SECONDS = 4.0
"""From SIGTERM to the end it takes at most 5 s; open questions have this much of it."""
_WATCHDOG_SHARE = 3.0
"""Two of three feeds may be late before systemd ends the process."""


class Daemon:
    """One coordinator with its listeners, from start to stop."""

    def __init__(
        self, loaded: Loaded, context: Context, *, store: Store | None = None, shared: SharedStore | None = None
    ) -> None:
        """Take the store, or the shared one, in place of that of the settings."""
        self._context = context
        self._settings = loaded.settings
        self._parts = assemble(loaded, context, store, shared, lambda: self._reloading.loaded.secrets.operator_token)
        self._reloading = Reloading(loaded, context, self._parts)
        self._stop = asyncio.Event()

    @property
    def metrics(self) -> Metrics:
        """What is measured."""
        return self._parts.metrics

    @property
    def _is_shadow(self) -> bool:
        return self._settings.run.mode == "shadow"

    @property
    def coordinator(self) -> Coordinator:
        """Decides."""
        return self._parts.coordinator

    def where(self) -> Whereabouts:
        """Return who leads, as far as this daemon knows."""
        return self._parts.leading.where() if self._parts.leading else Whereabouts()

    @property
    def leads(self) -> bool:
        """Whether this daemon's coordinator leads."""
        return self.where().leads

    @property
    def gateway(self) -> Listener:
        """The listener for agents and agbots."""
        return self._parts.gateway

    @property
    def console(self) -> Console:
        """The listener for operators."""
        return self._parts.console

    def request_stop(self) -> None:
        """End as soon as possible; `run` returns."""
        self._stop.set()

    async def run(self, on_started: Callable[[], None] | None = None) -> None:
        """Run until a stop is requested.

        Raises:
            StoreLockedError: another daemon uses the store.
            StoreError: the store cannot be used.
            OSError: an address cannot be listened on.
        """
        await self._open()
        try:
            await self._start()
            if on_started is not None:
                on_started()
            await self._run_until_stopped()
        finally:
            await self._shut_down()
        log.write(DaemonStopped())  # not after a failure, whose event is the last one

    async def _open(self) -> None:
        """Open the store. A database that cannot be reached is opened later, by the leadership."""
        context, leading = self._context, self._parts.leading
        store = self._parts.shared or self._parts.store
        try:
            await starting.opened(store, self._settings.store, context.notifier, context.clock)
        except StoreUnavailableError as error:
            if leading is None or isinstance(error, StoreRefusedError):
                raise
            leading.begin_unopened(str(error))

    async def _start(self) -> None:
        if self._context.handles_signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.request_stop)
            loop.add_signal_handler(signal.SIGHUP, self._reloading.reload)
        if self._parts.leading is None:
            await self._parts.receivers.deliveries.begin()
        settings = self._settings
        await starting.listening("[console] listen", settings.console.listen, self.console.start())
        if not self._is_shadow:  # agents ask the real agbot
            await starting.listening("[gateway] listen", settings.gateway.listen, self.gateway.start())
        log.write(
            DaemonStarted(
                version=__version__,
                mode=settings.run.mode,
                gateway="" if self._is_shadow else settings.gateway.listen,
                console=self.console.url,
                exchange=settings.exchange.url,
                identity=settings.exchange.identity,
                store=settings.store.where,
            )
        )
        self._context.notifier.ready("started; has not read the Exchange yet")

    async def _run_until_stopped(self) -> None:
        leading, working = self._parts.leading, self._parts.working
        tasks = {
            asyncio.create_task(work, name=name)
            for name, work in (
                ("work", working.watch()),
                ("watchdog", self._feed_watchdog()),
                ("certificates", self._parts.renewals.watch()),
                ("store size", self._parts.store_size.watch()),
            )
        }
        if leading is None:
            working.start()
        else:
            tasks.add(asyncio.create_task(leading.run(), name="leadership"))
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._context.notifier.stopping("answering open questions")
            log.write(DaemonStopping(**standing(self.coordinator)))
            working.is_stopping = True
            await (working.quiesce() if leading is None else leading.stop())
            await self.gateway.stop(_STOP_SECONDS - 1.0)
        finally:
            await working.cancel()
            for task in (*tasks, stopping):
                task.cancel()
            outcomes = await asyncio.gather(*tasks, stopping, return_exceptions=True)
        for outcome in outcomes:  # a task that ends by itself is a bug
            if isinstance(outcome, Exception):
                raise outcome

    async def _feed_watchdog(self) -> None:
        """Feed the watchdog while the scheduler progresses, also while the Exchange hangs."""
        watched = self._context.notifier.watchdog_seconds
        if watched is None:
            await asyncio.Event().wait()
            return
        settings = self._settings.exchange
        allowed = self._context.clock.real_seconds(settings.poll_seconds + 2 * settings.request_seconds)
        while True:
            await asyncio.sleep(watched / _WATCHDOG_SHARE)
            if self._stalled_seconds() < allowed:
                self._context.notifier.watchdog()

    def _stalled_seconds(self) -> float:
        leading = self._parts.leading
        if leading is None or leading.where().leads:
            return self.coordinator.stalled_seconds()
        return self._context.clock.monotonic_seconds() - leading.looked_seconds

    async def _shut_down(self) -> None:
        parts = self._parts
        closes = [parts.gateway.stop, parts.console.stop, parts.exchange.close]
        closes += [part.close for part in (parts.agbot, parts.guard) if part is not None]
        for close in (*closes, (parts.shared or parts.store).close):
            await _closed(close())


async def _closed(closing: Coroutine[Any, Any, None]) -> None:
    """Close one part; its failure must not keep the others open."""
    try:
        await closing
    except Exception:  # noqa: BLE001 - the other parts are closed too; the traceback is logged
        log.write_with_traceback(DaemonFailed())
