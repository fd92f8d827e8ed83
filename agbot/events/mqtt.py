"""The MQTT sink: every event, the state of every group (retained), and whether we are there (retained, with a last will).

QoS 1 in order: what the broker has not acknowledged is told again over the next connection. The connection is made anew for ever, with
pauses that grow until one has held; that it is lost and that it is back is told once each. Where password or certificates are renewed it is
closed in order, when what is on its way is acknowledged, and made anew at once.

An event that the broker refuses is passed over, and written down as such (`delivery.refused`), where it is too large or where the broker
takes other events; as long as it takes none, all of them wait, up to 800. A state that is refused is told in the log alone. Events go
before states.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agbot import __version__
from agbot.events.delivery import Count, Kind, Outcome, Pauses, paused
from agbot.events.mqtt_blame import Blame
from agbot.events.mqtt_connection import (
    TAKEN_OVER,
    Broker,
    Connection,
    Message,
    MqttCodeError,
    MqttError,
    RefusedError,
)
from agbot.events.outbox import Outlet
from agbot.events.payload import Presence, StatusMessage, encoded, event_message
from agbot.events.states import Groups, States
from agbot.events.topics import Topics
from agbot.store.contract import Entry

_GOODBYE_SECONDS: Final = 0.5
_BATCH: Final = 50
_LARGEST_BATCH: Final = 800
"""So many events wait at most while the broker takes none at all."""
_BEHIND: Final = "behind"
"""The key of what is sent behind others, to see whether they are left without an answer."""
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
        self.broker = broker
        self._renewed = asyncio.Event()
        """Whether the broker is to be connected to in another way than it was."""
        self._outlet: Outlet | None = None
        self._topics = topics
        self._groups = groups
        self._count = count
        self._pauses = pauses or Pauses()
        self._failures = 0
        """In a row, since a connection last held."""
        self._is_told = False
        self._takes = False
        """Whether the broker has taken an event over the present connection."""
        self._batch = _BATCH
        self._blame = Blame()
        self._refused_states: set[str] = set()
        """The topics of which that is told."""

    def use(self, broker: Broker) -> None:
        """Connect so: where that is another way than before, now, and not when the present connection breaks or the pause is over."""
        if broker != self.broker:
            self.broker = broker
            self._renewed.set()
            if self._outlet is not None:
                self._outlet.wake()

    async def run(self, outlet: Outlet) -> None:
        """Deliver for ever."""

        async def session() -> None:
            await self._session(outlet)

        self._outlet = outlet
        attempts = AsyncRetrying(
            sleep=lambda seconds: paused(seconds, self._renewed),
            wait=lambda _: self._pauses.after(self._failures),
            retry=retry_if_exception_type(MqttError),
            after=self._failed,
        )
        while True:
            await attempts(session)

    async def _session(self, outlet: Outlet) -> None:
        """Connect, and deliver until another connection is wanted.

        Raises:
            MqttError: the connection broke.
        """
        loop = asyncio.get_running_loop()
        self._takes = False
        self._renewed.clear()
        async with Connection(self.broker, self._status(Presence.OFFLINE)) as connection:
            states = States(self._groups)
            # not a TaskGroup: that of Python 3.11 can lose a cancellation from outside when a child fails at the same time
            listening = asyncio.create_task(self._listen(connection, states))
            delivering = asyncio.create_task(self._deliver(connection, states, outlet))
            steady = loop.call_later(self._pauses.steady_seconds, outlet.wake)
            try:
                await asyncio.wait({listening, delivering}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                await _ended(delivering)
                # a connection that is closed in order leaves no last will
                with contextlib.suppress(MqttError, RefusedError):
                    await connection.send(self._status(Presence.OFFLINE), within_seconds=_GOODBYE_SECONDS)
                raise
            finally:
                steady.cancel()
                self._blame.ended(loop.time(), by_broker=listening.done())
                outcomes = [await _ended(delivering), await _ended(listening)]
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _listen(self, connection: Connection, states: States) -> None:
        """Take in which states the broker has from earlier. Ends with the connection, and ends whatever waits for it at once."""
        async for message in connection.messages:
            if message.retain and message.payload:
                states.found(self._topics.group_of(str(message.topic)))

    async def _deliver(self, connection: Connection, states: States, outlet: Outlet) -> None:
        loop = asyncio.get_running_loop()
        await connection.subscribe(self._topics.all_states)
        try:
            await connection.send(self._status(Presence.ONLINE))
        except RefusedError as error:
            raise MqttError(str(error)) from error
        steady_at = loop.time() + self._pauses.steady_seconds
        entries: Sequence[Entry] = ()
        while not self._renewed.is_set():
            told = await self._tell(connection, outlet, entries)
            states.heard(entries)
            try:
                is_caught_up = not outlet.lag and await self._show(connection, states, outlet)
            finally:
                self._count(self.kind, Outcome.DELIVERED, told)
            if is_caught_up:
                self._blame.is_careful = False
                if loop.time() >= steady_at:
                    self._failures = 0
                    self._recovered()
            entries = await outlet.next(self._batch)

    async def _tell(self, connection: Connection, outlet: Outlet, entries: Sequence[Entry]) -> int:
        """Send events in order, pass over what the broker refuses where it takes others, and return how many it took.

        Raises:
            MqttError: the connection broke, or the broker takes none of them: they wait until that is put right.
        """
        taken = 0
        refused: list[tuple[Entry, RefusedError]] = []
        sent = [(entry.id, self._event(entry)) for entry in entries]
        async for position, refusal in self._sent(connection, sent):
            entry = entries[position]
            if refusal is not None:
                refused.append((entry, refusal))
                self._count(self.kind, Outcome.REFUSED, 1)
            if refusal is None or refusal.lasts or self._takes:
                self._takes = self._takes or refusal is None
                if not await _passed_over(outlet, refused):
                    return taken
                refused.clear()
                outlet.confirm(entry)
            if refusal is None:
                taken += 1
                self._recovered()
        if refused:
            self._batch = min(2 * self._batch, _LARGEST_BATCH)  # somebody whose events it takes may stand behind these
            if len(refused) < _LARGEST_BATCH:
                raise MqttError(str(refused[0][1]))
            if await _passed_over(outlet, refused):
                outlet.confirm(refused[-1][0])
        self._batch = _BATCH
        return taken

    async def _show(self, connection: Connection, states: States, outlet: Outlet) -> bool:
        """Send the states that are due. False when events have come in between: those go first.

        Raises:
            MqttError: the connection broke.
        """
        for groups in _batches(states.due(asyncio.get_running_loop().time()), 1 if self._blame.is_careful else _BATCH):
            if outlet.lag:
                return False
            due = [
                Message(topic=self._topics.state(group), payload=payload, retain=True)
                for group in groups
                if (payload := states.message(group)) is not None
            ]
            async for position, refusal in self._sent(connection, [(each.topic, each) for each in due]):
                self._showed(due[position].topic, refusal)
        return True

    def _showed(self, topic: str, refusal: RefusedError | None) -> None:
        if refusal is None:
            self._refused_states.discard(topic)
            return
        self._count(self.kind, Outcome.REFUSED, 1)
        if topic not in self._refused_states:
            _log.error("mqtt.refused", broker=self.receiver, topic=topic, error=str(refusal))
        self._refused_states.add(topic)

    async def _sent(
        self, connection: Connection, messages: Sequence[tuple[Hashable, Message]]
    ) -> AsyncIterator[tuple[int, RefusedError | None]]:
        """Send messages in order, each under its key, and say of each whether it is taken: one by one where one of them is suspected."""
        await asyncio.sleep(0)  # lets others run in any case
        behind = [(_BEHIND, self._status(Presence.ONLINE))] if self._blame.is_doubtful else []
        step = 1 if self._blame.is_careful else max(len(messages), 1)
        for first in range(0, len(messages), step):
            part = messages[first : first + step]
            # they begin in this order, and one does not wait for the acknowledgement of another
            sending = [asyncio.create_task(self._send(connection, key, message)) for key, message in (*part, *behind)]
            try:
                outcomes = await asyncio.gather(*sending)
            finally:
                for task in sending:
                    task.cancel()
            for position, outcome in enumerate(outcomes[: len(part)], first):
                yield position, outcome

    async def _send(self, connection: Connection, key: Hashable, message: Message) -> RefusedError | None:
        finding = self._blame.why_not(key, len(message.payload), asyncio.get_running_loop().time())
        if finding is not None:
            return RefusedError(message.topic, finding.why, lasts=finding.lasts)
        if self._blame.is_careful and self._blame.is_suspected(key):
            await asyncio.sleep(self._pauses.quiet_seconds)
        self._blame.sent(key, len(message.payload))
        refusal = None
        try:
            await connection.send(message)
        except RefusedError as error:
            refusal = error
        self._blame.answered(key)
        return refusal

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
            _log.warning("mqtt.failed", broker=self.receiver, client_id=self.broker.client_id, error=_said(error))
        self._is_told = True

    def _recovered(self) -> None:
        if self._is_told:
            _log.info("mqtt.recovered", broker=self.receiver)
        self._is_told = False


def _said(error: BaseException | None) -> str:
    told = error.__cause__ if error is not None else None
    if not isinstance(told, MqttCodeError):
        return str(error)
    if getattr(told.rc, "value", told.rc) == TAKEN_OVER:
        return f"{told}: another client has connected with the same client id; give each its own ([mqtt] client_id)"
    # mosquitto 2.0 gives no reason when it does that
    return f"{told}: the connection broke; brokers end it also when another client connects with the same client id"


async def _passed_over(outlet: Outlet, refused: Sequence[tuple[Entry, RefusedError]]) -> bool:
    """Take down what is passed over, by topic and reason. False when it could not be written: then it is tried again."""
    by_reason: dict[tuple[str, str], list[Entry]] = {}
    for entry, refusal in refused:
        by_reason.setdefault((refusal.topic, refusal.why), []).append(entry)
    for (topic, why), entries in by_reason.items():
        if not await outlet.pass_over(entries, why, topic=topic):
            return False
    return True


async def _ended(task: asyncio.Task[None]) -> BaseException | None:
    """Stop a task and return how it failed, if it did before."""
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    return outcome if isinstance(outcome, Exception) else None


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(values)
    while batch := list(islice(left, size)):
        yield batch
