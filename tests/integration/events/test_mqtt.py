"""Over MQTT: a real broker is told everything in order, however often it goes away, and shows how things stand."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self

import pytest
from structlog.testing import capture_logs

from agbot.events.delivery import Deliveries, Kind, Outcome, Pauses
from agbot.events.mqtt import Mqtt
from agbot.events.mqtt_connection import Broker, Connection, Message, tls_context
from agbot.events.payload import BrakeState, GroupState, HoldState, MemberState, ReasonState, WaiterState
from agbot.events.topics import Topics
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Lease
from agbot.settings.secret import Secret
from tests.acceptance.programs import free_port, until
from tests.contract.values import ANNA, BERT, GROUP, NOW, OTHER_GROUP, UPGRADE, entry
from tests.integration.events.conftest import HASTY, Counted, Journal, delivering, firsts
from tests.support.listening import Listener, listening
from tests.support.mosquitto import CERTIFICATE, CLIENT_CERTIFICATE, KEY, OVER_TLS, PASSWORD, USER, Mosquitto

STATE = "agbot/acme/pumps/state"
PATIENCE_SECONDS = 0.3
"""How long a broker may leave something unanswered in a test that lets it hang."""


@dataclass
class Standing:
    """How groups stand: each with the token of its upgrades so far, as the journal has it."""

    journal: Journal
    gone: set[GroupId] = field(default_factory=set)
    idle: set[GroupId] = field(default_factory=set)

    def busy(self) -> set[GroupId]:
        return set(self.journal.leases) - self.gone - self.idle

    def is_gone(self, group: GroupId) -> bool:
        return group in self.gone

    def state(self, group: GroupId) -> GroupState | None:
        lease = self.journal.leases.get(group)
        if lease is None:
            return None
        reason = ReasonState(code="soaking", text="the group rests")
        return GroupState(
            group=group,
            state=lease.state.value,
            token=lease.token,
            holder=None,
            kind=None,
            subject=None,
            granted_at=None,
            expires_at=None,
            members=[MemberState(node=ANNA, deferred_for=None), MemberState(node=BERT, deferred_for=UPGRADE)],
            waiting=[WaiterState(node=BERT, kind="agent", subject=UPGRADE, since=NOW, reasons=[reason])],
            brakes=[BrakeState(subject=UPGRADE, since=NOW, cause="failed", node=ANNA)],
            holds=[HoldState(scope="*", since=NOW, by="ola", why="a trial", until=None)],
        )


@dataclass
class Telling:
    """One journal, one broker, and a way between them."""

    journal: Journal
    broker: Mosquitto
    counted: Counted
    standing: Standing = field(init=False)
    way: Broker = field(init=False)

    def __post_init__(self) -> None:
        self.standing = Standing(self.journal)
        self.way = Broker(host="127.0.0.1", port=self.broker.port, client_id="agbot-test", answer_seconds=5.0)

    def running(self) -> AbstractAsyncContextManager[Deliveries]:
        sink = Mqtt(self.way, Topics("agbot"), self.standing, self.counted.count, pauses=HASTY)
        return delivering(self.journal, sink)


@pytest.fixture
def telling(journal: Journal, broker: Mosquitto, counted: Counted) -> Telling:
    return Telling(journal, broker, counted)


async def heard_all(listener: Listener, count: int) -> None:
    await until(f"{count} events", lambda: len(listener.numbers()) >= count)


async def confirmed(telling: Telling, number: int) -> bool:
    return await telling.journal.store.cursor("mqtt") == number


def trusted() -> ssl.SSLContext:
    return tls_context(CERTIFICATE, None, None)


def shown() -> ssl.SSLContext:
    return tls_context(CERTIFICATE, CERTIFICATE, KEY)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize(
    ("lines", "tls", "password"),
    [
        ((), None, ""),
        ((), None, PASSWORD),
        (OVER_TLS, trusted, ""),
        (OVER_TLS, trusted, PASSWORD),
        (CLIENT_CERTIFICATE, shown, ""),
    ],
    ids=["plain", "password", "tls", "tls and password", "client certificate"],
)
async def test_a_broker_is_told_events_state_and_that_we_are_there(
    telling: Telling, lines: tuple[str, ...], tls: Callable[[], ssl.SSLContext] | None, password: str, protocol: str
) -> None:
    broker, context = telling.broker, tls() if tls else None
    broker.lines, broker.passwords = lines, {USER: password} if password else {}
    telling.way = replace(
        telling.way,
        protocol=protocol,
        tls=context,
        username=USER if password else "",
        password=Secret(password) if password else None,
    )
    await broker.start()
    async with (
        listening(broker.port, tls=context, username=USER if password else None, password=password or None) as listener,
        telling.running(),
    ):
        await until("it listens", lambda: listener.is_connected)
        await telling.journal.upgrade(GROUP, ANNA)
        await until("the state", lambda: any(each["token"] == 1 for each in listener.on(STATE)))
        await heard_all(listener, 2)
        await until("it is counted", lambda: telling.counted == {(Kind.MQTT, Outcome.DELIVERED): 2})

    granted, released = listener.on("agbot/acme/pumps/event")
    assert (granted["event"], granted["node"], granted["token"]) == ("lease.granted", ANNA, 1)
    assert (released["event"], released["group"], released["subject"]) == ("lease.released", GROUP, UPGRADE)
    assert granted["number"] < released["number"]
    assert [each["status"] for each in listener.on("agbot/status")] == ["online", "offline"]


@pytest.mark.parametrize(
    ("way", "lines", "said"),
    [
        ({"username": USER, "password": Secret("wrong")}, (), "ot authorized|ot authorised|ad user name"),
        ({"tls": tls_context(None, None, None)}, OVER_TLS, "certificate"),
        ({"tls": trusted(), "host": "localhost"}, OVER_TLS, "localhost"),
        ({"tls": trusted()}, CLIENT_CERTIFICATE, ""),
    ],
    ids=["a wrong password", "an unknown authority", "another host's certificate", "no client certificate"],
)
async def test_a_broker_that_does_not_match_the_settings_is_told_once_and_gets_everything_when_they_do(
    telling: Telling, way: dict[str, Any], lines: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = replace(telling.way, tls=shown() if lines else None, username=USER, password=Secret(PASSWORD))
    telling.broker.lines, telling.broker.passwords = lines, {USER: PASSWORD}
    await telling.broker.start()
    telling.way = replace(good, **way)
    with capture_logs() as log:
        async with telling.running():
            await telling.journal.upgrade(GROUP, ANNA)
            await until("several attempts", lambda: telling.counted[Kind.MQTT, Outcome.FAILED] >= 3)
    (line,) = log
    assert [record.getMessage() for record in caplog.records if "mqtt" in record.name] == []
    assert line["event"] == "mqtt.failed"
    assert said == "" or any(word in line["error"] for word in said.split("|")), line

    telling.way = good
    async with (
        listening(telling.broker.port, tls=good.tls, username=USER, password=PASSWORD) as listener,
    ):
        await until("it listens", lambda: listener.is_connected)
        async with telling.running():
            await heard_all(listener, 2)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_killed_or_stopped_in_the_middle_of_a_rollout_the_broker_gets_everything_in_token_order(
    telling: Telling, protocol: str
) -> None:
    broker, journal = telling.broker, telling.journal
    way = replace(telling.way, protocol=protocol)
    sink = Mqtt(way, Topics("agbot"), telling.standing, telling.counted.count, pauses=HASTY)
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
                telling.counted.clear()
                await until("attempts", lambda: telling.counted[Kind.MQTT, Outcome.FAILED])
                sink.use(
                    replace(way, port=free_port())
                )  # what is told while nobody listens yet would be heard by nobody
                await broker.start()
                await until("it listens again", lambda: listener.is_connected)
                sink.use(way)
            await heard_all(listener, total)

    events = listener.events()
    assert {event["number"] for event in events} == set(range(1, total + 1))
    first_told = firsts(events)
    assert len(first_told) == total
    for group in groups:
        told = [(event["token"], event["event"]) for event in first_told if event["group"] == group]
        assert told == [(token, event) for token in range(1, 7) for event in ("lease.granted", "lease.released")]
    assert [line["event"] for line in log] == ["mqtt.failed", "mqtt.recovered"] * 2


async def test_a_broker_that_hangs_is_told_once_and_gets_everything_afterwards(telling: Telling) -> None:
    telling.way = replace(telling.way, answer_seconds=PATIENCE_SECONDS)
    await telling.broker.start()
    with capture_logs() as log:
        async with listening(telling.broker.port) as listener, telling.running():
            await until("it listens", lambda: listener.is_connected)
            await telling.journal.upgrade(GROUP, ANNA)
            await heard_all(listener, 2)
            await until("both are confirmed", lambda: confirmed(telling, 2))
            telling.broker.freeze()
            await telling.journal.upgrade(GROUP, BERT)
            await until("attempts", lambda: telling.counted[Kind.MQTT, Outcome.FAILED] >= 2)
            assert await telling.journal.store.cursor("mqtt") == 2, "what is not acknowledged must be told again"
            telling.broker.thaw()
            await until("it is over", lambda: len(log) == 2)
            await heard_all(listener, 4)

    assert [line["event"] for line in log] == ["mqtt.failed", "mqtt.recovered"]
    assert "timed out" in log[0]["error"]
    assert [event["token"] for event in firsts(listener.events())] == [1, 1, 2, 2]


async def test_a_broker_away_for_longer_than_the_journal_is_told_the_later_events_and_what_it_has_lost(
    telling: Telling,
) -> None:
    async with telling.running():
        await until("attempts", lambda: telling.counted[Kind.MQTT, Outcome.FAILED] >= 2)
    await telling.journal.tell(entry("old.old"), entry("old.old"), entry("new.new", minutes=9))
    await telling.journal.store.prune(NOW + timedelta(minutes=5))
    await telling.broker.start()
    async with listening(telling.broker.port) as listener:
        await until("it listens", lambda: listener.is_connected)
        async with telling.running():
            await until("told", lambda: len(listener.events()) == 2)

    later, lost = listener.events()
    assert (later["event"], later["number"]) == ("new.new", 3)
    assert (lost["event"], lost["number"]) == ("delivery.lost", 4)
    assert lost["facts"] == {"sink": "mqtt", "receiver": telling.way.address, "first": 1, "last": 2}
    assert listener.on("agbot/event") == [lost]


async def test_a_broker_that_is_gone_ends_the_wait_for_its_answer_at_once(telling: Telling) -> None:
    """Alone, aiomqtt would wait for the whole of `answer_seconds`."""
    telling.way = replace(telling.way, answer_seconds=60.0)
    await telling.broker.start()
    async with telling.running():
        await telling.journal.upgrade(GROUP, ANNA)
        await until("told", lambda: telling.counted[Kind.MQTT, Outcome.DELIVERED] == 2)
        telling.broker.freeze()
        await telling.journal.upgrade(GROUP, BERT)
        await until("it is on the way", lambda: telling.counted[Kind.MQTT, Outcome.DELIVERED] == 2)
        telling.broker.kill()
        await until("the failure", lambda: telling.counted[Kind.MQTT, Outcome.FAILED])


async def test_a_broker_that_does_not_answer_is_left_with_no_open_connection(telling: Telling) -> None:
    """Alone, aiomqtt would leave one behind at each attempt."""
    loop = asyncio.get_running_loop()
    deaf = socket.create_server(("127.0.0.1", 0))
    telling.way = replace(telling.way, port=deaf.getsockname()[1], answer_seconds=0.05)
    async with telling.running():
        await until("attempts", lambda: telling.counted[Kind.MQTT, Outcome.FAILED] >= 2)
        connection, _ = deaf.accept()
        connection.setblocking(False)  # noqa: FBT003 - the signature is socket's
        async with asyncio.timeout(5):
            while await loop.sock_recv(connection, 1024):
                pass
    connection.close()
    deaf.close()


async def test_a_broker_that_refuses_what_is_published_has_not_taken_it(telling: Telling) -> None:
    """MQTT 5 says so in the acknowledgement, which aiomqtt takes for a yes."""
    rules = telling.broker.folder / "rules"
    rules.write_text("topic read #\ntopic write agbot/status\n", encoding="utf-8")
    telling.broker.lines = (f"acl_file {rules}",)
    await telling.broker.start()
    with capture_logs() as log:
        async with listening(telling.broker.port) as listener, telling.running():
            await until("it listens", lambda: listener.is_connected)
            await telling.journal.upgrade(GROUP, ANNA)
            await until("attempts", lambda: telling.counted[Kind.MQTT, Outcome.FAILED] >= 2)
            assert listener.events() == []
            rules.write_text("topic readwrite #\n", encoding="utf-8")
            telling.broker.reload()
            await heard_all(listener, 2)

    assert "refuses what is published: Not authorized" in log[0]["error"]


async def test_a_new_connection_shows_how_things_stand_to_a_broker_that_has_forgotten_it(telling: Telling) -> None:
    await telling.broker.start()
    async with telling.running():
        await telling.journal.upgrade(GROUP, ANNA)
        await telling.journal.upgrade(OTHER_GROUP, ANNA)
        await until("told", lambda: telling.counted[Kind.MQTT, Outcome.DELIVERED] == 4)
        telling.standing.idle.add(OTHER_GROUP)
        telling.broker.kill()
        await telling.broker.start()
        async with listening(telling.broker.port) as listener:
            await until("the state", lambda: listener.on(STATE))
            await until("that we are there", lambda: listener.on("agbot/status"))

    assert {each.topic for each in listener.heard} == {STATE, "agbot/status"}


async def test_whoever_comes_later_is_shown_what_is_retained(telling: Telling) -> None:
    await telling.broker.start()
    async with telling.running():
        await telling.journal.upgrade(GROUP, ANNA)
        await telling.journal.upgrade(GROUP, BERT)
        await until("told", lambda: telling.counted[Kind.MQTT, Outcome.DELIVERED] == 4)
        async with listening(telling.broker.port) as listener:
            await until("both", lambda: len(listener.heard) == 2)

    shown_then = {each.topic: each for each in listener.heard}
    assert all(each.retained for each in shown_then.values())
    assert shown_then[STATE].content["token"] == 2
    assert shown_then[STATE].content["waiting"][0]["reasons"] == [{"code": "soaking", "text": "the group rests"}]
    assert shown_then["agbot/status"].content["status"] == "online"


async def test_the_state_of_a_deleted_group_is_cleared_also_by_a_later_daemon(telling: Telling) -> None:
    await telling.broker.start()
    async with telling.running():
        await telling.journal.upgrade(GROUP, ANNA)
        await until("told", lambda: telling.counted[Kind.MQTT, Outcome.DELIVERED] == 2)
    telling.standing.gone.add(GROUP)
    async with listening(telling.broker.port) as listener:
        await until("its state is still there", lambda: listener.on(STATE))
        async with telling.running():
            await until("the cleared state", lambda: listener.on(STATE)[-1] == {})
    async with listening(telling.broker.port) as later:
        await until("what is retained", lambda: later.on("agbot/status"))
    assert later.on(STATE) == []


async def test_an_event_about_no_group_has_a_topic_of_its_own_and_renews_every_state(telling: Telling) -> None:
    await telling.broker.start()
    async with listening(telling.broker.port) as listener, telling.running():
        await until("it listens", lambda: listener.is_connected)
        await telling.journal.upgrade(GROUP, ANNA)
        await until("told", lambda: telling.counted[Kind.MQTT, Outcome.DELIVERED] == 2)
        telling.standing.journal.leases[GROUP] = Lease(group=GROUP, token=7)
        await telling.journal.tell(entry("pause.set", group=None, node=None))
        await until("the renewed state", lambda: listener.on(STATE)[-1]["token"] == 7)

    (event,) = listener.on("agbot/event")
    assert (event["event"], event["group"]) == ("pause.set", None)


async def test_a_renewed_login_is_used_at_once_over_connections_that_end_in_order_between_messages(
    telling: Telling,
) -> None:
    """An open connection may hold for months, and by then what it was begun with is long gone."""
    logins = {USER: PASSWORD, "renewed": "hush7other7hush"}
    telling.broker.passwords = logins
    ways = [replace(telling.way, username=user, password=Secret(password)) for user, password in logins.items()]
    await telling.broker.start()
    sink = Mqtt(ways[0], Topics("agbot"), telling.standing, telling.counted.count, pauses=HASTY)
    async with (
        listening(telling.broker.port, username=USER, password=PASSWORD) as listener,
        delivering(telling.journal, sink),
    ):
        await until("it listens", lambda: listener.is_connected)
        for begun in range(1, 5):
            await telling.journal.upgrade(GROUP, ANNA)
            await telling.journal.upgrade(GROUP, ANNA)
            sink.use(ways[begun % 2])
            await has_logged_in(telling.broker, begun + 1)
        sink.use(replace(ways[0]))
        await heard_all(listener, 16)
        assert len(logged_in(telling.broker)) == 5, "what is as before is no reason"
        assert {each["status"] for each in listener.on("agbot/status")} == {"online"}

    assert logged_in(telling.broker) == [USER, "renewed"] * 2 + [USER]
    assert [event["number"] for event in listener.events()] == list(range(1, 17)), "in order, and none told twice"
    assert telling.counted[Kind.MQTT, Outcome.FAILED] == 0
    ended = "Received DISCONNECT from agbot-test"
    await until("each end in order", lambda: telling.broker.log.count(ended) == 5)


async def has_logged_in(broker: Mosquitto, times: int) -> None:
    await until(f"{times} connections", lambda: len(logged_in(broker)) >= times)


def logged_in(broker: Mosquitto) -> list[str]:
    """Return the user of every connection so far."""
    return re.findall(r"as agbot-test \(p5, c1, k30, u'(\w+)'\)", broker.log)


async def test_a_renewed_login_is_tried_in_the_middle_of_a_pause(telling: Telling) -> None:
    telling.broker.passwords = {USER: PASSWORD}
    way = replace(telling.way, username=USER, password=Secret("wrong"))
    long = Pauses(first_seconds=3600.0, longest_seconds=3600.0)
    sink = Mqtt(way, Topics("agbot"), telling.standing, telling.counted.count, pauses=long)
    await telling.broker.start()
    async with (
        listening(telling.broker.port, username=USER, password=PASSWORD) as listener,
        delivering(telling.journal, sink),
    ):
        await until("it listens", lambda: listener.is_connected)
        await telling.journal.upgrade(GROUP, ANNA)
        await until("the failure", lambda: telling.counted[Kind.MQTT, Outcome.FAILED])
        sink.use(replace(way, password=Secret(PASSWORD)))
        await heard_all(listener, 2)


@pytest.mark.parametrize(("protocol", "number"), [("5", "p5"), ("3.1.1", "p2")])
async def test_the_broker_sees_one_protocol_qos_1_throughout_and_a_retained_last_will(
    telling: Telling, protocol: str, number: str
) -> None:
    """In its own words: an absent acknowledgement or will shows nowhere else as long as nothing fails."""
    telling.way = replace(telling.way, protocol=protocol)
    await telling.broker.start()
    async with telling.running():
        await telling.journal.upgrade(GROUP, ANNA)
        await until("told", lambda: telling.counted[Kind.MQTT, Outcome.DELIVERED] == 2)

    assert re.findall(r"as agbot-test \((\w+), ", telling.broker.log) == [number]
    assert re.findall(r"Will message specified \(.*?\) \((.*)\)\.\n.*?\t(.*)", telling.broker.log) == [
        ("r1, q1", "agbot/status")
    ]
    published = re.findall(r"Received PUBLISH from agbot-test \(d., (q.), (r.), m\d+, '(.*?)'", telling.broker.log)
    assert set(published) == {
        ("q1", "r0", "agbot/acme/pumps/event"),
        ("q1", "r1", STATE),
        ("q1", "r1", "agbot/status"),
    }


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_daemon_that_vanishes_is_offline_by_its_last_will_and_online_when_it_is_back(
    telling: Telling, protocol: str
) -> None:
    await telling.broker.start()
    async with listening(telling.broker.port) as listener, Cable(telling.broker.port) as cable:
        await until("it listens", lambda: listener.is_connected)
        telling.way = replace(telling.way, protocol=protocol, port=cable.port)
        async with telling.running():
            await until("that we are there", lambda: statuses(listener) == ["online"])
            cable.pull()
            await until("the last will", lambda: statuses(listener) == ["online", "offline"])
            async with listening(telling.broker.port) as later:
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


async def test_a_daemon_that_stops_says_so(telling: Telling) -> None:
    await telling.broker.start()
    async with telling.running(), listening(telling.broker.port) as listener:
        await until("that we are there", lambda: listener.on("agbot/status"))
    async with listening(telling.broker.port) as later:
        await until("the status", lambda: later.on("agbot/status"))

    assert [each["status"] for each in later.on("agbot/status")] == ["offline"]


async def test_a_connection_that_is_closed_before_a_write_begins_is_no_error(
    telling: Telling, caplog: pytest.LogCaptureFixture
) -> None:
    """Alone, aiomqtt would watch the number of the closed socket, which is nobody's then or somebody else's."""
    connection = Connection(telling.way, Message(topic="agbot/status", payload=b""))
    closed = socket.socket()
    paho = connection._client  # noqa: SLF001 - the moment between two calls of the libraries cannot be met from outside
    connection._on_socket_register_write(paho, None, closed)  # noqa: SLF001 - as paho calls it when something is to be written
    closed.close()
    await asyncio.sleep(0)

    assert caplog.records == []


@pytest.mark.parametrize("state", ["absent", "frozen", "deaf"])
async def test_a_daemon_stops_at_once_whatever_the_broker_does(telling: Telling, state: str) -> None:
    deaf = socket.create_server(("127.0.0.1", 0))  # the kernel accepts, nobody ever answers
    telling.way = replace(telling.way, answer_seconds=60.0)
    if state == "deaf":
        telling.way = replace(telling.way, port=deaf.getsockname()[1])
    elif state == "frozen":
        await telling.broker.start()
    loop = asyncio.get_running_loop()
    async with telling.running():
        if state == "frozen":
            await telling.journal.upgrade(GROUP, ANNA)
            await until("told", lambda: telling.counted[Kind.MQTT, Outcome.DELIVERED])
            telling.broker.freeze()
        await telling.journal.upgrade(GROUP, BERT)
        began = loop.time()
    assert loop.time() - began < 5.0, "so long a stop may take"
    deaf.close()


async def test_names_that_a_topic_cannot_hold_are_told_all_the_same(telling: Telling) -> None:
    hostile = GroupId("o+1#/a/b%2F\x00\x1f\x7f\ufffe é😀")
    await telling.broker.start()
    async with listening(telling.broker.port) as listener, telling.running():
        await until("it listens", lambda: listener.is_connected)
        await telling.journal.upgrade(hostile, NodeId("o+1#/n"))
        await heard_all(listener, 2)
        await until("the state", lambda: any(each.topic.endswith("/state") for each in listener.heard))

    assert {event["group"] for event in listener.events()} == {hostile}
    assert {each.topic for each in listener.heard} == {
        "agbot/status",
        "agbot/o%2B1%23/a%2Fb%252F%00%1F%7F%EF%BF%BE é😀/event",
        "agbot/o%2B1%23/a%2Fb%252F%00%1F%7F%EF%BF%BE é😀/state",
    }
