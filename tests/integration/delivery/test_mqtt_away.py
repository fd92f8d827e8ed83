"""A broker that is killed, hangs or stays away gets everything, in order, when it is back.

What was lost meanwhile is named.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from agbot.delivery.mqtt import Mqtt
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Outcome
from agbot.delivery.topics import Topics
from agbot.rules.ids import GroupId
from tests.acceptance.programs import free_port
from tests.contract.values import ANNA, BERT, GROUP, NOW, entry
from tests.integration.delivery.conftest import (
    HASTY,
    Telling,
    delivering,
    firsts,
    received_all,
)
from tests.support.listening import listening
from tests.support.patience import PATIENCE_SECONDS, in_time, until

ANSWER_SECONDS = 0.3
"""How long a broker may leave something unanswered in a test that lets it hang."""


async def confirmed(reporting: Telling, number: int) -> bool:
    return await reporting.journal.store.cursor("mqtt") == number


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_killed_or_stopped_in_the_middle_of_a_rollout_the_broker_gets_everything_in_token_order(
    reporting: Telling, protocol: str
) -> None:
    broker, journal = reporting.broker, reporting.journal
    way = replace(reporting.way, protocol=protocol)
    sink = Mqtt(way, Topics("agbot"), reporting.standing, reporting.counted.count, backoff=HASTY)
    groups = {GroupId(f"acme/g{number}"): 0 for number in range(4)}
    total = 0

    async def rollout(upgrades: int) -> None:
        nonlocal total
        for group, _ in zip(itertools.cycle(groups), range(upgrades), strict=False):
            await journal.upgrade(group, ANNA)
            total += 2

    await broker.start()
    with capture_logs() as log:
        async with listening(broker.port) as listener, delivering(journal, sink):
            await until("it listens", lambda: listener.is_connected)
            for end in (broker.kill, broker.stop):
                going_on = asyncio.create_task(rollout(8))
                seen = len(listener.numbers())
                await until("some more events", lambda seen=seen: len(listener.numbers()) > seen + 10)  # type: ignore[misc]  # a default pins it
                end()
                await going_on
                await rollout(4)
                await until("it is missed", lambda: not listener.is_connected)
                reporting.counted.clear()
                await until("attempts", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED])
                sink.use(
                    replace(way, port=free_port())
                )  # what is reported while no one listens yet would be received by no one
                await broker.start()
                await until("it listens again", lambda: listener.is_connected)
                sink.use(way)
            await received_all(listener, total)
            await until("the second recovery", lambda: len(log) == 4)

    events = listener.events()
    assert {event["number"] for event in events} == set(range(1, total + 1))
    first_reported = firsts(events)
    assert len(first_reported) == total
    for group in groups:
        emitted = [(event["token"], event["event"]) for event in first_reported if event["group"] == group]
        assert emitted == [(token, event) for token in range(1, 7) for event in ("lease.granted", "lease.released")]
    assert [line["event"] for line in log] == ["mqtt.failed", "mqtt.recovered"] * 2


async def test_a_broker_that_hangs_is_reported_once_and_gets_everything_afterwards(reporting: Telling) -> None:
    reporting.way = replace(reporting.way, answer_seconds=ANSWER_SECONDS)
    await reporting.broker.start()
    with capture_logs() as log:
        async with listening(reporting.broker.port) as listener, reporting.running():
            await until("it listens", lambda: listener.is_connected)
            await reporting.journal.upgrade(GROUP, ANNA)
            await received_all(listener, 2)
            await until("both are confirmed", lambda: confirmed(reporting, 2))
            reporting.broker.freeze()
            await reporting.journal.upgrade(GROUP, BERT)
            await until("attempts", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED] >= 2)
            assert await reporting.journal.store.cursor("mqtt") == 2, "what is not acknowledged must be told again"
            reporting.broker.thaw()
            await until("it is over", lambda: len(log) == 2)
            await received_all(listener, 4)

    assert [line["event"] for line in log] == ["mqtt.failed", "mqtt.recovered"]
    assert "timed out" in log[0]["error"]
    assert [event["token"] for event in firsts(listener.events())] == [1, 1, 2, 2]


async def test_a_broker_away_for_longer_than_the_journal_is_reported_the_later_events_and_what_it_has_lost(
    reporting: Telling,
) -> None:
    async with reporting.running():
        await until("attempts", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED] >= 2)
    await reporting.journal.report(entry("old.old"), entry("old.old"), entry("new.new", minutes=9))
    await reporting.journal.store.prune(NOW + timedelta(minutes=5))
    await reporting.broker.start()
    async with listening(reporting.broker.port) as listener:
        await until("it listens", lambda: listener.is_connected)
        async with reporting.running():
            await until("told", lambda: len(listener.events()) == 2)

    later, lost = listener.events()
    assert (later["event"], later["number"]) == ("new.new", 3)
    assert (lost["event"], lost["number"]) == ("delivery.lost", 4)
    assert lost["facts"] == {"sink": "mqtt", "receiver": reporting.way.address, "first": 1, "last": 2}
    assert listener.on("agbot/event") == [lost]


async def test_a_broker_that_is_gone_ends_the_wait_for_its_answer_at_once(reporting: Telling) -> None:
    """Alone, aiomqtt would wait for the whole of `answer_seconds`."""
    reporting.way = replace(reporting.way, answer_seconds=60.0)
    await reporting.broker.start()
    async with reporting.running():
        await reporting.journal.upgrade(GROUP, ANNA)
        await until("told", lambda: reporting.counted[Kind.MQTT, Outcome.DELIVERED] == 2)
        reporting.broker.freeze()
        await reporting.journal.upgrade(GROUP, BERT)
        await until("it is on the way", lambda: reporting.counted[Kind.MQTT, Outcome.DELIVERED] == 2)
        reporting.broker.kill()
        await until("the failure", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED])


async def test_a_broker_that_does_not_run_is_named_in_words(reporting: Telling) -> None:
    with capture_logs() as log:
        async with reporting.running():
            await reporting.journal.upgrade(GROUP, ANNA)
            await until("an attempt", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED])

    assert [line["error"] for line in log] == ["the broker cannot be reached: Connection refused"]


async def test_a_broker_that_does_not_answer_is_left_with_no_open_connection(reporting: Telling) -> None:
    """Alone, aiomqtt would leave one behind at each attempt."""
    loop = asyncio.get_running_loop()
    deaf = socket.create_server(("127.0.0.1", 0))
    reporting.way = replace(reporting.way, port=deaf.getsockname()[1], answer_seconds=0.05)
    async with reporting.running():
        await until("attempts", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED] >= 2)
        connection, _ = deaf.accept()
        connection.setblocking(False)  # noqa: FBT003 - the signature is socket's
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await loop.sock_recv(connection, 1024):
                pass
    connection.close()
    deaf.close()


async def test_a_broker_that_refuses_what_is_published_has_not_taken_it(reporting: Telling) -> None:
    """MQTT 5 says so in the acknowledgement, which aiomqtt takes for a yes."""
    rules = reporting.broker.folder / "rules"
    rules.write_text("topic read #\ntopic write agbot/status\n", encoding="utf-8")
    reporting.broker.lines = (f"acl_file {rules}",)
    await reporting.broker.start()
    with capture_logs() as log:
        async with listening(reporting.broker.port) as listener, reporting.running():
            await until("it listens", lambda: listener.is_connected)
            await reporting.journal.upgrade(GROUP, ANNA)
            await until("attempts", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED] >= 2)
            assert listener.events() == []
            rules.write_text("topic readwrite #\n", encoding="utf-8")
            reporting.broker.reload()
            await received_all(listener, 2)

    assert "refuses a message: Not authorized" in log[0]["error"]


@pytest.mark.parametrize("state", ["absent", "frozen", "deaf"])
async def test_a_daemon_stops_at_once_whatever_the_broker_does(reporting: Telling, state: str) -> None:
    reporting.way = replace(reporting.way, answer_seconds=60.0)
    async with AsyncExitStack() as running:
        # the kernel accepts, no one ever answers
        deaf = running.enter_context(socket.create_server(("127.0.0.1", 0)))
        if state == "deaf":
            reporting.way = replace(reporting.way, port=deaf.getsockname()[1])
        elif state == "frozen":
            await reporting.broker.start()
        await running.enter_async_context(reporting.running())
        if state == "frozen":
            await reporting.journal.upgrade(GROUP, ANNA)
            await until("told", lambda: reporting.counted[Kind.MQTT, Outcome.DELIVERED])
            reporting.broker.freeze()
        await reporting.journal.upgrade(GROUP, BERT)
        with in_time(4.0):
            await running.aclose()
