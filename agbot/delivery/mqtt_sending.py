"""Sends messages to a broker in order, but not those that it is known not to accept.

`agbot.delivery.mqtt_blame` decides which those are. Usually all messages of a batch are in flight
at the same time. While one of them is suspected, they are sent one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import Final

from agbot.delivery.mqtt_blame import Blame
from agbot.delivery.mqtt_connection import Connection, Message, RefusedError

_PROBE: Final = "probe"
"""The key of the probe, which shows whether the broker acknowledges later messages."""


class Sender:
    """Sends messages over all connections of a sink, one connection after the other."""

    def __init__(self, probe: Message, quiet_seconds: float) -> None:
        """Set a harmless message, and how long a connection is idle before a suspected message."""
        self._probe = probe
        self._quiet_seconds = quiet_seconds
        self._blame = Blame()

    @property
    def sends_one_by_one(self) -> bool:
        """Whether one message at a time is sent."""
        return self._blame.is_careful

    def caught_up(self) -> None:
        """Note that the broker has accepted everything."""
        self._blame.is_careful = False

    def disconnected(self, *, by_broker: bool) -> None:
        """Note that the connection has ended."""
        self._blame.ended(asyncio.get_running_loop().time(), by_broker=by_broker)

    async def send(
        self, connection: Connection, messages: Sequence[tuple[Hashable, Message]]
    ) -> AsyncIterator[tuple[int, RefusedError | None]]:
        """Send messages, each with its key, and return for each whether it was refused.

        Raises:
            MqttError: the connection broke.
        """
        await asyncio.sleep(0)  # lets other tasks run in any case
        probe = [(_PROBE, self._probe)] if self._blame.needs_probe else []
        step = 1 if self._blame.is_careful else max(len(messages), 1)
        for first in range(0, len(messages), step):
            part = messages[first : first + step]
            # they start in this order, and do not wait for each other's acknowledgement
            sending = [asyncio.create_task(self._send(connection, key, message)) for key, message in (*part, *probe)]
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
            return RefusedError(message.topic, finding.why, is_permanent=finding.is_permanent)
        # if the broker closes the connection meanwhile, the message is not to blame
        if self._blame.is_careful and self._blame.is_suspected(key):
            await asyncio.sleep(self._quiet_seconds)
        self._blame.sent(key, len(message.payload))
        refusal = None
        try:
            await connection.send(message)
        except RefusedError as error:
            refusal = error
        self._blame.answered(key)
        return refusal
