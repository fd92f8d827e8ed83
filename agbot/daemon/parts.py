"""The parts of a daemon, wired together as the settings state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from agbot import log
from agbot.agreementbot import source
from agbot.agreementbot.client import Agbots
from agbot.clock import Clock
from agbot.console.metrics import Metrics
from agbot.console.page.estimates import Estimates
from agbot.console.page.rollouts import Rollouts
from agbot.console.parts import Alone
from agbot.console.server import Console
from agbot.coordinator.coordinator import Coordinator
from agbot.coordinator.dependencies import Dependencies
from agbot.daemon.context import Context
from agbot.daemon.leading import NO_EPOCH, STANDS_BY, Leading
from agbot.daemon.measuring import CountedPermission, Reporter
from agbot.daemon.receivers import Receivers
from agbot.daemon.renewing import Renewals, renewables
from agbot.daemon.store_size import StoreSize
from agbot.daemon.working import Working
from agbot.delivery.outbox import Outbox
from agbot.events.event import Level
from agbot.events.exchange import ExchangeRead
from agbot.exchange import credentials
from agbot.exchange.client import ExchangeClient
from agbot.exchange.transport import HttpTransport
from agbot.fleet.changes import Read
from agbot.fleet.reads import Why
from agbot.gateway.listener import Listener
from agbot.listening.descriptors import Descriptors, raise_limit
from agbot.rules.leadership import Whereabouts
from agbot.settings.load import Loaded
from agbot.settings.model import Settings
from agbot.settings.receiving import MqttSettings, NotifySettings, WebhookSettings
from agbot.settings.scopes import limits_of
from agbot.settings.secret import Secret
from agbot.store.contract import Entry, Store
from agbot.store.leadership import SharedStore
from agbot.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from agbot.guard.link import Links

_BYTES_PER_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """The parts of one daemon that listen to no one."""

    metrics: Metrics
    transport: HttpTransport
    exchange: ExchangeClient
    agbot: Agbots | None
    guard: Links | None
    store: Store
    shared: SharedStore | None
    """The store, if several coordinators share it."""
    store_size: StoreSize
    leading: Leading | None
    """None if this coordinator always leads."""
    working: Working
    coordinator: Coordinator
    receivers: Receivers
    rollouts: Rollouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Inner):
    """The parts of one daemon."""

    gateway: Listener
    console: Console
    renewals: Renewals


def assemble(
    loaded: Loaded,
    context: Context,
    store: Store | None,
    shared: SharedStore | None,
    operator_token: Callable[[], Secret | None],
) -> Parts:
    """Create all parts, without starting any.

    `operator_token` is called for each request that needs one.

    Raises:
        OSError: a certificate cannot be used.
    """
    settings, clock = loaded.settings, context.clock
    inner = _inner(loaded, context, store, shared)
    if inner.leading is not None:
        inner.coordinator.begin_term(inner.store, lambda: STANDS_BY)
    descriptors = Descriptors(raise_limit())
    gateway = _gateway(settings, inner, clock, descriptors)
    console = Console(
        listen=settings.console.listen,
        operations=inner.coordinator,
        metrics=inner.metrics,
        clock=clock,
        operator_token=operator_token,
        deliveries=inner.receivers.deliveries,
        descriptors=descriptors,
        coordinators=inner.leading or Alone(settings.leadership.own_name),
        hop_ca_file=settings.leadership.ca_file,
        rollouts=inner.rollouts,
    )
    renewals = Renewals(renewables(settings, gateway, console, inner.transport, inner.receivers), clock)
    made = {field.name: getattr(inner, field.name) for field in fields(inner)}
    return _watched(Parts(**made, gateway=gateway, console=console, renewals=renewals), context)


def _inner(loaded: Loaded, context: Context, store: Store | None, shared: SharedStore | None) -> Inner:
    settings, clock, metrics = loaded.settings, context.clock, Metrics()
    transport, exchange = _exchange(loaded, clock, metrics)
    shared = shared or (None if store is not None else _shared_store(loaded))
    store = _store_of(settings, store, shared)
    agbot, reporter = source.for_reading(settings.agbot, clock), Reporter(metrics)
    guard = None if settings.run.mode == "shadow" else _guard_links(loaded)
    coordinator = _coordinator(
        settings,
        clock,
        store=store,
        exchange=exchange,
        agbot=agbot,
        guard=guard,
        publish=reporter.report,
        metrics=metrics,
    )
    outbox = Outbox(store, clock, reporter.report)
    receivers = Receivers(_with_receivers(loaded), outbox, clock, coordinator, metrics.delivered)
    reporter.wake = receivers.deliveries.wake
    rollouts = Rollouts(coordinator)
    estimates = Estimates(coordinator, rollouts, clock)
    working = Working(coordinator, receivers.deliveries, metrics, context, estimates=estimates)
    leading = None if shared is None else Leading(shared, settings.leadership, clock, working)
    return Inner(
        metrics=metrics,
        transport=transport,
        exchange=exchange,
        agbot=agbot,
        guard=guard,
        store=store,
        shared=shared,
        store_size=StoreSize(settings.store.path, shared, clock),
        leading=leading,
        working=working,
        coordinator=coordinator,
        receivers=receivers,
        rollouts=rollouts,
    )


def _shared_store(loaded: Loaded) -> SharedStore | None:
    """Return the store on PostgreSQL, not open; None if the settings name a file."""
    settings = loaded.settings.store
    if not settings.url:
        return None
    from agbot.store.postgres.address import Address  # noqa: PLC0415 - its driver is an extra
    from agbot.store.postgres.shared import PostgresShared  # noqa: PLC0415 - see above

    address = Address(url=settings.url, schema=settings.schema, password=loaded.secrets.store_password)
    return PostgresShared(address, journal_bytes=_journal_bytes(loaded.settings))


def _guard_links(loaded: Loaded) -> Links | None:
    """Return the connection to the guard's tables, not open; None if the guard is not enabled."""
    settings = loaded.settings
    if not settings.guard.enabled:
        return None
    from agbot.guard.link import Links, Unjudged  # noqa: PLC0415 - its driver is an extra
    from agbot.guard.scripts import Schemas  # noqa: PLC0415 - see above
    from agbot.store.postgres.address import Address  # noqa: PLC0415 - see above

    store, guard = settings.store, settings.guard
    # in a replaced database the triggers wait out an upgrade, and know no scopes: so the longest
    own = [each.values["max_upgrade_seconds"] for each in settings.scopes if "max_upgrade_seconds" in each.values]
    unjudged = Unjudged(
        agents=guard.agents_without_leader,
        services=guard.services_without_leader,
        lease_seconds=settings.rules.lease_seconds,
        upgrade_seconds=max([settings.rules.max_upgrade_seconds, *own]),
    )
    address = Address(url=store.url, schema=store.schema, password=loaded.secrets.store_password)
    return Links(address, Schemas(ours=store.schema, theirs=guard.agbot_schema), unjudged)


