"""One connection to an MQTT broker. The only place that knows aiomqtt, and paho below it.

aiomqtt 2 leaves gaps, which are closed here: a handshake that fails leaves its socket open, and one that the broker breaks off is waited
for to the last; connecting runs in a thread that nobody can cancel, for up to 5 s per step; a refusal in the acknowledgement of a message
(MQTT 5) counts as success; an error that ends the connection is complained of if nobody looked at it. That needs private names of aiomqtt
2, one more reason for its bound `<3`.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import DisconnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agbot.settings.secret import Secret

MqttError = aiomqtt.MqttError
"""Whatever goes wrong between us and the broker."""
PROTOCOLS: Final = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
_CONNECT_SECONDS: Final = 3.0
"""For the connection itself, and once more for TLS: a daemon that stops may have to wait for the thread that does it."""
_IN_FLIGHT: Final = 10
"""Messages without acknowledgement at one time; brokers allow at least that."""
_PENDING: Final = 1000
AT_LEAST_ONCE: Final = 1
_SILENT: Final = logging.getLogger("agbot.mqtt")
_SILENT.setLevel(logging.CRITICAL)
"""For the libraries: whatever fails is raised as well, and an absent broker is told once, not at every attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is, and how it knows us."""

    host: str
    port: int
    client_id: str
    protocol: str = "5"
    username: str = ""
    password: Secret | None = None
    tls: ssl.SSLContext | None = None
    keepalive_seconds: int = 30
    answer_seconds: float = 10.0
    """A broker that leaves anything unanswered for so long is taken for gone."""

    @property
    def address(self) -> str:
        """Where it is, for the log."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to be published with QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


def tls_context(ca_file: Path | None, certificate_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """Make what checks the broker's certificate and shows ours.

    Raises:
        OSError: a file cannot be read or used.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.sslsocket_class = _TlsSocket
    if certificate_file is not None:
        context.load_cert_chain(certificate_file, key_file)
    return context


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature is ssl's
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Connection(aiomqtt.Client):
    """A connection from `async with` to its end; anything that breaks it raises `MqttError`."""

    def __init__(self, broker: Broker, will: Message) -> None:
        """Prepare to connect, with a message that the broker publishes when we vanish."""
        super().__init__(
            broker.host,
            broker.port,
            identifier=broker.client_id,
            protocol=PROTOCOLS[broker.protocol],
            username=broker.username or None,
            password=broker.password.reveal() if broker.password and broker.username else None,
            will=aiomqtt.Will(will.topic, will.payload, qos=AT_LEAST_ONCE, retain=will.retain),
            timeout=broker.answer_seconds,
            keepalive=broker.keepalive_seconds,
            tls_context=broker.tls,
            logger=_SILENT,
            max_inflight_messages=_IN_FLIGHT,
        )
        self._client.connect_timeout = _CONNECT_SECONDS
        self.pending_calls_threshold = _PENDING
        self._refusal = ""
        self._is_given_up = False

    async def send(self, message: Message, *, within_seconds: float | None = None) -> None:
        """Publish a message and wait until the broker has taken it.

        Raises:
            MqttError: it has not, or nobody knows.
        """
        await self.publish(
            message.topic, message.payload, qos=AT_LEAST_ONCE, retain=message.retain, timeout=within_seconds
        )
        if self._refusal:
            raise MqttError(f"the broker refuses what is published: {self._refusal}")

    async def __aenter__(self) -> Self:
        try:
            await super().__aenter__()
        except BaseException:
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
            if self._disconnected.done():
                self._disconnected.exception()

    def _client_connect(self) -> None:
        super()._client_connect()
        if self._is_given_up:
            self._client.disconnect()

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

    def _on_publish(
        self,
        client: PahoClient,
        userdata: Any,  # noqa: ANN401 - the signature is aiomqtt's
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        if reason_code.is_failure:
            self._refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)
