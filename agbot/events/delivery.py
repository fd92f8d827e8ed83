"""Delivering: one task per sink, and one that looks for news. Whatever happens to one sink is nobody else's business.

A sink that fails keeps its place and tries again for ever; what it cannot take in the meantime stays in the journal for as long as the
journal keeps anything, and is told as lost when that is over. Nothing here is waited for by a grant or a cycle: they only wake the
outbox, which is a plain call.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from agbot.events.outbox import Outbox, Outlet

_AFTER_A_BUG_SECONDS = 5.0
_MOST_DOUBLINGS = 30

_log = structlog.get_logger()


class Kind(StrEnum):
    """Kinds of sinks, as the metrics know them."""

    MQTT = "mqtt"
    WEBHOOK = "webhook"


class Outcome(StrEnum):
    """What became of a delivery, as the metrics know it."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It may pass by itself and is tried again soon."""
    REFUSED = "refused"
    """The receiver says no to it. It is tried again, slowly, or passed over as each sink's own page says."""
    LOST = "lost"
    """The journal's time for it was over before it was taken."""


Count = Callable[[Kind, Outcome, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long a sink waits before it tries again: twice as long each time up to a bound, scattered so that nothing returns in step."""

    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    refused_seconds: float = 300.0
    patience_seconds: float = 900.0
    """After so long without success one event keeps the others waiting no longer, where the receiver takes those."""
    choosy_patience_seconds: float = 30.0
    """The same for a while after that: else each event of a kind that a receiver does not take would cost a quarter of an hour."""
    steady_seconds: float = 5.0
    """A connection that has held for so long, with nothing left to tell, is no longer in doubt."""
    quiet_seconds: float = 1.0
    """A connection holds for so long with nothing on its way before a message is sent on which one like it seems to have been closed."""
    longest_asked_seconds: float = 3600.0
    """No receiver can ask for more: a mistake of its clock or of its settings must not silence it for days."""

    def after(self, failures: int, asked_seconds: float = 0.0) -> float:
        """Return the pause after so many failures in a row: at least as long as the receiver asks for, within the bound."""
        doubled = self.first_seconds * 2.0 ** min(max(failures - 1, 0), _MOST_DOUBLINGS)
        return max(_scattered(min(doubled, self.longest_seconds)), min(asked_seconds, self.longest_asked_seconds))

    def after_refusal(self) -> float:
        """Return the pause after a refusal, which does not pass by itself."""
        return _scattered(self.refused_seconds)


async def paused(seconds: float, renewed: asyncio.Event) -> None:
    """Wait before the next attempt, and no longer where there is something new to try."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await renewed.wait()


class Sink(Protocol):
    """Somebody who is told every event."""

    @property
    def name(self) -> str:
        """Under which its cursor is kept: the same after a restart, and no other sink's."""

    @property
    def kind(self) -> Kind:
        """Which kind it is."""

    @property
    def receiver(self) -> str:
        """Where it delivers to, for people: host and port, nothing secret."""

    async def run(self, outlet: Outlet) -> None:
        """Deliver for ever. A cancellation is the end of the daemon: say goodbye within a second."""


class Deliveries:
    """All sinks of a daemon."""

    def __init__(self, outbox: Outbox, sinks: Sequence[Sink]) -> None:
        self._outbox = outbox
        self._sinks = [(sink, outbox.outlet(sink.name, _about(sink))) for sink in sinks]

    async def begin(self) -> None:
        """Find where every sink stands, before anything is committed.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        if self._sinks:
            await self._outbox.begin()

    def wake(self) -> None:
        """Deliver soon what was committed; see `Outbox.wake`."""
        self._outbox.wake()

    def lags(self) -> Mapping[Kind, int]:
        """Return how many entries the last sink of each kind is behind."""
        return {kind: max(lags) for kind in Kind if (lags := list(self._lags(kind)))}

    async def run(self) -> None:
        """Deliver for ever."""
        if not self._sinks:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._outbox.run(), name="outbox")
            for sink, outlet in self._sinks:
                tasks.create_task(_keep_running(sink, outlet), name=sink.name)

    def _lags(self, kind: Kind) -> Iterator[int]:
        return (outlet.lag for sink, outlet in self._sinks if sink.kind is kind)


def _about(sink: Sink) -> Mapping[str, object]:
    return {"sink": sink.kind.value, "receiver": sink.receiver}


async def _keep_running(sink: Sink, outlet: Outlet) -> None:
    """Run a sink; a bug in it is told with its traceback, and the sink begins anew."""
    while True:
        try:
            await sink.run(outlet)
        except Exception:  # noqa: BLE001 - a bug in one sink must not end the daemon; its traceback is logged
            _log.exception("delivery.failed", sink=sink.kind)
        await asyncio.sleep(_AFTER_A_BUG_SECONDS)


def _scattered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
