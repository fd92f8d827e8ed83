"""One message that a real broker does not take: it is named, counted and passed over, and stands in nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import aiomqtt
import pytest
from structlog.testing import capture_logs

from agbot.events.delivery import Kind, Outcome, Pauses
from agbot.events.mqtt import Mqtt
from agbot.events.payload import GroupState
from agbot.events.topics import Topics
from agbot.rules.ids import GroupId
from agbot.store.contract import Entry
from tests.acceptance.programs import until
from tests.contract.values import ANNA, BERT, GROUP, NOW, OTHER_GROUP
from tests.integration.events.conftest import Counted, Journal, delivering, firsts
from tests.integration.events.test_mqtt import Standing, Telling, heard_all
from tests.support.listening import listening
from tests.support.mosquitto import Mosquitto

BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
LARGEST_BYTES = 4000
PUBLISH = 3
"""The kind of packet (MQTT 5, 2.1.2)."""
MQTT_REFUSED = (Kind.MQTT, Outcome.REFUSED)


@pytest.fixture
def telling(journal: Journal, broker: Mosquitto, counted: Counted) -> Telling:
    return Telling(journal, broker, counted)


def large(group: GroupId = GROUP) -> Entry:
    return Entry(at=NOW, event="wait.changed", group=group, node=ANNA, facts={"why": "x" * LARGEST_BYTES})


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
async def test_an_event_larger_than_the_broker_takes_is_passed_over_and_the_others_are_told(
    telling: Telling, protocol: str, at_once: bool
) -> None:
    telling.broker.lines = (f"max_packet_size {LARGEST_BYTES}",)
    telling.way = replace(telling.way, protocol=protocol)
    await telling.broker.start()
    with capture_logs() as log:
        async with listening(telling.broker.port) as listener, telling.running():
            await until("it listens", lambda: listener.is_connected)
            await telling.journal.tell(large())
            if not at_once:
                await until("it is passed over", lambda: passed_over(telling.journal))
            await telling.journal.upgrade(OTHER_GROUP, BERT)
            await telling.journal.upgrade(GROUP, ANNA)
            await until("the others", lambda: len([each for each in listener.events() if each["token"]]) >= 4)
            await until("the note", lambda: any(each["event"] == "delivery.refused" for each in listener.events()))

    assert passed_over(telling.journal) == [("agbot/acme/pumps/event", [1])]
    (note,) = listener.on("agbot/event")
    assert note["facts"]["topic"] == "agbot/acme/pumps/event"
    assert telling.counted[MQTT_REFUSED] == 1
    assert telling.counted[Kind.MQTT, Outcome.FAILED] <= 5, "a broker that says nothing is asked a few times"
    assert [line["event"] for line in log] in ([], ["mqtt.failed", "mqtt.recovered"]), "told once"


@BOTH
async def test_a_state_larger_than_the_broker_takes_stands_in_no_event_s_way(telling: Telling, protocol: str) -> None:
    class Crowded(Standing):
        def state(self, group: GroupId) -> GroupState | None:
            found = super().state(group)
            return None if found is None else replace(found, waiting=[*found.waiting] * (1 if group == GROUP else 40))

    telling.standing = Crowded(telling.journal)
    telling.broker.lines = (f"max_packet_size {LARGEST_BYTES}",)
    telling.way = replace(telling.way, protocol=protocol)
    await telling.broker.start()
    with capture_logs() as log:
        async with listening(telling.broker.port) as listener, telling.running():
            await until("it listens", lambda: listener.is_connected)
            for number in range(1, 5):
                await telling.journal.upgrade(OTHER_GROUP, BERT)
                await telling.journal.upgrade(GROUP, ANNA)
                await heard_all(listener, 4 * number)
            await until("the state of the other", lambda: listener.on("agbot/acme/pumps/state")[-1:])
            await until("it is told", lambda: any(line["event"] == "mqtt.refused" for line in log))

    (refused,) = [line for line in log if line["event"] == "mqtt.refused"]
    assert refused["topic"] == Topics("agbot").state(OTHER_GROUP)
    assert passed_over(telling.journal) == []
    assert len(listener.events()) == len(listener.numbers()), "and none is told twice for it"
    assert telling.counted[Kind.MQTT, Outcome.FAILED] <= 5


async def test_a_limit_that_the_broker_tells_only_in_its_answer_is_believed_at_once(telling: Telling) -> None:
    """Mosquitto's answer is none that MQTT 5 allows there (149 in a PUBACK), and paho alone would close the connection on it."""
    telling.broker.lines = (f"message_size_limit {LARGEST_BYTES}",)
    await telling.broker.start()
    async with listening(telling.broker.port) as listener, telling.running():
        await until("it listens", lambda: listener.is_connected)
        await telling.journal.tell(large())
        await telling.journal.upgrade(OTHER_GROUP, BERT)
        await until("the others and the note", lambda: listener.numbers() >= {2, 3, 4})
    assert passed_over(telling.journal) == [("agbot/acme/pumps/event", [1])]
    (note,) = listener.on("agbot/event")
    assert note["facts"]["error"] == "Packet too large"
    assert telling.counted[MQTT_REFUSED] == 1
    assert telling.counted[Kind.MQTT, Outcome.FAILED] == 0, "the connection holds"


