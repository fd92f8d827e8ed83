"""Lists entry by entry: what one entry contains hides no other, and a single thing that cannot be read says so with its name."""

from __future__ import annotations

import json

import pytest

from agbot.exchange import resources
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.entries import mended
from agbot.exchange.errors import Unreadable
from agbot.fleet.garbled import Garbled
from agbot.rules.facts import Node
from agbot.rules.ids import NodeId, OrgId
from agbot.rules.statuses import Phase
from tests.support.clocks import HandClock
from tests.support.scripted_transport import ScriptedTransport, reply

ORG, GOOD, BAD = OrgId("o1"), NodeId("o1/good"), NodeId("o1/bad")
NODE = json.dumps({"lastHeartbeat": "2026-11-23T12:00:00Z", "publicKey": "QUJD", "ha_group": None})
DEEP = "[" * 100_000 + "]" * 100_000
BAD_NODES = {
    "nested deeper than the parser likes": NODE[:-1] + f', "userInput": {DEEP}}}',
    "half a surrogate pair": NODE[:-1] + ', "userInput": "\\ud800"}',
    "a heartbeat in the year 9999": NODE.replace("2026-11-23", "9999-12-31"),
    "a heartbeat in the year 1": NODE.replace("2026-11-23T12:00:00Z", "0001-01-01T00:00:00+14:00"),
    "a time that is none": NODE.replace("2026-11-23", "yesterday"),
    "a number for a text": NODE.replace("null", "17"),
    "a text for an object": NODE[:-1] + ', "softwareVersions": "2.31.0"}',
    "a number beyond any": NODE[:-1] + ', "heartbeatIntervals": {"maxInterval": 1e999}}',
    "no object at all": "[]",
    "a missing key": "{}",
}


def client(body: str, status: int = 200) -> ExchangeClient:
    return ExchangeClient(
        ScriptedTransport(reply(status, body)), Credentials(identity="IBM/a", secret="x"), HandClock()
    )


@pytest.mark.parametrize("bad", BAD_NODES.values(), ids=BAD_NODES)
async def test_a_node_that_cannot_be_read_hides_no_other(bad: str) -> None:
    found = await client(f'{{"nodes": {{"{BAD}": {bad}, "{GOOD}": {NODE}}}, "lastIndex": 0}}').get(resources.NODES, ORG)

    assert isinstance(found[GOOD], Node)
    assert isinstance(found[BAD], Garbled)


@pytest.mark.parametrize("bad", BAD_NODES.values(), ids=BAD_NODES)
async def test_a_single_node_that_cannot_be_read_is_reported_with_its_name(bad: str) -> None:
    with pytest.raises(Unreadable, match="/orgs/o1/nodes/bad"):
        await client(f'{{"nodes": {{"{BAD}": {bad}}}, "lastIndex": 0}}').node(BAD)


async def test_a_group_that_cannot_be_read_hides_no_other() -> None:
    groups = '{"nodeGroups": [{"name": "bad", "members": [7]}, {"name": "good", "members": ["n1"]}]}'

    found = await client(groups).get(resources.GROUPS, ORG)

    assert found[next(name for name in found if name == "o1/good")] == ("o1/n1",)
    assert isinstance(found[next(name for name in found if name == "o1/bad")], Garbled)


async def test_a_group_without_a_readable_name_could_be_any() -> None:
    with pytest.raises(Unreadable):
        await client('{"nodeGroups": [{"name": null, "members": []}, {"name": "good", "members": ["n1"]}]}').get(
            resources.GROUPS, ORG
        )


@pytest.mark.parametrize("last_updated", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "tomorrow", "", "9" * 5000])
async def test_a_status_with_an_impossible_time_is_there_and_cannot_be_read(last_updated: str) -> None:
    entry = {"agentUpgradePolicyStatus": {"status": "successful", "lastUpdated": last_updated}}

    found = await client(json.dumps({"managementStatus": {"o1/up": entry}})).get(resources.STATUSES, GOOD)

    (status,) = found.values()
    assert status.phase is Phase.UNREADABLE
    assert len(status.value) < 1000


async def test_a_status_nested_too_deeply_is_there_and_cannot_be_read_and_hides_no_other() -> None:
    body = f'{{"managementStatus": {{"o1/bad": {{"x": {DEEP}}}, "o1/good": {{"agentUpgradePolicyStatus": null}}}}}}'

    found = {str(policy): status.phase for policy, status in (await client(body).get(resources.STATUSES, GOOD)).items()}

    assert found == {"o1/bad": Phase.UNREADABLE, "o1/good": Phase.UNREADABLE}


async def test_a_property_nested_too_deeply_is_unreadable() -> None:
    body = f'{{"properties": [{{"name": "zone", "value": {DEEP}}}], "lastUpdated": ""}}'

    with pytest.raises(Unreadable):
        await client(body).get(resources.PROPERTIES, GOOD)


async def test_a_404_nested_too_deeply_does_not_say_that_nothing_is_there() -> None:
    with pytest.raises(Exception, match="404"):
        await client(f'{{"nodes": {DEEP}}}', status=404).node(BAD)


async def test_no_node_counts_as_alive_for_longer_than_a_day_because_it_says_so() -> None:
    body = NODE[:-1] + ', "heartbeatIntervals": {"maxInterval": 1e300}}'

    node = await client(f'{{"nodes": {{"{GOOD}": {body}}}, "lastIndex": 0}}').node(GOOD)

    assert node is not None
    assert node.heartbeat_interval_seconds == 86_400


def test_brackets_and_quotes_within_texts_are_no_structure() -> None:
    body = b'{"nodes": {"o1/a": {"x": "}]\\"{[", "y": ["\\\\"]}, "o1/b": {"x": "\\ud800"}, "o1/c": {"x": 1}}, "lastIndex": 0}'

    assert mended(body) == body.replace(b'{"x": "\\ud800"}', b"null")


def test_what_can_be_parsed_is_left_as_it_is() -> None:
    body = b'{"nodes": {"o1/a": {"x": {"y": []}}}, "lastIndex": 0}'

    assert mended(body) == body
