"""The MQTT sink: every event, the state of every group (retained), and whether we are there (retained, with a last will).

QoS 1 in order: what the broker has not acknowledged is told again over the next connection. The connection is made anew for ever, with
growing pauses; that it is lost and that it is back is told once each.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agbot import __version__
from agbot.events.delivery import Count, Kind, Outcome, Pauses
from agbot.events.mqtt_connection import Broker, Connection, Message, MqttError
from agbot.events.outbox import Outlet
from agbot.events.payload import Presence, StatusMessage, encoded, event_message
from agbot.events.states import Groups, States
from agbot.events.topics import Topics
from agbot.store.contract import Entry

_GOODBYE_SECONDS: Final = 0.5
_BATCH: Final = 50
_log = structlog.get_logger()
T = TypeVar("T")


class Mqtt:
    """Tells a broker. See `agbot.events.delivery.Sink`."""

    name: Final = "mqtt"
    kind: Final = Kind.MQTT

    def __init__(
        self, broker: Broker, topics: Topics, groups: Groups, count: Count, *, pauses: Pauses | None = None
    ) -> None:
        self.receiver = broker.address
        self._broker = broker
        self._topics = topics
        self._groups = groups
        self._count = count
        self._pauses = pauses or Pauses()
        self._failures = 0
        """In a row, since the broker last took something."""
        self._is_told = False

    async def run(self, outlet: Outlet) -> None:
        """Deliver for ever."""

        async def session() -> None:
            await self._session(outlet)

        attempts = AsyncRetrying(
            sleep=asyncio.sleep,
            wait=lambda _: self._pauses.after(self._failures),
            retry=retry_if_exception_type(MqttError),
            after=self._failed,
        )
        await attempts(session)

    async def _session(self, outlet: Outlet) -> None:
        """Connect, and deliver until the connection breaks."""
        async with Connection(self._broker, self._status(Presence.OFFLINE)) as connection:
            states = States(self._groups)
            # not a TaskGroup: that of Python 3.11 can lose a cancellation from outside when a child fails at the same time
            listening = asyncio.create_task(self._listen(connection, states))
            delivering = asyncio.create_task(self._deliver(connection, states, outlet))
            try:
                await asyncio.wait({listening, delivering}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                await _ended(delivering)
                # a connection that is closed in order leaves no last will
                with contextlib.suppress(MqttError):
                    await connection.send(self._status(Presence.OFFLINE), within_seconds=_GOODBYE_SECONDS)
                raise
            finally:
                outcomes = [await _ended(delivering), await _ended(listening)]
        raise next(outcome for outcome in outcomes if outcome is not None)

    async def _listen(self, connection: Connection, states: States) -> None:
        """Take in which states the broker has from earlier. Ends with the connection, and ends whatever waits for it at once."""
        async for message in connection.messages:
            if message.retain and message.payload:
                states.found(self._topics.group_of(str(message.topic)))

    async def _deliver(self, connection: Connection, states: States, outlet: Outlet) -> None:
        loop = asyncio.get_running_loop()
        await connection.subscribe(self._topics.all_states)
        await connection.send(self._status(Presence.ONLINE))
        self._recovered()
        entries: Sequence[Entry] = ()
        while True:
            await _send_all(connection, [self._event(entry) for entry in entries])
            states.heard(entries)
            for groups in _batches(states.due(loop.time())):
                due = [(group, states.message(group)) for group in groups]
                messages = [
                    Message(topic=self._topics.state(group), payload=payload, retain=True)
                    for group, payload in due
                    if payload is not None
                ]
                await _send_all(connection, messages)
            if entries:
                self._count(self.kind, Outcome.DELIVERED, len(entries))
                outlet.confirm(entries[-1])
            entries = await outlet.next(_BATCH)

    def _event(self, entry: Entry) -> Message:
        return Message(topic=self._topics.event(entry.group), payload=encoded(event_message(entry)))

    def _status(self, presence: Presence) -> Message:
        payload = encoded(StatusMessage(status=presence, version=__version__))
        return Message(topic=self._topics.status, payload=payload, retain=True)

    def _failed(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._failures += 1
        self._count(self.kind, Outcome.FAILED, 1)
        if not self._is_told:
            _log.warning("mqtt.failed", broker=self.receiver, error=str(error))
        self._is_told = True

    def _recovered(self) -> None:
        self._failures = 0
        if self._is_told:
            _log.info("mqtt.recovered", broker=self.receiver)
        self._is_told = False


async def _send_all(connection: Connection, messages: Iterable[Message]) -> None:
    """Send messages in order, not waiting for the acknowledgement of one before the next, and let others run in any case."""
    await asyncio.sleep(0)
    sending = [asyncio.create_task(connection.send(message)) for message in messages]  # they begin in this order
    try:
        await asyncio.gather(*sending)
    finally:
        for task in sending:
            task.cancel()


async def _ended(task: asyncio.Task[None]) -> BaseException | None:
    """Stop a task and return how it failed, if it did before."""
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    return outcome if isinstance(outcome, Exception) else None


def _batches(values: Iterable[T]) -> Iterator[list[T]]:
    left = iter(values)
    while batch := list(islice(left, _BATCH)):
        yield batch
