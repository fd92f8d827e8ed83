"""Reports each committed event to the log, the metrics and the deliveries."""

from __future__ import annotations

from collections.abc import Callable

from agbot import log
from agbot.console.metrics import GUARD_ERROR, Metrics
from agbot.coordinator.permission import Answer, Confirm, Ended, Permission, Refused
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Outcome
from agbot.events import waits
from agbot.events.delivering import DeliveryLost
from agbot.events.event import Event, Level, Unread
from agbot.events.guard import GuardErred, GuardRefused
from agbot.events.leases import Granting, LeaseOverlapped, LeaseReleased
from agbot.events.waits import WaitChanged
from agbot.rules.facts import Ask
from agbot.store.contract import Entry


class Reporter:
    """Receives every journal entry after its commit."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.wake: Callable[[], None] = lambda: None
        """Wakes the deliveries, and returns at once."""

    def report(self, entry: Entry) -> None:
        """Log and count an entry, and wake the deliveries."""
        self.wake()
        event = entry.read()
        log.write(event)
        if isinstance(event, WaitChanged) and log.shows(Level.DEBUG):
            log.write(waits.explained(event))
        self._count(event)

    def _count(self, event: Event | Unread) -> None:
        match event:
            case Granting():
                self._metrics.granted(str(event.kind))
            case GuardRefused():
                self._metrics.guard_refused(event.code)
            case GuardErred():
                self._metrics.guard_refused(GUARD_ERROR)
            case LeaseOverlapped():
                self._metrics.overlapped()
            case LeaseReleased():
                self._metrics.released(str(event.cause), event.held_seconds)
                if event.handoff_seconds is not None:
                    self._metrics.handed_off(event.handoff_seconds)
            case DeliveryLost():
                self._metrics.delivered(Kind(event.sink), Outcome.LOST, event.last - event.first + 1)


class CountedPermission:
    """Counts every refusal of the coordinator by its first reason, for the gateway.

    The coordinator does not count them itself, because the guard asks it too: those refusals are
    counted when the guard's triggers have refused something.
    """

    def __init__(self, permission: Permission, metrics: Metrics) -> None:
        self._permission = permission
        self._metrics = metrics

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse without waiting; see `agbot.coordinator.permission.Permission`."""
        refused = self._permission.refuse_from_memory(ask)
        if refused is not None:
            self._metrics.refused(refused.reasons[0].code)
        return refused

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question; see `agbot.coordinator.permission.Permission`."""
        answer = await self._permission.ask(ask, confirm)
        if isinstance(answer, Refused):
            self._metrics.refused(answer.reasons[0].code)
        return answer

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        """Report the end of a service upgrade."""
        return await self._permission.report_end(ask, succeeded=succeeded, who=who, token=token)