def _store_of(settings: Settings, store: Store | None, shared: SharedStore | None) -> Store:
    if shared is not None:
        return shared.under(NO_EPOCH)
    return store or SqliteStore(settings.store.path, journal_bytes=_journal_bytes(settings))


def _gateway(settings: Settings, inner: Inner, clock: Clock, descriptors: Descriptors) -> Listener:
    return Listener(
        settings.gateway,
        settings.agbot,
        CountedPermission(inner.coordinator, inner.metrics),
        inner.exchange,
        clock,
        observe=inner.metrics.answered,
        descriptors=descriptors,
        where=inner.leading.where if inner.leading else Whereabouts,
        hop_ca_file=settings.leadership.ca_file,
    )


def _with_receivers(loaded: Loaded) -> Loaded:
    """Return the settings with their receivers, without any in shadow mode: it sends nothing."""
    if loaded.settings.run.mode != "shadow":
        return loaded
    silent = replace(loaded.settings, mqtt=MqttSettings(), webhook=WebhookSettings(), notify=NotifySettings())
    return replace(loaded, settings=silent)


def _exchange(loaded: Loaded, clock: Clock, metrics: Metrics) -> tuple[HttpTransport, ExchangeClient]:
    settings = loaded.settings.exchange
    transport = HttpTransport(settings.url, ca_file=settings.ca_file, observe=metrics.exchange_requested)
    client = ExchangeClient(
        transport,
        credentials.own(loaded),
        clock,
        request_seconds=settings.request_seconds,
        max_requests_open=settings.max_requests_open,
    )
    return transport, client


def _coordinator(
    settings: Settings,
    clock: Clock,
    *,
    store: Store,
    exchange: ExchangeClient,
    agbot: Agbots | None,
    guard: Links | None,
    publish: Callable[[Entry], None],
    metrics: Metrics,
) -> Coordinator:
    def observe(read: Read, why: Why) -> None:
        metrics.has_read(why)
        if log.shows(Level.DEBUG):
            log.write(ExchangeRead(what=read.what.value, record=read.id, why=why.value))

    dependencies = Dependencies(
        exchange=exchange,
        store=store,
        clock=clock,
        publish=publish,
        agbot_identity=settings.agbot.identity,
        agbot=agbot,
        guard=None if guard is None else guard.of,
        observe=observe,
        journal_age=timedelta(days=settings.store.journal_days),
        journal_bytes=_journal_bytes(settings),
        is_shadow=settings.run.mode == "shadow",
    )
    return Coordinator(dependencies, settings.exchange, limits_of(settings), settings.scopes)


def _journal_bytes(settings: Settings) -> int:
    return int(settings.store.journal_megabytes * _BYTES_PER_MEGABYTE)


def _watched(parts: Parts, context: Context) -> Parts:
    """Let the metrics read the parts at each scrape."""
    metrics, coordinator = parts.metrics, parts.coordinator
    where = parts.leading.where if parts.leading else Whereabouts
    metrics.watch_log(context.dropped_lines)
    metrics.watch_store(parts.store_size.bytes)
    metrics.watch(coordinator.overview, coordinator.count_groups, where)
    lags = parts.receivers.deliveries.lags
    metrics.watch_deliveries(lambda: lags() if where().leads else {})
    metrics.watch_certificates(parts.renewals.days_left)
    return parts
