"""The connection to a broker: renewed logins, the last will, the protocol, and how it ends."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from dataclasses import replace
from typing import Self

import pytest
from aiomqtt import MqttError

from agbot.delivery.mqtt import Mqtt
from agbot.delivery.mqtt_connection import Connection, Message, why_broken
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Backoff, Outcome
from agbot.delivery.topics import Topics
from agbot.settings.secret import Secret
from tests.contract.values import ANNA, GROUP
from tests.integration.delivery.conftest import (
    HASTY,
    STATE,
    Telling,
    delivering,
    received_all,
)
from tests.support.listening import Listener, listening
from tests.support.mosquitto import PASSWORD, USER, Mosquitto
from tests.support.patience import until


async def test_a_renewed_login_is_used_at_once_over_connections_that_end_in_order_between_messages(
    reporting: Telling,
) -> None:
    """An open connection may hold for months, and by then what it was begun with is long gone."""
    logins = {USER: PASSWORD, "renewed": "hush7other7hush"}
    reporting.broker.passwords = logins
    ways = [replace(reporting.way, username=user, password=Secret(password)) for user, password in logins.items()]
    await reporting.broker.start()
    sink = Mqtt(ways[0], Topics("agbot"), reporting.standing, reporting.counted.count, backoff=HASTY)
    async with (
        listening(reporting.broker.port, username=USER, password=PASSWORD) as listener,
        delivering(reporting.journal, sink),
    ):
        await until("it listens", lambda: listener.is_connected)
        for begun in range(1, 5):
            await reporting.journal.upgrade(GROUP, ANNA)
            await reporting.journal.upgrade(GROUP, ANNA)
            sink.use(ways[begun % 2])
            await has_logged_in(reporting.broker, begun + 1)
        sink.use(replace(ways[0]))
        await received_all(listener, 16)
        assert len(logged_in(reporting.broker)) == 5, "what is as before is no reason"
        assert {each["status"] for each in listener.on("agbot/status")} == {"online"}

    assert logged_in(reporting.broker) == [USER, "renewed"] * 2 + [USER]
    assert [event["number"] for event in listener.events()] == list(range(1, 17)), "in order, and none told twice"
    assert reporting.counted[Kind.MQTT, Outcome.FAILED] == 0
    ended = "Received DISCONNECT from agbot-test"
    await until("each end in order", lambda: reporting.broker.log.count(ended) == 5)


async def has_logged_in(broker: Mosquitto, times: int) -> None:
    await until(f"{times} connections", lambda: len(logged_in(broker)) >= times)


def logged_in(broker: Mosquitto) -> list[str]:
    """Return the user of every connection so far."""
    return re.findall(r"as agbot-test \(p5, c1, k30, u'(\w+)'\)", broker.log)


async def test_a_renewed_login_is_tried_in_the_middle_of_a_pause(reporting: Telling) -> None:
    reporting.broker.passwords = {USER: PASSWORD}
    way = replace(reporting.way, username=USER, password=Secret("wrong"))
    long = Backoff(first_seconds=3600.0, longest_seconds=3600.0)
    sink = Mqtt(way, Topics("agbot"), reporting.standing, reporting.counted.count, backoff=long)
    await reporting.broker.start()
    async with (
        listening(reporting.broker.port, username=USER, password=PASSWORD) as listener,
        delivering(reporting.journal, sink),
    ):
        await until("it listens", lambda: listener.is_connected)
        await reporting.journal.upgrade(GROUP, ANNA)
        await until("the failure", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED])
        sink.use(replace(way, password=Secret(PASSWORD)))
        await received_all(listener, 2)


@pytest.mark.parametrize(("protocol", "number"), [("5", "p5"), ("3.1.1", "p2")])
async def test_the_broker_sees_one_protocol_qos_1_throughout_and_a_retained_last_will(
    reporting: Telling, protocol: str, number: str
) -> None:
    """In its own words: an absent acknowledgement or will shows nowhere else as long as nothing fails."""
    reporting.way = replace(reporting.way, protocol=protocol)
    await reporting.broker.start()
    async with reporting.running():
        await reporting.journal.upgrade(GROUP, ANNA)
        await until("told", lambda: reporting.counted[Kind.MQTT, Outcome.DELIVERED] == 2)

    assert re.findall(r"as agbot-test \((\w+), ", reporting.broker.log) == [number]
    assert re.findall(r"Will message specified \(.*?\) \((.*)\)\.\n.*?\t(.*)", reporting.broker.log) == [
        ("r1, q1", "agbot/status")
    ]
    published = re.findall(r"Received PUBLISH from agbot-test \(d., (q.), (r.), m\d+, '(.*?)'", reporting.broker.log)
    assert set(published) == {
        ("q1", "r0", "agbot/acme/pumps/event"),
        ("q1", "r1", STATE),
        ("q1", "r1", "agbot/status"),
    }


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_daemon_that_vanishes_is_offline_by_its_last_will_and_online_when_it_is_back(
    reporting: Telling, protocol: str
) -> None:
    await reporting.broker.start()
    async with listening(reporting.broker.port) as listener, Cable(reporting.broker.port) as cable:
        await until("it listens", lambda: listener.is_connected)
        reporting.way = replace(reporting.way, protocol=protocol, port=cable.port)
        async with reporting.running():
            await until("that we are there", lambda: statuses(listener) == ["online"])
            cable.pull()
            await until("the last will", lambda: statuses(listener) == ["online", "offline"])
            async with listening(reporting.broker.port) as later:
                await until("what is retained", lambda: statuses(later) == ["offline"])
            cable.plug_in()
            await until("that we are back", lambda: statuses(listener) == ["online", "offline", "online"])


def statuses(listener: Listener) -> list[str]:
    return [each["status"] for each in listener.on("agbot/status")]


class Cable:
    """A way to a port that can be pulled: connections break without a goodbye, and none is made."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._is_in = True
        self._ends: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.pull()

    def pull(self) -> None:
        self._is_in = False
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def plug_in(self) -> None:
        self._is_in = True

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.append(writer)
        if not self._is_in:
            writer.transport.abort()
            return
        behind, before = await asyncio.open_connection("127.0.0.1", self._to)
        self._ends.append(before)
        await asyncio.gather(_pass(reader, before), _pass(behind, writer), return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while found := await reader.read(65536):
        writer.write(found)
    writer.transport.abort()


async def test_a_daemon_that_stops_says_so(reporting: Telling) -> None:
    await reporting.broker.start()
    async with reporting.running(), listening(reporting.broker.port) as listener:
        await until("that we are there", lambda: listener.on("agbot/status"))
    async with listening(reporting.broker.port) as later:
        await until("the status", lambda: later.on("agbot/status"))

    assert [each["status"] for each in later.on("agbot/status")] == ["offline"]


async def test_a_connection_that_is_closed_before_a_write_begins_is_no_error(
    reporting: Telling, caplog: pytest.LogCaptureFixture
) -> None:
    """Alone, aiomqtt would watch the number of the closed socket, which is no one's then or somebody else's."""
    connection = Connection(reporting.way, Message(topic="agbot/status", payload=b""))
    closed = socket.socket()
    paho = connection._client  # noqa: SLF001 - the moment between two calls of the libraries cannot be met from outside
    connection._on_socket_register_write(paho, None, closed)  # noqa: SLF001 - as paho calls it when something is to be written
    closed.close()
    await asyncio.sleep(0)

    assert caplog.records == []


async def test_what_is_sent_after_the_end_of_a_connection_fails_with_the_reason_of_that_end(reporting: Telling) -> None:
    await reporting.broker.start()
    will = Message(topic="agbot/status", payload=b"offline")
    with pytest.raises(MqttError) as failed:  # noqa: PT012 - the first connection has to be open
        async with Connection(reporting.way, will) as first, Connection(reporting.way, will):
            with suppress(MqttError):  # until it ends
                async for _ in first.messages:
                    pass
            await first.send(will)

    assert "another client connects with the same client id" in why_broken(failed.value)
