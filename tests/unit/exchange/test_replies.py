"""What a status and a body mean: unknown is never gone, and no error shows a secret."""

from __future__ import annotations

import base64
import html
import json
import traceback
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest

from agbot.exchange import resources
from agbot.exchange.client import ExchangeClient
from agbot.exchange.credentials import Credentials
from agbot.exchange.errors import ExchangeError, Failed, Forbidden, Refused, Unreadable
from agbot.exchange.transport import Reply
from agbot.rules.ids import GroupId, NodeId, OrgId, PolicyId
from tests.support.clocks import HandClock
from tests.support.examples import some
from tests.support.scripted_transport import ScriptedTransport, reply

SECRET = "very-private"
US = Credentials(identity="IBM/us", secret=SECRET)
O1 = OrgId("o1")
NODE = NodeId("o1/n1")

READS: dict[str, tuple[Callable[[ExchangeClient], Awaitable[object]], object]] = {
    "groups": (lambda client: client.get(resources.GROUPS, O1), {}),
    "group": (lambda client: client.get(resources.GROUP, GroupId("o1/g1")), None),
    "nodes": (lambda client: client.get(resources.NODES, O1), {}),
    "node": (lambda client: client.node(NODE), None),
    "statuses": (lambda client: client.get(resources.STATUSES, NODE), {}),
    "management_policy": (lambda client: client.get(resources.MANAGEMENT_POLICY, PolicyId("o1/p")), None),
    "deployment_policy": (lambda client: client.get(resources.DEPLOYMENT_POLICY, PolicyId("o1/p")), None),
    "agreements": (lambda client: client.agreements(NODE), ()),
    "agbot_exists": (lambda client: client.agbot_exists("IBM/us", US), False),
}
OTHERS: dict[str, Callable[[ExchangeClient], Awaitable[object]]] = {
    "changes": lambda client: client.changes(1, None),
    "max_change_id": lambda client: client.max_change_id(),
    "version": lambda client: client.version(),
}
ALL = {name: question for name, (question, _) in READS.items()} | OTHERS
PROXY_404 = "<html><body><h1>404 Not Found</h1></body></html>"
JSON_404 = '{"message":"no Route matched with those values"}'


def client(*answers: Reply) -> ExchangeClient:
    return ExchangeClient(ScriptedTransport(*answers), US, HandClock())


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(("code", "msg"), [("not-found", "not found"), ("nicht_gefunden", "nicht gefunden")])
async def test_a_404_of_the_exchange_is_nothing_in_any_language(name: str, code: str, msg: str) -> None:
    question, nothing = READS[name]

    assert await question(client(reply(404, {"code": code, "msg": msg}))) == nothing


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "body", [PROXY_404, JSON_404, "", "null", "[]", '{"code":"not-found","msg":"unrecognized route"}']
)
async def test_a_404_of_anybody_else_is_a_failure_and_never_nothing(name: str, body: str) -> None:
    with pytest.raises(Failed) as caught:
        await ALL[name](client(reply(404, body)))

    assert caught.value.status == 404


async def test_a_404_with_something_in_it_is_a_failure() -> None:
    with pytest.raises(Failed):
        await client(reply(404, {"nodeGroups": [{"name": "g1", "members": []}]})).get(resources.GROUPS, O1)


@pytest.mark.parametrize("name", some(dict.fromkeys((*READS, "changes", "max_change_id"))))
@pytest.mark.parametrize("body", ["", "<html>", '{"no', "{}", "[]", "null", '"text"', b"\xff\xfe", '{"nodes":5}'])
async def test_a_success_that_is_not_the_json_expected_is_unreadable(name: str, body: str | bytes) -> None:
    with pytest.raises(Unreadable):
        await ALL[name](client(reply(200, body)))


@pytest.mark.parametrize("name", some(ALL))
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, Refused),
        (403, Forbidden),
        (301, Failed),
        (400, Failed),
        (429, Failed),
        (500, Failed),
        (502, Failed),
        (204, Failed),
    ],
)
async def test_the_status_alone_says_what_an_error_is(name: str, status: int, error: type[ExchangeError]) -> None:
    with pytest.raises(error) as caught:
        await ALL[name](client(reply(status, {"code": "Zugriff_verweigert", "msg": "Zugriff verweigert"})))

    assert type(caught.value) is error
    assert caught.value.status == status


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
async def test_an_error_says_what_was_tried_what_came_back_and_what_to_do(status: int) -> None:
    with pytest.raises(ExchangeError) as caught:
        await client(reply(status, "surprise\n\x00\x1b[31m")).get(resources.NODES, O1)

    tried, _, rest = str(caught.value).partition(": ")
    came, _, what_next = rest.rpartition("; ")
    assert tried == "GET /orgs/o1/nodes"
    assert str(status) in came
    assert what_next
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 418, 500])
async def test_a_secret_that_something_echoes_is_in_no_error(status: int) -> None:
    encoded = base64.b64encode(f"IBM/us:{SECRET}".encode()).decode()
    echo = f"you sent Authorization: Basic {encoded} that is {SECRET}"

    with pytest.raises(ExchangeError) as caught:
        await client(reply(status, echo)).get(resources.NODES, O1)

    shown = f"{caught.value} {caught.value!r} {''.join(traceback.format_exception(caught.value))}"
    assert SECRET not in shown
    assert encoded not in shown


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize(
    "way", [html.escape, quote, json.dumps, lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text)]
)
async def test_however_it_is_escaped_and_wherever_the_excerpt_ends(status: int, way: Callable[[str], str]) -> None:
    us = Credentials(identity="IBM/us", secret='very-"<private>"/&')
    for before in (0, 180, 195):
        echo = json.dumps({"nodes": "x" * before + way(us.secret) + " " + way(us.basic())})
        with pytest.raises(ExchangeError) as caught:
            await ExchangeClient(ScriptedTransport(reply(status, echo)), us, HandClock()).get(resources.NODES, O1)
        for part in ("very-", "private", us.basic()[-12:-4], "u0070"):
            assert part not in str(caught.value)


