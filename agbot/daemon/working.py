"""The scheduler and the deliveries: what runs only while this coordinator leads.

On SQLite that is from the start of the process to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from agbot import log
from agbot.console.metrics import Metrics
from agbot.console.page.estimates import Estimates
from agbot.coordinator.coordinator import Coordinator
from agbot.daemon.context import Context
from agbot.daemon.garbage import Garbage
from agbot.delivery.sinks import Deliveries
from agbot.events.process import CycleDone, CycleFailed, DaemonReady, DaemonUnready
from agbot.events.rollouts import EstimatesFailed
from agbot.store.contract import Store

_AFTER_A_BUG_SECONDS: Final = 5.0


class Working:
    """What begins and ends with a leadership. See `agbot.daemon.leading.Terms`."""

    def __init__(
        self,
        coordinator: Coordinator,
        deliveries: Deliveries,
        metrics: Metrics,
        context: Context,
        *,
        estimates: Estimates,
    ) -> None:
        self._coordinator = coordinator
        self._deliveries = deliveries
        self._metrics = metrics
        self._context = context
        self._estimates = estimates
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()
        self._garbage = Garbage()
        self.is_stopping = False
        self._is_quiesced = False

    async def begin(self, store: Store, why_not_leading: Callable[[], str]) -> None:
        """Begin with this store, knowing nothing.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        await self.end(store, why_not_leading)  # also what an end that took too long has left running
        await self._deliveries.begin()
        self.start()

    def start(self) -> None:
        """Run cycles, deliveries and estimates of rollouts."""
        self._is_quiesced = False
        tasks = (
            ("scheduler", self._schedule()),
            ("deliveries", self._deliveries.run()),
            ("estimates", self._estimate()),
        )
        for name, work in tasks:
            task = asyncio.create_task(work, name=name)
            task.add_done_callback(self._one_ended)
            self._tasks.append(task)

    async def end(self, store: Store, why_not_leading: Callable[[], str]) -> None:
        """End what runs, and let the coordinator know nothing but this store."""
        await self.cancel()
        await self._coordinator.end_term()
        self._coordinator.begin_term(store, why_not_leading)
        self._deliveries.use(store)

    async def quiesce(self) -> None:
        """Grant nothing more, and wait for the writes under way."""
        self._is_quiesced = True
        await self._coordinator.stop()

    async def cancel(self) -> None:
        """End the tasks, and wait for them, also for those of an earlier call that gave up."""
        for task in self._tasks:
            task.cancel()
        self._ending += self._tasks
        self._tasks = []
        if self._ending:
            # not `gather`, which would cancel them again in the middle of their end
            await asyncio.wait(self._ending)
            await asyncio.gather(*(task for task in self._ending if task.done()), return_exceptions=True)
            self._ending = [task for task in self._ending if not task.done()]

    async def watch(self) -> None:
        """Wait until one of the tasks ends by itself, which is a bug, and raise its error."""
        while True:
            await self._ended.wait()
            self._ended.clear()
            for task in self._tasks:
                # a cycle whose reads were cancelled ends with them, and with it the scheduler
                if task.done() and not (task.cancelled() and self._is_quiesced):
                    task.result()

    def _one_ended(self, _task: asyncio.Task[None]) -> None:
        self._ended.set()

    async def _schedule(self) -> None:
        """Run cycles.

        One that raises is a bug: its traceback is logged, and the next one is tried.
        """
        was_ready = False
        while True:
            try:
                report = await self._coordinator.cycle()
            except Exception:  # noqa: BLE001 - a bug in one cycle must not end the scheduler; its traceback is logged
                self._metrics.cycle_failed()
                log.write_with_traceback(CycleFailed())
                was_ready = self._log_readiness(was_ready=was_ready)
                await self._context.clock.sleep(_AFTER_A_BUG_SECONDS)
                continue
            self._metrics.cycle_done(report.took_seconds)
            log.write(CycleDone(sentence=report.sentence, seconds=round(report.took_seconds, 3)))
            self._context.notifier.watchdog(report.sentence)
            was_ready = self._log_readiness(was_ready=was_ready)
            self._garbage.look()
            await self._coordinator.pause_between_cycles()

    async def _estimate(self) -> None:
        """Estimate the ends of rollouts. A bug there is logged, and must not end the daemon."""
        while True:
            try:
                await self._estimates.run()
            except Exception:  # noqa: BLE001 - see above; the traceback is logged
                log.write_with_traceback(EstimatesFailed())

    def _log_readiness(self, *, was_ready: bool) -> bool:
        why_not = self._coordinator.why_not_ready()
        if not why_not and not was_ready:
            log.write(DaemonReady(**standing(self._coordinator)))
            self._deliveries.wake()  # the state of the groups is known from now on
        elif was_ready and why_not and not self.is_stopping:
            log.write(DaemonUnready(why="; ".join(why_not)))
        return not why_not


def standing(coordinator: Coordinator) -> dict[str, Any]:
    """Return the numbers of leases and waiters, for the log."""
    overview = coordinator.overview()
    return {
        "held": overview.held,
        "suspect": overview.suspect,
        "waiting": overview.waiting,
        "orgs": len(overview.orgs),
    }
