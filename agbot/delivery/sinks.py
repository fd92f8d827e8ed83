"""Runs the sinks: one task for each, and one that follows the journal.

Sinks do not affect each other.

A sink that fails keeps its position and tries again without limit. What it cannot deliver stays in
the journal as long as the journal keeps it, and is reported as lost after that. No grant or cycle
waits for delivery: they only wake the outbox, which is a plain call.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agbot import log
from agbot.delivery.outbox import Destination, Outbox, Outlet
from agbot.delivery.receiver import Kind, Receiver
from agbot.events.delivering import DeliveryFailed, ReceiversTested
from agbot.events.event import Event
from agbot.events.outage import Outage
from agbot.store.contract import Store

_AFTER_A_BUG_SECONDS = 5.0
_MOST_DOUBLINGS = 30


class Outcome(StrEnum):
    """Outcomes of deliveries, as labels of metrics."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """A failure that may pass; the delivery is tried again soon."""
    REFUSED = "refused"
    """The receiver refused it. It is tried again, slowly, or skipped; see each sink."""
    LOST = "lost"
    """The journal dropped it before it was delivered."""


Count = Callable[[Kind, Outcome, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays before a sink tries again: exponential, limited, and with jitter."""

    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    refused_seconds: float = 300.0
    patience_seconds: float = 900.0
    """After so long without success an event no longer holds up later ones that the receiver
    accepts."""
    selective_patience_seconds: float = 30.0
    """In place of `patience_seconds`, for a while after an event was skipped. Otherwise each event
    of a kind that a receiver does not accept would cost a quarter of an hour."""
    steady_seconds: float = 5.0
    """A connection counts as stable after so long, if everything has been delivered."""
    quiet_seconds: float = 1.0
    """A connection is idle for so long before a message is sent that may have closed an earlier
    one."""
    longest_retry_after_seconds: float = 3600.0
    """The limit of `Retry-After`: a wrong clock or setting of a receiver must not stop delivery for
    days."""

    def after(self, failures: int, retry_after_seconds: float = 0.0) -> float:
        """Return the delay after so many failures in a row, at least the limited `Retry-After`."""
        # bounded, because 2.0 ** 1024 is an OverflowError, after 17 hours of a receiver that is
        # gone
        doubled = self.first_seconds * 2.0 ** min(max(failures - 1, 0), _MOST_DOUBLINGS)
        return max(
            _with_jitter(min(doubled, self.longest_seconds)), min(retry_after_seconds, self.longest_retry_after_seconds)
        )

    def after_refusal(self) -> float:
        """Return the delay after a refusal, which does not pass by itself."""
        return _with_jitter(self.refused_seconds)


async def wait_to_retry(seconds: float, renewed: asyncio.Event) -> None:
    """Wait before the next attempt, but only until new credentials are set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await renewed.wait()


class Sink(Protocol):
    """Delivers every event to one receiver."""

    @property
    def name(self) -> str:
        """The name of its cursor: unique, and the same after a restart."""

    @property
    def kind(self) -> Kind:
        """Its kind."""

    @property
    def receiver(self) -> str:
        """Host and port of the receiver, without anything secret."""

    @property
    def outage(self) -> Outage:
        """Whether it fails at present, and why."""

    async def run(self, outlet: Outlet) -> None:
        """Deliver until cancelled, when the daemon ends; then return within a second."""


class Deliveries:
    """All sinks of a daemon."""

    def __init__(self, outbox: Outbox, sinks: Sequence[Sink]) -> None:
        self._outbox = outbox
        self._sinks = [
            (sink, outbox.outlet(sink.name, Destination(sink=sink.kind.value, receiver=sink.receiver)))
            for sink in sinks
        ]

    def use(self, store: Store) -> None:
        """Deliver the journal of this store from the next `begin` on; `run` must have ended."""
        self._outbox.use(store)

    async def begin(self) -> None:
        """Read the cursor of every sink, before anything is committed.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        if self._sinks:
            await self._outbox.begin()

    def wake(self) -> None:
        """Deliver soon what has been committed; see `Outbox.wake`."""
        self._outbox.wake()

    async def note(self, event: Event) -> bool:
        """Journal an event for all receivers; False if it could not be written."""
        return await self._outbox.note(event)

    async def test(self, who: str) -> int:
        """Journal a test event for all receivers; return the id that each has confirmed after it.

        0 if there is no receiver, or the event could not be written.
        """
        if not self._sinks or not await self._outbox.note(ReceiversTested(who=who)):
            return 0
        return await self._outbox.newest()

    def receivers(self) -> list[Receiver]:
        """Return how far the deliveries to each receiver are."""
        return [
            Receiver(
                kind=sink.kind,
                receiver=sink.receiver,
                confirmed=outlet.confirmed,
                behind=outlet.lag,
                error=sink.outage.why,
            )
            for sink, outlet in self._sinks
        ]

    def lags(self) -> Mapping[Kind, int]:
        """Return how many entries the slowest sink of each kind is behind."""
        slowest: dict[Kind, int] = {}
        for sink, outlet in self._sinks:
            slowest[sink.kind] = max(outlet.lag, slowest.get(sink.kind, 0))
        return slowest

    async def run(self) -> None:
        """Deliver until cancelled."""
        if not self._sinks:
            await asyncio.Event().wait()  # a task of the daemon that ends would end the daemon
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._outbox.run(), name="outbox")
            for sink, outlet in self._sinks:
                tasks.create_task(_keep_running(sink, outlet), name=sink.name)


async def _keep_running(sink: Sink, outlet: Outlet) -> None:
    """Run a sink; after a bug, which is logged with its traceback, start it again."""
    while True:
        try:
            await sink.run(outlet)
        except Exception:  # noqa: BLE001 - a bug in one sink must not end the daemon; its traceback is logged
            log.write_with_traceback(DeliveryFailed(sink=sink.kind))
        await asyncio.sleep(_AFTER_A_BUG_SECONDS)


def _with_jitter(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
