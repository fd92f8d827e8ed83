"""What workloads say over a real broker, with the access rules of the page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiomqtt
import pytest
from structlog.testing import capture_logs

from agbot.delivery.mqtt import Mqtt
from agbot.delivery.topics import Topics
from agbot.rules.busy import NotNow
from agbot.rules.ids import NodeId
from agbot.settings.secret import Secret
from tests.integration.delivery.conftest import HASTY, Telling, delivering
from tests.support.mosquitto import PASSWORD, USER
from tests.support.patience import until

N1, N2 = "o1/n1", "o1/n2"
TOPIC = "agbot/o1/n1/busy"
PAGE = Path(__file__).parents[3] / "docs" / "events.md"


def rules_of_the_page() -> str:
    """Return the access rules that the page shows."""
    found = re.search(r"^    # the coordinator\n(?:    .*\n|\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return re.sub(r"^    ", "", found[0], flags=re.MULTILINE)


@dataclass
class Noted:
    """The words that were received."""

    words: list[tuple[NodeId, NotNow | None]] = field(default_factory=list)

    def note(self, node: NodeId, word: NotNow | None) -> None:
        self.words.append((node, word))


@asynccontextmanager
async def receiving(reporting: Telling) -> AsyncIterator[Noted]:
    """Run the sink as the coordinator's user."""
    noted = Noted()
    way = replace(reporting.way, username=USER, password=Secret(PASSWORD))
    sink = Mqtt(way, Topics("agbot"), reporting.standing, reporting.counted.count, note_busy=noted.note, backoff=HASTY)
    async with delivering(reporting.journal, sink):
        yield noted


async def publish(reporting: Telling, user: str, payload: str, topic: str = TOPIC) -> None:
    """Publish as a workload does."""
    async with aiomqtt.Client("127.0.0.1", reporting.broker.port, username=user, password=PASSWORD) as client:
        await client.publish(topic, payload, qos=1, retain=True)


@pytest.fixture
async def guarded(reporting: Telling) -> Telling:
    """A broker with the access rules of the page, and a user for each node."""
    acl = reporting.broker.folder / "acl"
    acl.write_text(rules_of_the_page(), encoding="utf-8")
    acl.chmod(0o600)
    reporting.broker.lines = (f"acl_file {acl}",)
    reporting.broker.passwords = dict.fromkeys((USER, N1, N2), PASSWORD)
    await reporting.broker.start()
    return reporting


async def test_a_node_speaks_for_itself_and_no_node_for_another_by_the_rules_of_the_page(guarded: Telling) -> None:
    async with receiving(guarded) as noted:
        await publish(guarded, N2, '{"for_seconds": 1}')
        await publish(guarded, N1, '{"for_seconds": 600, "reason": "a batch runs"}')
        await until("the word", lambda: noted.words)
        await publish(guarded, N1, "")
        await until("its end", lambda: len(noted.words) == 2)

    assert noted.words == [("o1/n1", NotNow(for_seconds=600, reason="a batch runs")), ("o1/n1", None)]


async def test_what_is_retained_is_received_after_a_start_and_not_again_after_a_lost_connection(
    guarded: Telling,
) -> None:
    await publish(guarded, N1, '{"until": "2031-01-01T00:00:00Z"}')
    async with receiving(guarded) as noted:
        await until("the word", lambda: noted.words)
        # the coordinator's user from elsewhere, with the same id: the broker ends our connection
        async with aiomqtt.Client(
            "127.0.0.1", guarded.broker.port, identifier=guarded.way.client_id, username=USER, password=PASSWORD
        ):
            pass
        await publish(guarded, N2, '{"for_seconds": 5}', "agbot/o1/n2/busy")
        await until("the other node", lambda: len(noted.words) > 1)

    assert [node for node, _ in noted.words] == ["o1/n1", "o1/n2"]


async def test_an_invalid_message_is_reported_and_the_connection_goes_on(guarded: Telling) -> None:
    with capture_logs() as logged:
        async with receiving(guarded) as noted:
            await publish(guarded, N1, "not now!")
            await until("the refusal", lambda: [line for line in logged if line["event"] == "busy.refused"])
            await publish(guarded, N1, '{"for_seconds": 5}')
            await until("a valid one", lambda: noted.words)

    assert [line["topic"] for line in logged if line["event"] == "busy.refused"] == [TOPIC]
    assert not [line for line in logged if line["event"] == "mqtt.failed"]
