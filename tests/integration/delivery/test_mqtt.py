"""Over MQTT: a real broker is reported everything in order, over every kind of connection, and shows how things stand."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agbot.delivery.mqtt_connection import tls_context
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Outcome
from agbot.events.operators import HoldSet
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Lease
from agbot.settings.secret import Secret
from agbot.store.contract import Entry
from tests.contract.values import ANNA, BERT, GROUP, NOW, OTHER_GROUP, UPGRADE
from tests.integration.delivery.conftest import (
    STATE,
    Telling,
    received_all,
)
from tests.support.examples import some
from tests.support.listening import listening
from tests.support.mosquitto import CERTIFICATE, CLIENT_CERTIFICATE, KEY, OVER_TLS, PASSWORD, USER
from tests.support.patience import until


def trusted() -> ssl.SSLContext:
    return tls_context(CERTIFICATE, None, None)


def shown() -> ssl.SSLContext:
    return tls_context(CERTIFICATE, CERTIFICATE, KEY)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize(
    ("lines", "tls", "password"),
    some(
        [
            ((), None, ""),
            ((), None, PASSWORD),
            (OVER_TLS, trusted, ""),
            (OVER_TLS, trusted, PASSWORD),
            (CLIENT_CERTIFICATE, shown, ""),
        ],
        every=2,
    ),
    ids=["plain", "password", "tls", "tls and password", "client certificate"],
)
async def test_a_broker_is_reported_events_state_and_that_we_are_there(
    reporting: Telling, lines: tuple[str, ...], tls: Callable[[], ssl.SSLContext] | None, password: str, protocol: str
) -> None:
    broker, context = reporting.broker, tls() if tls else None
    broker.lines, broker.passwords = lines, {USER: password} if password else {}
    reporting.way = replace(
        reporting.way,
        protocol=protocol,
        tls=context,
        username=USER if password else "",
        password=Secret(password) if password else None,
    )
    await broker.start()
    async with (
        listening(broker.port, tls=context, username=USER if password else None, password=password or None) as listener,
        reporting.running(),
    ):
        await until("it listens", lambda: listener.is_connected)
        await reporting.journal.upgrade(GROUP, ANNA)
        await until("the state", lambda: any(each["token"] == 1 for each in listener.on(STATE)))
        await received_all(listener, 2)
        await until("it is counted", lambda: reporting.counted == {(Kind.MQTT, Outcome.DELIVERED): 2})

    granted, released = listener.on("agbot/acme/pumps/event")
    assert (granted["event"], granted["node"], granted["token"]) == ("lease.granted", ANNA, 1)
    assert (released["event"], released["group"], released["subject"]) == ("lease.released", GROUP, UPGRADE)
    assert granted["number"] < released["number"]
    assert [each["status"] for each in listener.on("agbot/status")] == ["online", "offline"]


@pytest.mark.parametrize(
    ("way", "lines", "stated"),
    [
        ({"username": USER, "password": Secret("wrong")}, (), "ot authorized|ot authorised|ad user name"),
        ({"tls": tls_context(None, None, None)}, OVER_TLS, "certificate"),
        ({"tls": trusted(), "host": "localhost"}, OVER_TLS, "localhost"),
        ({"tls": trusted()}, CLIENT_CERTIFICATE, ""),
    ],
    ids=["a wrong password", "an unknown authority", "another host's certificate", "no client certificate"],
)
async def test_a_broker_that_does_not_match_the_settings_is_reported_once_and_gets_everything_when_they_do(
    reporting: Telling, way: dict[str, Any], lines: tuple[str, ...], stated: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = replace(reporting.way, tls=shown() if lines else None, username=USER, password=Secret(PASSWORD))
    reporting.broker.lines, reporting.broker.passwords = lines, {USER: PASSWORD}
    await reporting.broker.start()
    reporting.way = replace(good, **way)
    with capture_logs() as log:
        async with reporting.running():
            await reporting.journal.upgrade(GROUP, ANNA)
            await until("several attempts", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED] >= 3)
    (line,) = log
    assert [record.getMessage() for record in caplog.records if "mqtt" in record.name] == []
    assert line["event"] == "mqtt.failed"
    assert stated == "" or any(word in line["error"] for word in stated.split("|")), line

    reporting.way = good
    async with (
        listening(reporting.broker.port, tls=good.tls, username=USER, password=PASSWORD) as listener,
    ):
        await until("it listens", lambda: listener.is_connected)
        async with reporting.running():
            await received_all(listener, 2)


async def test_a_new_connection_shows_how_things_stand_to_a_broker_that_has_forgotten_it(reporting: Telling) -> None:
    await reporting.broker.start()
    async with reporting.running():
        await reporting.journal.upgrade(GROUP, ANNA)
        await reporting.journal.upgrade(OTHER_GROUP, ANNA)
        await until("told", lambda: reporting.counted[Kind.MQTT, Outcome.DELIVERED] == 4)
        reporting.standing.idle.add(OTHER_GROUP)
        reporting.broker.kill()
        await reporting.broker.start()
        async with listening(reporting.broker.port) as listener:
            await until("the state", lambda: listener.on(STATE))
            await until("that we are there", lambda: listener.on("agbot/status"))

    assert {each.topic for each in listener.received} == {STATE, "agbot/status"}


async def test_whoever_comes_later_is_shown_what_is_retained(reporting: Telling) -> None:
    await reporting.broker.start()
    async with reporting.running():
        await reporting.journal.upgrade(GROUP, ANNA)
        await reporting.journal.upgrade(GROUP, BERT)
        await until("told", lambda: reporting.counted[Kind.MQTT, Outcome.DELIVERED] == 4)
        async with listening(reporting.broker.port) as listener:
            await until("both", lambda: len(listener.received) == 2)

    shown_then = {each.topic: each for each in listener.received}
    assert all(each.retained for each in shown_then.values())
    assert shown_then[STATE].content["token"] == 2
    assert shown_then[STATE].content["waiting"][0]["reasons"] == [{"code": "soaking", "text": "the group rests"}]
    assert shown_then["agbot/status"].content["status"] == "online"


async def test_the_state_of_a_deleted_group_is_cleared_also_by_a_later_daemon(reporting: Telling) -> None:
    await reporting.broker.start()
    async with reporting.running():
        await reporting.journal.upgrade(GROUP, ANNA)
        await until("told", lambda: reporting.counted[Kind.MQTT, Outcome.DELIVERED] == 2)
    reporting.standing.gone.add(GROUP)
    async with listening(reporting.broker.port) as listener:
        await until("its state is still there", lambda: listener.on(STATE))
        async with reporting.running():
            await until("the cleared state", lambda: listener.on(STATE)[-1] == {})
    async with listening(reporting.broker.port) as later:
        await until("what is retained", lambda: later.on("agbot/status"))
    assert later.on(STATE) == []


async def test_an_event_about_no_group_has_a_topic_of_its_own_and_renews_every_state(reporting: Telling) -> None:
    await reporting.broker.start()
    async with listening(reporting.broker.port) as listener, reporting.running():
        await until("it listens", lambda: listener.is_connected)
        await reporting.journal.upgrade(GROUP, ANNA)
        await until("told", lambda: reporting.counted[Kind.MQTT, Outcome.DELIVERED] == 2)
        reporting.standing.journal.leases[GROUP] = Lease(group=GROUP, token=7)
        await reporting.journal.report(Entry.of(HoldSet(scope="*", why="fair"), NOW))
        await until("the renewed state", lambda: listener.on(STATE)[-1]["token"] == 7)

    (event,) = listener.on("agbot/event")
    assert (event["event"], event["group"]) == ("hold.set", None)


async def test_names_that_a_topic_cannot_hold_are_reported_all_the_same(reporting: Telling) -> None:
    hostile = GroupId("o+1#/a/b%2F\x00\x1f\x7f\ufffe é😀")
    await reporting.broker.start()
    async with listening(reporting.broker.port) as listener, reporting.running():
        await until("it listens", lambda: listener.is_connected)
        await reporting.journal.upgrade(hostile, NodeId("o+1#/n"))
        await received_all(listener, 2)
        await until("the state", lambda: any(each.topic.endswith("/state") for each in listener.received))

    assert {event["group"] for event in listener.events()} == {hostile}
    assert {each.topic for each in listener.received} == {
        "agbot/status",
        "agbot/o%2B1%23/a%2Fb%252F%00%1F%7F%EF%BF%BE é😀/event",
        "agbot/o%2B1%23/a%2Fb%252F%00%1F%7F%EF%BF%BE é😀/state",
    }