async def test_json_with_a_field_that_cannot_be_read_does_not_blame_the_address() -> None:
    with pytest.raises(Unreadable) as caught:
        await client(reply(200, {"maxChangeId": "seven"})).max_change_id()

    assert "maxChangeId" in str(caught.value)
    assert "[exchange] url" not in str(caught.value)
    assert "check that record" in str(caught.value)


@pytest.mark.parametrize("invalid_text", ["[" * 50_000 + "]" * 50_000, "\udcff"])
async def test_a_node_that_holds_what_no_decoder_takes_is_named_and_the_address_is_not_blamed(
    invalid_text: str,
) -> None:
    body = f'{{"nodes": {{"o1/anna": {{"name": "anna", "userInput": "{invalid_text}"}}}}}}'.replace('"[', "[").replace(
        ']"', "]"
    )
    spoilt = Reply(status=200, body=body.encode(errors="surrogateescape"))
    with pytest.raises(Unreadable) as caught:
        await client(spoilt).node(NodeId("o1/anna"))

    assert "/orgs/o1/nodes/anna" in str(caught.value)
    assert "check that record" in str(caught.value)
    assert "[exchange] url" not in str(caught.value)


@pytest.mark.parametrize("body", ["<html>", "", "[]"])
async def test_what_no_exchange_writes_does(body: str) -> None:
    with pytest.raises(Unreadable, match=r"\[exchange\] url"):
        await client(reply(200, body)).max_change_id()


async def test_a_long_answer_is_quoted_in_part() -> None:
    with pytest.raises(Failed) as caught:
        await client(reply(500, "x" * 100_000)).get(resources.NODES, O1)

    assert len(str(caught.value)) < 500


async def test_an_empty_reply_to_a_question_about_one_thing_means_that_it_is_not_there() -> None:
    assert await client(reply(200, {"nodes": {}, "lastIndex": 0})).node(NODE) is None
    assert await client(reply(200, {"nodeGroups": []})).get(resources.GROUP, GroupId("o1/g1")) is None


async def test_a_reply_that_names_another_node_is_unreadable() -> None:
    other = {"nodes": {"o1/n2": {"lastHeartbeat": None, "publicKey": "", "ha_group": None}}}

    with pytest.raises(Unreadable, match="o1/n2"):
        await client(reply(200, other)).node(NODE)


async def test_an_agbots_status_read_is_left_out_when_there_are_no_agreements() -> None:
    transport = ScriptedTransport(reply(200, {"agreements": {}}))

    assert await ExchangeClient(transport, US, HandClock()).agreements(NODE) == ()
    assert len(transport.asked) == 1


async def test_a_node_is_read_with_the_credentials_given_or_else_with_our_own() -> None:
    theirs = Credentials(identity="o1/n1", secret="t")
    transport = ScriptedTransport(reply(404, {"nodes": {}}), reply(404, {"nodes": {}}))
    exchange = ExchangeClient(transport, US, HandClock())

    await exchange.node(NODE, theirs)
    await exchange.node(NODE)

    assert [asked.credentials for asked in transport.asked] == [theirs, US]


async def test_the_version_is_asked_without_credentials() -> None:
    transport = ScriptedTransport(reply(200, "2.154.0\n"))

    assert await ExchangeClient(transport, US, HandClock()).version() == "2.154.0"
    assert transport.asked[0].credentials is None


async def test_the_exchanges_clock_is_taken_from_its_replies() -> None:
    beat = {"lastHeartbeat": "2026-11-23T13:00:00Z", "publicKey": "", "ha_group": None}
    answer = reply(200, {"nodes": {NODE: beat}}, date="Mon, 23 Nov 2026 13:00:00 GMT")
    exchange = client(answer)  # the coordinator's clock says noon

    found = await exchange.node(NODE)

    assert found is not None
    assert found.heartbeat_at is not None
    assert abs((found.heartbeat_at - HandClock().now()).total_seconds()) <= 1
    assert exchange.time.offset.total_seconds() in {3599, 3600, 3601}
