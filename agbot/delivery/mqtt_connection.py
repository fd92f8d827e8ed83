"""One connection to an MQTT broker. The only module that uses aiomqtt, and paho below it.

aiomqtt 2 has gaps, which are closed here:

- A failed handshake leaves its socket open, and if the broker breaks one off, the client waits for
  the whole timeout.
- Connecting runs in a thread that cannot be cancelled, for up to 5 s per step.
- A refusal in the acknowledgement of a message (MQTT 5) counts as success, and one that the
  standard does not list there breaks the connection.
- An error that ends the connection is reported as never retrieved, and so is a socket that is
  closed at the moment of a write.

That needs private names of aiomqtt 2, one more reason for its bound `<3`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agbot.settings import pairs
from agbot.settings.secret import Secret

MqttError = aiomqtt.MqttError
"""Any failure of the connection to the broker."""
_TAKEN_OVER: Final = 142
"""The reason code of a broker that closes a connection because another client has connected with
the same id (MQTT 5, 3.14.2.1)."""
_PACKET_TOO_LARGE: Final = 149
_FIRST_FAILURE: Final = 128
"""Reason codes from this number on are failures (MQTT 5, 2.4)."""
_PROTOCOLS: Final = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
_CONNECT_SECONDS: Final = 3.0
"""For the connection, and again for TLS. A daemon that stops may have to wait for the thread."""
_IN_FLIGHT: Final = 10
"""Unacknowledged messages at one time; brokers allow at least that."""
_PENDING: Final = 1000
_AT_LEAST_ONCE: Final = 1
_SILENT: Final = logging.getLogger("agbot.mqtt")
_SILENT.setLevel(logging.CRITICAL)
"""For the libraries: they also raise what they log, and an absent broker is logged once, and not at
every attempt."""

# paho closes the connection on a reason code that the standard does not list for a message that is
# acknowledged. Mosquitto sends one (149, by its `message_size_limit`). Whatever the code is, the
# broker has refused that one message, and the connection is intact.
ReasonCode.names = {
    number: {
        name: [*packets, PacketTypes.PUBACK] if number >= _FIRST_FAILURE else packets for name, packets in names.items()
    }
    for number, names in ReasonCode.names.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The address of the broker, and our identity there."""

    host: str
    port: int
    client_id: str
    protocol: str = "5"
    username: str = ""
    password: Secret | None = None
    tls: ssl.SSLContext | None = None
    keepalive_seconds: int = 30
    answer_seconds: float = 10.0
    """A broker that leaves a packet unanswered for so long counts as gone."""

    @property
    def address(self) -> str:
        """Host and port, for the log."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to be published with QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


class RefusedError(Exception):
    """The broker does not accept one message; the connection is intact."""

    def __init__(self, topic: str, why: str, *, is_permanent: bool) -> None:
        """Set the topic, the broker's reason, and whether it will never accept the message."""
        super().__init__(f"the broker refuses a message: {why} ({topic})")
        self.topic = topic
        self.why = why
        self.is_permanent = is_permanent


