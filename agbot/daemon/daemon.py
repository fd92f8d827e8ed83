"""The daemon: puts the parts together, starts and stops them in order, and listens to systemd and signals.

Order of start: store (its lock is the proof that there is one daemon), listeners, then the scheduler and what tells other systems. The
Exchange may be down: the daemon runs, is not ready, grants nothing and says why. Order of stop: nothing new is granted, answers in flight
are finished, scheduler and telling end, the store closes. The leases stay; they belong to the nodes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from agbot import __version__
from agbot.agreementbot.client import AgreementBot
from agbot.clock import Clock, SystemClock
from agbot.console.metrics import Metrics
from agbot.console.server import Console
from agbot.coordinator.coordinator import Coordinator, Means
from agbot.daemon import logging as daemon_logging
from agbot.daemon import starting
from agbot.daemon.delivering import Told
from agbot.daemon.measuring import CountedPermission, Teller
from agbot.daemon.notify import Notifier
from agbot.daemon.renewing import Renewals, renewables
from agbot.events.outbox import Outbox
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.transport import HttpTransport
from agbot.gateway.listener import Listener
from agbot.listening import descriptors
from agbot.settings import secret
from agbot.settings.load import Loaded, Secrets
from agbot.settings.problems import SettingsError
from agbot.settings.scopes import limits_of
from agbot.store.contract import Store
from agbot.store.files import sizes
from agbot.store.sqlite import SqliteStore

STOP_SECONDS = 4.0
"""SIGTERM to the end takes at most 5 s; answers in flight may use this much of it."""
_WATCHDOG_SHARE = 3.0
_FIXED_SECTIONS = ("exchange", "agbot", "gateway", "console", "store", "mqtt", "webhook")
"""What a reload does not change."""
_AFTER_A_BUG_SECONDS = 5.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a daemon runs in: given by the command, replaced by tests and the demo."""

    clock: Clock
    notifier: Notifier
    reload: Callable[[], Loaded] | None = None
    """Reads the settings anew; raises `SettingsError`."""
    handles_signals: bool = True
    dropped_lines: Callable[[], int] = lambda: 0
    """How many lines of the log were dropped so far."""


def ordinary(reload: Callable[[], Loaded] | None = None) -> Surroundings:
    """Return the surroundings of a daemon that runs by itself."""
    return Surroundings(clock=SystemClock(), notifier=Notifier(), reload=reload)


