"""One message that a real broker does not take: it is named, counted and passed over, and stands in no one's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import aiomqtt
import pytest
from structlog.testing import capture_logs

from agbot.delivery.mqtt import Mqtt
from agbot.delivery.payload import GroupState
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Backoff, Outcome
from agbot.delivery.topics import Topics
from agbot.events.waits import ReasonGiven, WaitChanged
from agbot.rules.ids import GroupId
from agbot.store.contract import Entry
from tests.contract.values import ANNA, BERT, GROUP, NOW, OTHER_GROUP
from tests.integration.delivery.conftest import Journal, Standing, Telling, delivering, firsts, received_all
from tests.support.listening import listening
from tests.support.mosquitto import Mosquitto
from tests.support.patience import until

BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
LARGEST_BYTES = 4000
PUBLISH = 3
"""The kind of packet (MQTT 5, 2.1.2)."""
MQTT_REFUSED = (Kind.MQTT, Outcome.REFUSED)


def large(group: GroupId = GROUP) -> Entry:
    reason = ReasonGiven(code="brake", text="x" * LARGEST_BYTES)
    return Entry.of(WaitChanged(group=group, node=ANNA, reasons=(reason,), since=NOW), NOW)


def only(*rules: str) -> str:
    """Write the rules of a broker that takes nothing but these."""
    return "".join(f"{rule}\n" for rule in ("topic read #", "topic write agbot/status", *rules))


def passed_over(journal: Journal) -> list[tuple[str, list[int]]]:
    """Return what the journal says was passed over: topics and numbers."""
    noted = [entry.facts for entry in journal.lost if entry.event == "delivery.refused"]
    return [(str(facts["topic"]), list(_numbers(facts["numbers"]))) for facts in noted]


def _numbers(value: object) -> Sequence[int]:
    assert isinstance(value, list | tuple)
    return value


@BOTH
@pytest.mark.parametrize("at_once", [True, False], ids=["among others", "alone"])
async def test_an_event_larger_than_the_broker_takes_is_passed_over_and_the_others_are_reported(
    reporting: Telling, protocol: str, at_once: bool
) -> None:
    reporting.broker.lines = (f"max_packet_size {LARGEST_BYTES}",)
    reporting.way = replace(reporting.way, protocol=protocol)
    await reporting.broker.start()
    with capture_logs() as log:
        async with listening(reporting.broker.port) as listener, reporting.running():
            await until("it listens", lambda: listener.is_connected)
            await reporting.journal.report(large())
            if not at_once:
                await until("it is passed over", lambda: passed_over(reporting.journal))
            await reporting.journal.upgrade(OTHER_GROUP, BERT)
            await reporting.journal.upgrade(GROUP, ANNA)
            await until("the others", lambda: len([each for each in listener.events() if each["token"]]) >= 4)
            await until("the note", lambda: any(each["event"] == "delivery.refused" for each in listener.events()))

    assert passed_over(reporting.journal) == [("agbot/acme/pumps/event", [1])]
    (note,) = listener.on("agbot/event")
    assert note["facts"]["topic"] == "agbot/acme/pumps/event"
    assert reporting.counted[MQTT_REFUSED] == 1
    assert reporting.counted[Kind.MQTT, Outcome.FAILED] <= 5, "a broker that says nothing is asked a few times"
    assert [line["event"] for line in log] in ([], ["mqtt.failed", "mqtt.recovered"]), "told once"


@BOTH
async def test_a_state_larger_than_the_broker_takes_stands_in_no_event_s_way(reporting: Telling, protocol: str) -> None:
    class Crowded(Standing):
        def state(self, group: GroupId) -> GroupState | None:
            found = super().state(group)
            return None if found is None else replace(found, waiting=[*found.waiting] * (1 if group == GROUP else 40))

    reporting.standing = Crowded(reporting.journal)
    reporting.broker.lines = (f"max_packet_size {LARGEST_BYTES}",)
    reporting.way = replace(reporting.way, protocol=protocol)
    await reporting.broker.start()
    with capture_logs() as log:
        async with listening(reporting.broker.port) as listener, reporting.running():
            await until("it listens", lambda: listener.is_connected)
            for number in range(1, 5):
                await reporting.journal.upgrade(OTHER_GROUP, BERT)
                await reporting.journal.upgrade(GROUP, ANNA)
                await received_all(listener, 4 * number)
            await until("the state of the other", lambda: listener.on("agbot/acme/pumps/state")[-1:])
            await until("it is told", lambda: any(line["event"] == "mqtt.refused" for line in log))

    (refused,) = [line for line in log if line["event"] == "mqtt.refused"]
    assert refused["topic"] == Topics("agbot").state(OTHER_GROUP)
    assert passed_over(reporting.journal) == []
    assert len(listener.events()) == len(listener.numbers()), "and none is told twice for it"
    assert reporting.counted[Kind.MQTT, Outcome.FAILED] <= 5


async def test_a_limit_that_the_broker_reports_only_in_its_answer_is_believed_at_once(reporting: Telling) -> None:
    """Mosquitto's answer is none that MQTT 5 allows there (149 in a PUBACK), and paho alone would close the connection on it."""
    reporting.broker.lines = (f"message_size_limit {LARGEST_BYTES}",)
    await reporting.broker.start()
    async with listening(reporting.broker.port) as listener, reporting.running():
        await until("it listens", lambda: listener.is_connected)
        await reporting.journal.report(large())
        await reporting.journal.upgrade(OTHER_GROUP, BERT)
        await until("the others and the note", lambda: listener.numbers() >= {2, 3, 4})
    assert passed_over(reporting.journal) == [("agbot/acme/pumps/event", [1])]
    (note,) = listener.on("agbot/event")
    assert note["facts"]["error"] == "Packet too large"
    assert reporting.counted[MQTT_REFUSED] == 1
    assert reporting.counted[Kind.MQTT, Outcome.FAILED] == 0, "the connection holds"


