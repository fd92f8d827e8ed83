"""The MQTT sink: all events, the state of every group, and our own status, both retained.

Over the same connection it receives what nodes say about themselves (`inbound`), if that is on.

Messages have QoS 1 and are in order. What the broker has not acknowledged is sent again over the
next connection. The sink connects again without limit, with a delay that grows until a connection
has been stable. Loss and recovery of the connection are logged once each. After a change of the
password or a certificate, the connection is closed cleanly, when messages in flight are
acknowledged, and opened again at once. The broker publishes `offline` as our last will.

An event that the broker refuses is skipped and reported (`delivery.refused`) if it is too large or
if the broker accepts other events. While the broker accepts none, all events wait, up to 800. A
refused state is logged, and sent again later (`states`). Events are sent before states.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agbot import __version__, log
from agbot.delivery.inbound import Inbound, NoteBusy
from agbot.delivery.mqtt_connection import Broker, Connection, Message, MqttError, RefusedError, why_broken
from agbot.delivery.mqtt_sending import Sender
from agbot.delivery.outbox import Outlet
from agbot.delivery.payload import Presence, StatusMessage, encoded, event_message
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Backoff, Count, Outcome, wait_to_retry
from agbot.delivery.states import Groups, States
from agbot.delivery.topics import Topics
from agbot.events.delivering import MqttFailed, MqttRecovered, MqttRefused
from agbot.events.outage import Outage
from agbot.store.contract import Entry

# a sink has a second to end in, with the closing of the connection (`sinks.Sink.run`)
_GOODBYE_SECONDS: Final = 0.5
# the cursor is written after each batch, so that after a crash at most these are sent again
_BATCH: Final = 50
_LARGEST_BATCH: Final = 800
"""The most events that wait while the broker accepts none at all."""
T = TypeVar("T")


class Mqtt:
    """Delivers to a broker. See `agbot.delivery.sinks.Sink`."""

    name: Final = "mqtt"
    kind: Final = Kind.MQTT

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        groups: Groups,
        count: Count,
        *,
        note_busy: NoteBusy | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """Deliver to this broker; with `note_busy` also receive what nodes say about themselves."""
        self.receiver = broker.address
        self.broker = broker
        self._renewed = asyncio.Event()
        """Set when the connection is to be opened again with other settings."""
        self._outlet: Outlet | None = None
        self._topics = topics
        self._groups = groups
        self._count = count
        self._inbound = None if note_busy is None else Inbound(topics, note_busy)
        self._backoff = backoff or Backoff()
        self._failures = 0
        """In a row, since the last stable connection."""
        self.outage = Outage()
        self._accepts = False
        """Whether the broker has accepted an event over this connection."""
        self._batch = _BATCH
        self._sender = Sender(self._status(Presence.ONLINE), self._backoff.quiet_seconds)
        self._refused_states: set[str] = set()
        """The topics whose refusal has been logged."""

    def use(self, broker: Broker) -> None:
        """Use these settings; if they are new, connect again at once."""
        if broker != self.broker:
            self.broker = broker
            self._renewed.set()
            if self._outlet is not None:
                self._outlet.wake()

    async def run(self, outlet: Outlet) -> None:
        """Deliver until cancelled."""

        async def session() -> None:
            await self._session(outlet)

        self._outlet = outlet
        if self._inbound is not None:
            self._inbound.begin()
        attempts = AsyncRetrying(
            sleep=lambda seconds: wait_to_retry(seconds, self._renewed),
            wait=lambda _: self._backoff.after(self._failures),
            retry=retry_if_exception_type(MqttError),
            after=self._failed,
        )
        while True:
            await attempts(session)

    async def _session(self, outlet: Outlet) -> None:
        """Connect, and deliver until the settings change.

        Raises:
            MqttError: the connection broke.
        """
        loop = asyncio.get_running_loop()
        self._accepts = False
        self._renewed.clear()
        async with Connection(self.broker, self._status(Presence.OFFLINE)) as connection:
            states = States(self._groups)
            # no TaskGroup: in Python 3.11 it can lose a cancellation when a child fails at the same
            # time
            listening = asyncio.create_task(self._listen(connection, states))
            delivering = asyncio.create_task(self._deliver(connection, states, outlet))
            steady = loop.call_later(self._backoff.steady_seconds, outlet.wake)
            try:
                await asyncio.wait({listening, delivering}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                await _ended(delivering)
                # the broker does not publish the last will after a clean close, so we say it
                with contextlib.suppress(MqttError, RefusedError):
                    await connection.send(self._status(Presence.OFFLINE), within_seconds=_GOODBYE_SECONDS)
                raise
            finally:
                steady.cancel()
                self._sender.disconnected(by_broker=listening.done())
                outcomes = [await _ended(delivering), await _ended(listening)]
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _listen(self, connection: Connection, states: States) -> None:
        """Note which states the broker has, and what nodes say. Ends when the connection ends."""
        async for message in connection.messages:
            topic, payload = str(message.topic), message.payload
            if self._inbound is not None and self._inbound.receive(topic, payload, is_repeated=message.retain):
                continue
            # our own new states come back without the flag: they are known already
            if message.retain and payload:
                states.found(self._topics.group_of(topic))

    async def _deliver(self, connection: Connection, states: States, outlet: Outlet) -> None:
        loop = asyncio.get_running_loop()
        await connection.subscribe(self._topics.all_states)
        if self._inbound is not None:
            refused = await connection.receive(self._topics.all_busy)
            if refused:
                log.write(MqttRefused(broker=self.receiver, topic=self._topics.all_busy, error=refused))
        try:
            await connection.send(self._status(Presence.ONLINE))
        except RefusedError as error:
            raise MqttError(str(error)) from error
        # A connection that breaks at each message must not count as repaired each time, or the
        # delay would stay short and the log would show an outage every second.
        steady_at = loop.time() + self._backoff.steady_seconds
        entries: Sequence[Entry] = ()
        while not self._renewed.is_set():
            delivered = await self._deliver_events(connection, outlet, entries)
            states.delivered(entries)
            try:
                is_caught_up = not outlet.lag and await self._publish_states(connection, states, outlet)
            finally:
                self._count(self.kind, Outcome.DELIVERED, delivered)
            if is_caught_up:
                self._sender.caught_up()
                if loop.time() >= steady_at:
                    self._failures = 0
                    self._recovered()
            entries = await outlet.next(self._batch)

    async def _deliver_events(self, connection: Connection, outlet: Outlet, entries: Sequence[Entry]) -> int:
        """Send events in order, and return how many the broker accepted.

        Refused ones are skipped if the broker accepts others.

        Raises:
            MqttError: the connection broke, or the broker accepts none of them, so they wait.
        """
        accepted = 0
        refused: list[tuple[Entry, RefusedError]] = []
        sent = [(entry.id, self._event(entry)) for entry in entries]
        async for position, refusal in self._sender.send(connection, sent):
            entry = entries[position]
            if refusal is not None:
                refused.append((entry, refusal))
                self._count(self.kind, Outcome.REFUSED, 1)
            # While the broker has accepted nothing, its refusals may be about us (an expired right,
            # a full disk) and not about these events: they wait.
            if refusal is None or refusal.is_permanent or self._accepts:
                self._accepts = self._accepts or refusal is None
                if not await _skip(outlet, refused):
                    return accepted
                refused.clear()
                outlet.confirm(entry)
            if refusal is None:
                accepted += 1
                self._recovered()
        if refused:
            self._batch = min(2 * self._batch, _LARGEST_BATCH)  # it may accept events after these
            # 800 in a row: they are given up, because the journal would drop them in the end anyway
            if len(refused) < _LARGEST_BATCH:
                raise MqttError(str(refused[0][1]))
            if await _skip(outlet, refused):
                outlet.confirm(refused[-1][0])
        self._batch = _BATCH
        return accepted

    async def _publish_states(self, connection: Connection, states: States, outlet: Outlet) -> bool:
        """Send the states that are due. False if there are new events, which go first.

        Raises:
            MqttError: the connection broke.
        """
        for groups in _batches(
            states.due(asyncio.get_running_loop().time()), 1 if self._sender.sends_one_by_one else _BATCH
        ):
            if outlet.lag:
                return False
            due = [
                Message(topic=self._topics.state(group), payload=payload, retain=True)
                for group in groups
                if (payload := states.message(group)) is not None
            ]
            async for position, refusal in self._sender.send(connection, [(each.topic, each) for each in due]):
                topic, is_final = due[position].topic, refusal is None or refusal.is_permanent
                states.answered(self._topics.group_of(topic), is_to_be_repeated=not is_final)
                self._note_state(topic, refusal)
        return True

    def _note_state(self, topic: str, refusal: RefusedError | None) -> None:
        if refusal is None:
            self._refused_states.discard(topic)
            return
        self._count(self.kind, Outcome.REFUSED, 1)
        if topic not in self._refused_states:
            log.write(MqttRefused(broker=self.receiver, topic=topic, error=str(refusal)))
        self._refused_states.add(topic)

    def _event(self, entry: Entry) -> Message:
        return Message(topic=self._topics.event(entry.group), payload=encoded(event_message(entry)))

    def _status(self, presence: Presence) -> Message:
        payload = encoded(StatusMessage(status=presence, version=__version__))
        return Message(topic=self._topics.status, payload=payload, retain=True)

    def _failed(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._failures += 1
        self._count(self.kind, Outcome.FAILED, 1)
        why = why_broken(error)
        if self.outage.begins(why):
            log.write(MqttFailed(broker=self.receiver, client_id=self.broker.client_id, error=why))

    def _recovered(self) -> None:
        if self.outage.ends():
            log.write(MqttRecovered(broker=self.receiver))


async def _skip(outlet: Outlet, refused: Sequence[tuple[Entry, RefusedError]]) -> bool:
    """Report skipped events, by topic and reason. False if that failed and is to be tried again."""
    # one entry of the journal for each reason: hundreds may be skipped at once
    by_reason: dict[tuple[str, str], list[Entry]] = {}
    for entry, refusal in refused:
        by_reason.setdefault((refusal.topic, refusal.why), []).append(entry)
    for (topic, why), entries in by_reason.items():
        if not await outlet.skip(entries, why, topic=topic):
            return False
    return True


async def _ended(task: asyncio.Task[None]) -> BaseException | None:
    """Cancel a task, and return its error if it had failed."""
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    return outcome if isinstance(outcome, Exception) else None


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(values)
    while batch := list(islice(left, size)):
        yield batch