@pytest.mark.parametrize("first", [GROUP, OTHER_GROUP], ids=["before others", "after others"])
async def test_a_topic_that_is_not_allowed_is_named_and_keeps_no_other_waiting(
    telling: Telling, first: GroupId
) -> None:
    rules = telling.broker.folder / "rules"
    rules.write_text(only(f"topic write {Topics('agbot').event(OTHER_GROUP)}", "topic write agbot/event"), "utf-8")
    telling.broker.lines = (f"acl_file {rules}",)
    await telling.broker.start()
    second = OTHER_GROUP if first == GROUP else GROUP
    with capture_logs() as log:
        async with listening(telling.broker.port) as listener, telling.running():
            await until("it listens", lambda: listener.is_connected)
            for _ in range(3):
                await telling.journal.upgrade(first, ANNA)
                await telling.journal.upgrade(second, BERT)
            await until("the allowed ones", lambda: len([each for each in listener.events() if each["token"]]) == 6)
            await until("the notes", lambda: sum(len(numbers) for _, numbers in passed_over(telling.journal)) == 6)
            await until("the states", lambda: len([line for line in log if line["event"] == "mqtt.refused"]) == 2)

    assert {topic for topic, _ in passed_over(telling.journal)} == {Topics("agbot").event(GROUP)}
    states = [line["topic"] for line in log if line["event"] == "mqtt.refused"]
    assert sorted(states) == sorted([Topics("agbot").state(GROUP), Topics("agbot").state(OTHER_GROUP)]), "each once"


async def test_what_refuses_even_the_note_of_a_refusal_gets_no_note_of_that(telling: Telling) -> None:
    rules = telling.broker.folder / "rules"
    rules.write_text(only(f"topic write {Topics('agbot').event(OTHER_GROUP)}"), encoding="utf-8")
    telling.broker.lines = (f"acl_file {rules}",)
    await telling.broker.start()
    with capture_logs() as log:
        async with listening(telling.broker.port) as listener, telling.running() as deliveries:
            await until("it listens", lambda: listener.is_connected)
            await telling.journal.upgrade(GROUP, ANNA)
            await telling.journal.upgrade(OTHER_GROUP, BERT)
            await telling.journal.upgrade(OTHER_GROUP, BERT)
            await until("the note", lambda: passed_over(telling.journal))
            await telling.journal.upgrade(OTHER_GROUP, BERT)
            await until("it is behind nothing", lambda: deliveries.lags()[Kind.MQTT] == 0)
    assert passed_over(telling.journal) == [(Topics("agbot").event(GROUP), [1, 2])]
    assert [line["topic"] for line in log if line["event"] == "delivery.refused"] == ["agbot/event"]