@pytest.mark.parametrize("first", [GROUP, OTHER_GROUP], ids=["before others", "after others"])
async def test_a_topic_that_is_not_allowed_is_named_and_keeps_no_other_waiting(
    reporting: Telling, first: GroupId
) -> None:
    rules = reporting.broker.folder / "rules"
    rules.write_text(only(f"topic write {Topics('agbot').event(OTHER_GROUP)}", "topic write agbot/event"), "utf-8")
    reporting.broker.lines = (f"acl_file {rules}",)
    await reporting.broker.start()
    second = OTHER_GROUP if first == GROUP else GROUP
    with capture_logs() as log:
        async with listening(reporting.broker.port) as listener, reporting.running():
            await until("it listens", lambda: listener.is_connected)
            for _ in range(3):
                await reporting.journal.upgrade(first, ANNA)
                await reporting.journal.upgrade(second, BERT)
            await until("the allowed ones", lambda: len([each for each in listener.events() if each["token"]]) == 6)
            await until("the notes", lambda: sum(len(numbers) for _, numbers in passed_over(reporting.journal)) == 6)
            await until("the states", lambda: len([line for line in log if line["event"] == "mqtt.refused"]) == 2)

    assert {topic for topic, _ in passed_over(reporting.journal)} == {Topics("agbot").event(GROUP)}
    states = [line["topic"] for line in log if line["event"] == "mqtt.refused"]
    assert sorted(states) == sorted([Topics("agbot").state(GROUP), Topics("agbot").state(OTHER_GROUP)]), "each once"


async def test_what_refuses_even_the_note_of_a_refusal_gets_no_note_of_that(reporting: Telling) -> None:
    rules = reporting.broker.folder / "rules"
    rules.write_text(only(f"topic write {Topics('agbot').event(OTHER_GROUP)}"), encoding="utf-8")
    reporting.broker.lines = (f"acl_file {rules}",)
    await reporting.broker.start()
    with capture_logs() as log:
        async with listening(reporting.broker.port) as listener, reporting.running() as deliveries:
            await until("it listens", lambda: listener.is_connected)
            await reporting.journal.upgrade(GROUP, ANNA)
            await reporting.journal.upgrade(OTHER_GROUP, BERT)
            await reporting.journal.upgrade(OTHER_GROUP, BERT)
            await until("the note", lambda: passed_over(reporting.journal))
            await reporting.journal.upgrade(OTHER_GROUP, BERT)
            await until("it is behind nothing", lambda: deliveries.lags()[Kind.MQTT] == 0)
    assert passed_over(reporting.journal) == [(Topics("agbot").event(GROUP), [1, 2])]
    assert [line["topic"] for line in log if line["event"] == "delivery.refused"] == ["agbot/event"]


async def test_a_name_too_long_for_a_topic_is_passed_over(reporting: Telling) -> None:
    await reporting.broker.start()
    async with listening(reporting.broker.port) as listener, reporting.running():
        await until("it listens", lambda: listener.is_connected)
        await reporting.journal.report(replace(large(GroupId(f"acme/{'g' * 70_000}")), facts={}))
        await reporting.journal.upgrade(GROUP, ANNA)
        await until("the others", lambda: listener.numbers() >= {2, 3})
        await until("the note", lambda: passed_over(reporting.journal))


@asynccontextmanager
async def swallowing(port: int, end_of_topic: str) -> AsyncIterator[int]:
    """Pass everything on to a broker but what is published to some topics, as one whose queue behind them is away; yields the port."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(1)
                body = await _sized(reader)
                topic = body[-1][2 : 2 + int.from_bytes(body[-1][:2], "big")]
                if head[0] >> 4 != PUBLISH or not topic.endswith(end_of_topic.encode()):
                    writer.write(head + b"".join(body))
        writer.close()

    async def pass_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, broker_writer), pass_back(broker_reader, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _sized(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read how long a packet is (MQTT 5, 1.5.5), and so much of it."""
    written = await reader.readexactly(1)
    while written[-1] & 128:
        written += await reader.readexactly(1)
    size = sum((byte & 127) << 7 * place for place, byte in enumerate(written))
    return written, await reader.readexactly(size)


