"""What happens, told: to the log under the event's own name and level, to the metrics, and to whoever delivers it further."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from agbot.console.metrics import Metrics
from agbot.coordinator.contract import Answer, Confirm, Ended, Permission, Refused
from agbot.events.delivery import Kind, Outcome
from agbot.events.names import EVENTS, GRANTS
from agbot.rules.facts import Ask
from agbot.store.contract import Entry

_log = structlog.get_logger()


class Teller:
    """Hears every journal entry after it was committed."""

    def __init__(self, metrics: Metrics, wake: Callable[[], None]) -> None:
        """Take what measures, and a plain call that wakes the deliveries and waits for nothing."""
        self._metrics = metrics
        self._wake = wake

    def tell(self, entry: Entry) -> None:
        """Write the log line of an entry, count it, and let it be delivered."""
        self._wake()
        named = {
            "group": entry.group,
            "node": entry.node,
            "subject": entry.subject,
            "token": entry.token,
            "who": None if entry.who == "coordinator" else entry.who,
        }
        facts = {key: value for key, value in named.items() if value is not None} | entry.told
        _log.log(_NUMBERS[EVENTS[entry.event].level], entry.event, **facts)
        self._count(entry)

    def _count(self, entry: Entry) -> None:
        if entry.event in GRANTS:
            self._metrics.granted(str(entry.facts.get("kind", "")))
        elif entry.event == "lease.overlapped":
            self._metrics.overlapped()
        elif entry.event == "delivery.lost":
            self._count_lost(entry.facts)
        elif entry.event == "lease.released":
            self._metrics.released(str(entry.facts.get("cause", "")))
            handoff = entry.facts.get("handoff_seconds")
            if isinstance(handoff, float):
                self._metrics.handed_off(handoff)

    def _count_lost(self, facts: Mapping[str, object]) -> None:
        match facts:
            case {"sink": str(sink), "first": int(first), "last": int(last)}:
                self._metrics.delivered(Kind(sink), Outcome.LOST, last - first + 1)


_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class CountedPermission:
    """The coordinator as the gateway sees it, with every refusal counted by its first reason."""

    def __init__(self, permission: Permission, metrics: Metrics) -> None:
        self._permission = permission
        self._metrics = metrics

    def refuse_from_memory(self, ask: Ask) -> Refused | None:
        """Refuse without waiting for anything; see `agbot.coordinator.contract.Permission`."""
        refused = self._permission.refuse_from_memory(ask)
        if refused is not None:
            self._metrics.refused(refused.reasons[0].code)
        return refused

    async def ask(self, ask: Ask, confirm: Confirm) -> Answer:
        """Answer a question; see `agbot.coordinator.contract.Permission`."""
        answer = await self._permission.ask(ask, confirm)
        if isinstance(answer, Refused):
            self._metrics.refused(answer.reasons[0].code)
        return answer

    async def report_end(self, ask: Ask, *, succeeded: bool, who: str, token: int | None = None) -> Ended:
        """Take down that a service upgrade has ended."""
        return await self._permission.report_end(ask, succeeded=succeeded, who=who, token=token)