async def test_a_name_too_long_for_a_topic_is_passed_over(telling: Telling) -> None:
    await telling.broker.start()
    async with listening(telling.broker.port) as listener, telling.running():
        await until("it listens", lambda: listener.is_connected)
        await telling.journal.tell(replace(large(GroupId(f"acme/{'g' * 70_000}")), facts={}))
        await telling.journal.upgrade(GROUP, ANNA)
        await until("the others", lambda: listener.numbers() >= {2, 3})
        await until("the note", lambda: passed_over(telling.journal))


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
    telling: Telling, protocol: str
) -> None:
    await telling.broker.start()
    async with swallowing(telling.broker.port, "pumps/event") as port, listening(telling.broker.port) as listener:
        telling.way = replace(telling.way, port=port, protocol=protocol, answer_seconds=1.0)
        await until("it listens", lambda: listener.is_connected)
        async with telling.running() as deliveries:
            await telling.journal.upgrade(GROUP, ANNA)
            await until("attempts", lambda: telling.counted[Kind.MQTT, Outcome.FAILED] >= 4)
            assert passed_over(telling.journal) == [], "as long as it takes none of them they wait"
            await telling.journal.upgrade(OTHER_GROUP, BERT)
            await until("the notes", lambda: len(listener.on("agbot/event")) >= len(telling.journal.lost) > 0)
            await until("it is behind nothing", lambda: deliveries.lags()[Kind.MQTT] == 0)

    assert passed_over(telling.journal) == [(Topics("agbot").event(GROUP), [1, 2])]
    assert all("without an answer" in str(note.facts["error"]) for note in telling.journal.lost)
    told = firsts(listener.events())
    assert [each["event"] for each in told if each["group"]] == ["lease.granted", "lease.released"]


async def test_a_state_that_a_broker_leaves_without_an_answer_stands_in_no_event_s_way(telling: Telling) -> None:
    await telling.broker.start()
    async with swallowing(telling.broker.port, "pumps/state") as port, listening(telling.broker.port) as listener:
        telling.way = replace(telling.way, port=port, answer_seconds=1.0)
        await until("it listens", lambda: listener.is_connected)
        with capture_logs() as log:
            async with telling.running():
                await telling.journal.upgrade(GROUP, ANNA)
                await until("it is told", lambda: any(line["event"] == "mqtt.refused" for line in log))
                failed = telling.counted[Kind.MQTT, Outcome.FAILED]
                await telling.journal.upgrade(GROUP, BERT)
                await heard_all(listener, 4)

    (refused,) = [line for line in log if line["event"] == "mqtt.refused"]
    assert refused["topic"] == Topics("agbot").state(GROUP)
    assert telling.counted[Kind.MQTT, Outcome.FAILED] == failed, "the connection holds from then on"
    assert passed_over(telling.journal) == []


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
async def test_a_second_client_with_the_same_id_is_told_once_and_met_with_growing_pauses(
    telling: Telling, protocol: str
) -> None:
    telling.way = replace(telling.way, protocol=protocol)
    pauses = Pauses(first_seconds=0.1, longest_seconds=30.0, quiet_seconds=0.5)
    sink = Mqtt(telling.way, Topics("agbot"), telling.standing, telling.counted.count, pauses=pauses)
    await telling.broker.start()
    with capture_logs() as log:
        async with listening(telling.broker.port) as listener, delivering(telling.journal, sink):
            await until("it listens", lambda: listener.is_connected)
            await until("it is there", lambda: listener.on("agbot/status"))
            async with namesake(telling.broker, telling.way.client_id, protocol):
                await telling.journal.upgrade(GROUP, ANNA)
                await until("attempts", lambda: telling.counted[Kind.MQTT, Outcome.FAILED] >= 3)
                began = asyncio.get_running_loop().time()
                await until("two more", lambda: telling.counted[Kind.MQTT, Outcome.FAILED] >= 5)
                assert asyncio.get_running_loop().time() - began > 0.4 / 2 + 0.8 / 2, "they have grown"
            await heard_all(listener, 2)

    assert all(line["client_id"] == telling.way.client_id for line in log if line["event"] == "mqtt.failed")
    assert len(log) <= 2 * telling.counted[Kind.MQTT, Outcome.FAILED]
    first = next(line for line in log if line["event"] == "mqtt.failed")
    assert "another client connects with the same client id" in first["error"]
    assert passed_over(telling.journal) == []