@BOTH
async def test_an_event_that_a_broker_leaves_without_an_answer_is_passed_over_where_it_takes_others(
    reporting: Telling, protocol: str
) -> None:
    await reporting.broker.start()
    async with swallowing(reporting.broker.port, "pumps/event") as port, listening(reporting.broker.port) as listener:
        reporting.way = replace(reporting.way, port=port, protocol=protocol, answer_seconds=1.0)
        await until("it listens", lambda: listener.is_connected)
        async with reporting.running() as deliveries:
            await reporting.journal.upgrade(GROUP, ANNA)
            await until("attempts", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED] >= 4)
            assert passed_over(reporting.journal) == [], "as long as it takes none of them they wait"
            await reporting.journal.upgrade(OTHER_GROUP, BERT)
            await until("the notes", lambda: len(listener.on("agbot/event")) >= len(reporting.journal.lost) > 0)
            await until("it is behind nothing", lambda: deliveries.lags()[Kind.MQTT] == 0)

    assert passed_over(reporting.journal) == [(Topics("agbot").event(GROUP), [1, 2])]
    assert all("without an answer" in str(note.facts["error"]) for note in reporting.journal.lost)
    emitted = firsts(listener.events())
    assert [each["event"] for each in emitted if each["group"]] == ["lease.granted", "lease.released"]


async def test_a_state_that_a_broker_leaves_without_an_answer_stands_in_no_event_s_way(reporting: Telling) -> None:
    await reporting.broker.start()
    async with swallowing(reporting.broker.port, "pumps/state") as port, listening(reporting.broker.port) as listener:
        reporting.way = replace(reporting.way, port=port, answer_seconds=1.0)
        await until("it listens", lambda: listener.is_connected)
        with capture_logs() as log:
            async with reporting.running():
                await reporting.journal.upgrade(GROUP, ANNA)
                await until("it is told", lambda: any(line["event"] == "mqtt.refused" for line in log))
                failed = reporting.counted[Kind.MQTT, Outcome.FAILED]
                await reporting.journal.upgrade(GROUP, BERT)
                await received_all(listener, 4)

    (refused,) = [line for line in log if line["event"] == "mqtt.refused"]
    assert refused["topic"] == Topics("agbot").state(GROUP)
    assert reporting.counted[Kind.MQTT, Outcome.FAILED] == failed, "the connection holds from then on"
    assert passed_over(reporting.journal) == []


@asynccontextmanager
async def namesake(broker: Mosquitto, client_id: str, protocol: str) -> AsyncIterator[list[int]]:
    """Connect with the same client id again and again; yields the connections so far."""
    connections: list[int] = []

    async def insist() -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                version = aiomqtt.ProtocolVersion.V5 if protocol == "5" else aiomqtt.ProtocolVersion.V311
                async with aiomqtt.Client("127.0.0.1", broker.port, identifier=client_id, protocol=version) as client:
                    connections.append(len(connections))
                    async for _ in client.messages:
                        pass
            await asyncio.sleep(0.02)

    task = asyncio.create_task(insist())
    yield connections
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@BOTH
async def test_a_second_client_with_the_same_id_is_reported_once_and_met_with_growing_pauses(
    reporting: Telling, protocol: str
) -> None:
    reporting.way = replace(reporting.way, protocol=protocol)
    backoff = Backoff(first_seconds=0.1, longest_seconds=30.0, quiet_seconds=0.5)
    sink = Mqtt(reporting.way, Topics("agbot"), reporting.standing, reporting.counted.count, backoff=backoff)
    await reporting.broker.start()
    with capture_logs() as log:
        async with listening(reporting.broker.port) as listener, delivering(reporting.journal, sink):
            await until("it listens", lambda: listener.is_connected)
            await until("it is there", lambda: listener.on("agbot/status"))
            async with namesake(reporting.broker, reporting.way.client_id, protocol):
                await reporting.journal.upgrade(GROUP, ANNA)
                await until("attempts", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED] >= 3)
                began = asyncio.get_running_loop().time()
                await until("two more", lambda: reporting.counted[Kind.MQTT, Outcome.FAILED] >= 5)
                assert asyncio.get_running_loop().time() - began > 0.4 / 2 + 0.8 / 2, "they have grown"
            await received_all(listener, 2)

    assert all(line["client_id"] == reporting.way.client_id for line in log if line["event"] == "mqtt.failed")
    assert len(log) <= 2 * reporting.counted[Kind.MQTT, Outcome.FAILED]
    errors = [line["error"] for line in log if line["event"] == "mqtt.failed"]
    assert any("another client connects with the same client id" in error for error in errors), errors
    assert passed_over(reporting.journal) == []
