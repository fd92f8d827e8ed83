"""What a coordinator depends on, and the parts that are created from it before all others."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from agbot.agreementbot.client import Agbots
from agbot.clock import Clock
from agbot.coordinator.clocks.dates import Dates
from agbot.coordinator.clocks.seen_clock import REACH
from agbot.coordinator.committing import Publish
from agbot.coordinator.guarded.port import GuardOf
from agbot.coordinator.intake.organisations import Organisations
from agbot.coordinator.intake.reading import Observe, Reader
from agbot.coordinator.memory.ledger import Ledger
from agbot.coordinator.situation import Situation
from agbot.exchange.client import ExchangeClient
from agbot.fleet.picture import Picture
from agbot.fleet.reads import Ages
from agbot.rules.limits import LimitsOf
from agbot.settings.model import ExchangeSettings
from agbot.store.contract import Store

_SERVICES_PACE = 10
"""The services of a member are read ten times less often than its heartbeat.

They take two requests, and usually the feed shows a change: an agreement ends.
"""
_POLLS_REACHED = 2
"""One poll that fails does not mean that the coordinator cannot see the Exchange."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What a coordinator works with."""

    exchange: ExchangeClient
    store: Store
    clock: Clock
    publish: Publish
    """Is called with each event that has been committed."""
    agbot_identity: str = ""
    """The real agbot, `org/name`, whose organisations are coordinated; empty if it is not known."""
    agbot: Agbots | None = None
    """The real agbot's local API, if it is configured."""
    guard: GuardOf | None = None
    """The guard in the agbot's database, if it is enabled. Without `agbot` it lists the
    upgrades."""
    observe: Observe = lambda _read, _why: None
    """Is called for each read of the Exchange, with its reason."""
    why_not_leading: Callable[[], str] = lambda: ""
    """Returns why this coordinator may grant nothing, because another may lead; empty if it may."""
    chance: random.Random = field(default_factory=random.Random)
    """Spreads reads over time."""
    is_shadow: bool = False
    """Whether the real agbot decides, and its decisions are compared with ours."""
    journal_age: timedelta = timedelta(days=30)
    journal_bytes: int = 0
    """0: no limit."""


def create_situation(dependencies: Dependencies, settings: ExchangeSettings, limits_of: LimitsOf) -> Situation:
    """Create the situation, with an empty picture and a ledger that has not been read."""
    heartbeat = timedelta(seconds=settings.heartbeat_seconds)
    longest_poll = timedelta(seconds=max(settings.busy_poll_seconds, settings.poll_seconds))
    picture, reach = Picture(), max(REACH, _POLLS_REACHED * longest_poll)
    dates = Dates(dependencies.clock, dependencies.exchange.time, picture, reach)
    return Situation(
        picture=picture,
        ledger=Ledger(dependencies.store, partial(dates.unsaved, at_once=True)),
        dates=dates,
        clock=dependencies.clock,
        limits_of=limits_of,
        view_max_age=timedelta(seconds=settings.view_max_age_seconds),
        ages=Ages(
            heartbeat=heartbeat,
            statuses=2 * heartbeat,
            services=_SERVICES_PACE * heartbeat,
            rest=timedelta(seconds=settings.busy_poll_seconds),
        ),
        publish=dependencies.publish,
        why_not_leading=dependencies.why_not_leading,
    )


def create_reader(dependencies: Dependencies, settings: ExchangeSettings, situation: Situation) -> Reader:
    """Create the reader of the Exchange."""
    return Reader(
        situation,
        dependencies.exchange,
        max_open=settings.max_requests_open,
        observe=dependencies.observe,
        chance=dependencies.chance,
    )


def create_organisations(
    dependencies: Dependencies, settings: ExchangeSettings, situation: Situation, reader: Reader
) -> Organisations:
    """Create the organisations that are coordinated: those of the settings and of the agbot."""
    return Organisations(
        situation,
        dependencies.exchange,
        reader,
        named=settings.organisations,
        resync=timedelta(seconds=settings.resync_seconds),
        agbot_identity=dependencies.agbot_identity,
        chance=dependencies.chance,
    )