def tls_context(ca_file: Path | None, certificate_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """Return the TLS context, which checks the broker's certificate and has ours.

    Raises:
        OSError: a file cannot be read or used.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.sslsocket_class = _TlsSocket
    if certificate_file is not None:
        pairs.load(context, certificate_file, key_file or certificate_file)
    return context


class _TlsSocket(ssl.SSLSocket):
    """Closes itself if the handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature is ssl's
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Connection(aiomqtt.Client):
    """A connection from `async with` to its end; anything that breaks it raises `MqttError`."""

    def __init__(self, broker: Broker, will: Message) -> None:
        """Prepare to connect, with a message that the broker publishes if the connection breaks."""
        super().__init__(
            broker.host,
            broker.port,
            identifier=broker.client_id,
            protocol=_PROTOCOLS[broker.protocol],
            username=broker.username or None,
            password=broker.password.reveal() if broker.password and broker.username else None,
            will=aiomqtt.Will(will.topic, will.payload, qos=_AT_LEAST_ONCE, retain=will.retain),
            timeout=broker.answer_seconds,
            keepalive=broker.keepalive_seconds,
            tls_context=broker.tls,
            logger=_SILENT,
            max_inflight_messages=_IN_FLIGHT,
        )
        self._client.connect_timeout = _CONNECT_SECONDS
        self.pending_calls_threshold = _PENDING  # aiomqtt warns of more than 10; a batch may have 800
        self._answers: dict[int, asyncio.Future[ReasonCode]] = {}
        """The results of unacknowledged messages, by packet id."""
        self._max_packet_bytes: float = math.inf
        self._is_given_up = False

    async def send(self, message: Message, *, within_seconds: float | None = None) -> None:
        """Publish a message and wait until the broker has acknowledged it.

        Raises:
            RefusedError: the broker, or the protocol, does not accept this message.
            MqttError: the connection broke; it is not known whether the broker has the message.
        """
        size = _packet_bytes(message)
        if size > self._max_packet_bytes:
            raise RefusedError(
                message.topic, f"{size} bytes, and the broker accepts {self._max_packet_bytes}", is_permanent=True
            )
        try:
            published = self._client.publish(message.topic, message.payload, qos=_AT_LEAST_ONCE, retain=message.retain)
        except ValueError as error:  # for example a topic of more than 65,535 bytes
            raise RefusedError(message.topic, str(error), is_permanent=True) from error
        if published.rc == MQTTErrorCode.MQTT_ERR_NO_CONN and self._disconnected.done():
            # that there is no connection helps no one, and why it ended does
            raise MqttError("the connection has ended") from self._disconnected.exception()
        if published.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(published.rc, "Could not publish message")
        answer: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
        self._answers[published.mid] = answer
        try:
            reason = await self._wait_for(answer, within_seconds)
        finally:
            self._answers.pop(published.mid, None)
        if reason.is_failure:
            raise RefusedError(message.topic, str(reason), is_permanent=reason.value == _PACKET_TOO_LARGE)

    async def receive(self, topic: str) -> str:
        """Subscribe to a topic; return why the broker refuses that, empty if it does not.

        Raises:
            MqttError: the connection broke.
        """
        codes = await self.subscribe(topic, qos=_AT_LEAST_ONCE)
        return next((str(code) for code in codes if getattr(code, "value", code) >= _FIRST_FAILURE), "")

    async def __aenter__(self) -> Self:
        try:
            await super().__aenter__()
        except BaseException:
            # the thread that connects goes on, and closes what it opens (`_client_connect`)
            self._is_given_up = True
            self._client.disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            if self._disconnected.done():  # retrieved, or asyncio logs it as never retrieved
                self._disconnected.exception()

    def _client_connect(self) -> None:
        super()._client_connect()
        if self._is_given_up:
            self._client.disconnect()

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,  # noqa: ANN401 - the signature is aiomqtt's
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", None) or math.inf
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,  # noqa: ANN401 - the signature is aiomqtt's
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done() and not self._is_given_up:
            self._connected.set_exception(MqttError("the broker closed the connection before it had answered"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_socket_register_write(
        self,
        client: PahoClient,
        userdata: Any,  # noqa: ANN401 - the signature is aiomqtt's
        sock: Any,  # noqa: ANN401 - paho names no public type
    ) -> None:
        # can be called in the thread that connects
        self._loop.call_soon_threadsafe(self._write_soon, client, sock)

    def _write_soon(self, client: PahoClient, sock: Any) -> None:  # noqa: ANN401 - paho names no public type
        number = sock.fileno()
        if number >= 0:  # otherwise closed: the number may already be another socket's
            self._loop.add_writer(number, self._write, client)

    def _write(self, client: PahoClient) -> None:
        try:
            client.loop_write()
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection is broken
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _on_publish(
        self,
        client: PahoClient,
        userdata: Any,  # noqa: ANN401 - the signature is aiomqtt's
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)


def why_broken(error: BaseException | None) -> str:
    """Return in words why a connection failed or ended."""
    cause = error.__cause__ if error is not None else None
    met = error.__context__ if error is not None else None  # aiomqtt states no cause for it
    if isinstance(met, OSError) and met.strerror:
        return f"the broker cannot be reached: {met.strerror}"
    if not isinstance(cause, aiomqtt.MqttCodeError):
        return str(error)
    if getattr(cause.rc, "value", cause.rc) == _TAKEN_OVER:
        return f"{cause}: another client has connected with the same client id; give each its own ([mqtt] client_id)"
    # mosquitto 2.0 gives no reason in that case
    return f"{cause}: the connection broke; a broker also ends it when another client connects with the same client id"


def _packet_bytes(message: Message) -> int:
    """Return the largest size of a message on the wire (MQTT 5, 3.3), its length in four bytes."""
    return 1 + 4 + 2 + len(message.topic.encode("utf-8", "replace")) + 2 + 1 + len(message.payload)