class Daemon:
    """One coordinator with its listeners, from start to stop."""

    def __init__(self, loaded: Loaded, surroundings: Surroundings, *, store: Store | None = None) -> None:
        self._loaded = loaded
        self._surroundings = surroundings
        settings, clock = loaded.settings, surroundings.clock
        self.metrics = Metrics()
        self._transport = HttpTransport(
            settings.exchange.url, ca_file=settings.exchange.ca_file, observe=self._observe_exchange
        )
        self._exchange = ExchangeClient(
            self._transport,
            _credentials(loaded),
            clock,
            request_seconds=settings.exchange.request_seconds,
            max_requests_open=settings.exchange.max_requests_open,
        )
        journal_bytes = int(settings.store.journal_megabytes * 1_000_000)
        self._store = store or SqliteStore(settings.store.path, journal_bytes=journal_bytes)
        self._agbot = AgreementBot(settings.agbot, clock) if settings.agbot.api else None
        tell = Teller(self.metrics, self._wake_deliveries).tell
        means = Means(
            exchange=self._exchange,
            store=self._store,
            clock=clock,
            tell=tell,
            agbot_identity=settings.agbot.identity,
            agbot=self._agbot,
            journal_age=timedelta(days=settings.store.journal_days),
            journal_bytes=journal_bytes,
        )
        self.coordinator = Coordinator(means, settings.exchange, limits_of(settings))
        self.metrics.watch_log(surroundings.dropped_lines)
        self.metrics.watch_store(partial(sizes, settings.store.path))
        self.metrics.watch(self.coordinator.overview, lambda: len(self.coordinator.groups()))
        outbox = Outbox(self._store, clock, tell)
        self._told = Told(loaded, outbox, clock, self.coordinator, self.metrics.delivered)
        self._deliveries = self._told.deliveries
        self.metrics.watch_deliveries(self._deliveries.lags)
        open_files = descriptors.Descriptors(descriptors.claim())
        self.gateway = Listener(
            settings.gateway,
            settings.agbot,
            CountedPermission(self.coordinator, self.metrics),
            self._exchange,
            clock,
            observe=self.metrics.answered,
            descriptors=open_files,
        )
        self.console = Console(
            listen=settings.console.listen,
            operations=self.coordinator,
            metrics=self.metrics,
            clock=clock,
            operator_token=lambda: self._loaded.secrets.operator_token,
            descriptors=open_files,
        )
        self._renewals = Renewals(renewables(settings, self.gateway, self._transport, self._told), clock)
        self.metrics.watch_certificates(self._renewals.days_left)
        self._stop = asyncio.Event()

    def request_stop(self) -> None:
        """End as soon as possible; `run` returns."""
        self._stop.set()

    async def run(self, on_started: Callable[[], None] | None = None) -> None:
        """Run until somebody asks for the end.

        Raises:
            StoreLockedError: another daemon uses the store.
            StoreError: the store cannot be used.
            OSError: an address cannot be listened on.
        """
        around = self._surroundings
        await starting.opened(self._store, self._loaded.settings.store.path, around.notifier, around.clock)
        try:
            await self._start()
            if on_started is not None:
                on_started()
            await self._run_until_stopped()
        finally:
            await self._shut_down()

    async def _start(self) -> None:
        if self._surroundings.handles_signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.request_stop)
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self._deliveries.begin()
        settings = self._loaded.settings
        await starting.listening("[console] listen", settings.console.listen, self.console.start())
        await starting.listening("[gateway] listen", settings.gateway.listen, self.gateway.start())
        _log.info(
            "daemon.started",
            version=__version__,
            gateway=settings.gateway.listen,
            console=self.console.url,
            exchange=settings.exchange.url,
            identity=settings.exchange.identity,
            store=str(settings.store.path),
        )
        self._surroundings.notifier.ready("started; has not read the Exchange yet")

    async def _run_until_stopped(self) -> None:
        eternal = {
            asyncio.create_task(work, name=name)
            for name, work in (
                ("scheduler", self._schedule()),
                ("watchdog", self._feed_watchdog()),
                ("deliveries", self._deliveries.run()),
                ("certificates", self._renewals.watch()),
            )
        }
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait({*eternal, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._surroundings.notifier.stopping("finishes the answers in flight")
            _log.info("daemon.stopping", **self._standing())
            await self.coordinator.stop()
            await self.gateway.stop(STOP_SECONDS - 1.0)
        finally:
            for task in (*eternal, stopping):
                task.cancel()
            outcomes = await asyncio.gather(*eternal, stopping, return_exceptions=True)
        for outcome in outcomes:  # an eternal task that ends by itself is a bug, and is shown as one
            if isinstance(outcome, Exception):
                raise outcome

    async def _schedule(self) -> None:
        """Cycle for ever. A cycle that fails altogether is a bug in us: it is told with its traceback, and the next one is tried."""
        was_ready = False
        while True:
            try:
                report = await self.coordinator.cycle()
            except Exception:  # noqa: BLE001 - a bug in one cycle must not end the scheduler; its traceback is logged
                self.metrics.cycle_failed()
                _log.exception("cycle.failed")
                was_ready = self._tell_readiness(was_ready=was_ready)
                await self._surroundings.clock.sleep(_AFTER_A_BUG_SECONDS)
                continue
            self.metrics.cycle_done(report.took_seconds)
            _log.debug("cycle.done", sentence=report.sentence, seconds=round(report.took_seconds, 3))
            self._surroundings.notifier.watchdog(report.sentence)
            was_ready = self._tell_readiness(was_ready=was_ready)
            await self.coordinator.pause_between_cycles()

    def _wake_deliveries(self) -> None:
        self._deliveries.wake()

    def _tell_readiness(self, *, was_ready: bool) -> bool:
        overview = self.coordinator.overview()
        if overview.ready and not was_ready:
            _log.info("daemon.ready", **self._standing())
            self._wake_deliveries()  # how groups stand can be told only from now on
        elif was_ready and not overview.ready and not self._stop.is_set():
            _log.warning("daemon.unready", why="; ".join(overview.not_ready))
        return overview.ready

    async def _feed_watchdog(self) -> None:
        """Tell systemd that we live while the scheduler moves: a hanging Exchange is not a hanging daemon, a stuck loop is."""
        watched = self._surroundings.notifier.watchdog_seconds
        if watched is None:
            await asyncio.Event().wait()
            return
        settings = self._loaded.settings.exchange
        allowed = self._surroundings.clock.real_seconds(settings.poll_seconds + 2 * settings.request_seconds)
        while True:
            await asyncio.sleep(watched / _WATCHDOG_SHARE)
            if self.coordinator.stalled_seconds() < allowed:
                self._surroundings.notifier.watchdog()

    async def _shut_down(self) -> None:
        closes = [self.gateway.stop, self.console.stop, self._exchange.close]
        closes += [self._agbot.close] if self._agbot is not None else []
        for close in (*closes, self._store.close):
            await _closed(close())
        _log.info("daemon.stopped")

    def reload(self) -> None:
        """Read the settings anew; a bad file is refused and the old settings stay."""
        again = self._surroundings.reload
        if again is None:
            return
        self._surroundings.notifier.reloading()
        try:
            loaded = again()
        except SettingsError as error:
            _log.error("settings.refused", mistakes=[str(problem) for problem in error.problems])
        else:
            self._use(loaded)
        self._surroundings.notifier.ready()

    def _use(self, loaded: Loaded) -> None:
        before, new = self._loaded, loaded.settings
        old = before.settings
        kept = replace(new, **{name: getattr(old, name) for name in _FIXED_SECTIONS})
        self._loaded = replace(loaded, settings=kept)
        self.coordinator.set_limits(limits_of(new))
        if new.log != old.log:
            daemon_logging.set_up(new.log)
        facts = {
            "needs_restart": [name for name in _FIXED_SECTIONS if getattr(old, name) != getattr(new, name)],
            "renewed": [*self._use_secrets(before.secrets, loaded.secrets), *self._renewals.renew()],
        }
        if copies := secret.handed_over(os.environ):
            facts["copied_at_start"] = copies
        _log.info("settings.reloaded", **facts)

    def _use_secrets(self, before: Secrets, now: Secrets) -> list[str]:
        """Use the secrets as they are now, and name those that are others than before."""
        changed = [field.name for field in fields(Secrets) if getattr(before, field.name) != getattr(now, field.name)]
        self._exchange.use(_credentials(self._loaded))
        self._told.use_secrets(now)
        return [name.replace("_", " ") for name in changed]

    def _standing(self) -> dict[str, Any]:
        overview = self.coordinator.overview()
        return {
            "held": overview.held,
            "suspect": overview.suspect,
            "waiting": overview.waiting,
            "orgs": len(overview.orgs),
        }

    def _observe_exchange(self, _template: str, outcome: str, _seconds: float) -> None:
        self.metrics.exchange_requested(outcome)


def _credentials(loaded: Loaded) -> Credentials:
    token = loaded.secrets.exchange_token
    return Credentials(identity=loaded.settings.exchange.identity, secret=token.reveal() if token else "")


async def _closed(closing: Coroutine[Any, Any, None]) -> None:
    """Close one part; what fails there must not keep the others open."""
    try:
        await closing
    except Exception:  # noqa: BLE001 - the other parts are closed all the same; the traceback is logged
        _log.exception("daemon.failed")
