"""What agbots are reported that ask before they upgrade a service."""

from __future__ import annotations

import json

import pytest

from agbot.exchange import errors
from agbot.settings.model import GatewaySettings
from agbot.store.contract import StoreUnavailableError
from tests.integration.gateway.scripted import gateway, hub

PATH = "/org/o1/hagroup/g1/deployment/n1/o1%2Fdp1"
AGENT = "/org/o1/hagroup/g1/nodemanagement/n2/p1"
AGBOT = "IBM/agbot:agbottok"


async def test_an_agbot_gets_the_lease_for_a_node_and_an_agent_then_waits_for_it() -> None:
    async with gateway() as running:
        got = await running.ask(PATH, AGBOT)
        refused = await running.ask(AGENT, "o1/n2:n2tok")
        again = await running.ask(PATH, AGBOT)
    assert got.body == b'{"code":"201","msg":"Node o1/n1 can start executing deployment policy o1/dp1."}\n'
    assert (got.status, refused.status, again.status) == (201, 409, 201)
    assert not running.permission.asks[0].agreement_bound
    assert running.exchange.reads == ["agbot IBM/agbot", "node o1/n1", "node o1/n2", "node o1/n1"]


async def test_a_lease_that_an_agent_holds_refuses_the_agbot_in_the_same_form() -> None:
    async with gateway() as running:
        await running.ask(AGENT, "o1/n2:n2tok")
        got = await running.ask(PATH, AGBOT)
    assert got.status == 409
    assert json.loads(got.body)["msg"].startswith(
        "Node o1/n1 can not start executing deployment policy o1/dp1. Waits for: lease-held"
    )


@pytest.mark.parametrize(("query", "succeeded"), [("", True), ("?outcome=failed", False)])
async def test_a_reported_end_frees_that_lease_once(query: str, succeeded: bool) -> None:
    async with gateway() as running:
        await running.ask(PATH, AGBOT)
        first = await running.ask(PATH + query, AGBOT, "DELETE")
        await running.ask(AGENT, "o1/n2:n2tok")
        second = await running.ask(PATH + query, AGBOT, "DELETE")
        still_held = await running.ask(PATH, AGBOT)
    assert (first.status, json.loads(first.body)["code"]) == (200, "200")
    assert b"released." in first.body
    assert b"Nothing was released." in second.body
    assert still_held.status == 409
    assert [(one, who) for _, one, who in running.permission.ends] == [(succeeded, "IBM/agbot")] * 2


async def test_an_end_from_an_agbot_that_was_not_granted_is_refused_and_frees_nothing() -> None:
    async with gateway() as running:
        await running.ask(PATH, AGBOT)
        got = await running.ask(PATH, "o1/agbot:agbottok", "DELETE")
        still_held = await running.ask(AGENT, "o1/n2:n2tok")
    assert (got.status, json.loads(got.body)["code"]) == (403, "403")
    assert b"it was granted to IBM/agbot. Nothing was released." in got.body
    assert still_held.status == 409


async def test_an_end_with_the_token_that_the_grant_carried_is_taken_from_another_agbot() -> None:
    async with gateway() as running:
        token = (await running.ask(PATH, AGBOT)).header("X-Lease-Token")
        again = (await running.ask(PATH, AGBOT)).header("X-Lease-Token")
        agent = await running.ask(AGENT, "o1/n2:n2tok")
        got = await running.ask(f"{PATH}?token={token}", "o1/agbot:agbottok", "DELETE")
    assert (token, again, agent.header("X-Lease-Token")) == ("1", "1", None)
    assert got.status == 200
    assert b"released." in got.body


@pytest.mark.parametrize(
    "query", ["?token=", "?token=x", "?token=-1", "?token=1&token=", "?tokens=1", "?outcome=failed&token=1e3"]
)
async def test_a_token_that_is_none_is_a_mistake_and_ends_nothing(query: str) -> None:
    async with gateway() as running:
        await running.ask(PATH, AGBOT)
        assert (await running.ask(PATH + query, AGBOT, "DELETE")).status == 400
    assert running.permission.ends == []


async def test_an_end_is_never_believed_on_an_old_memory() -> None:
    async with gateway() as running:
        await running.ask(PATH, AGBOT)
        running.exchange.tokens["IBM/agbot"] = "anew"
        assert (await running.ask(PATH, AGBOT, "DELETE")).status == 401
    assert running.permission.ends == []


@pytest.mark.parametrize("identity", ["o1/n1:n1tok", "o1/admin:adminpw", "IBM/agbot:wrong"])
async def test_only_agbots_may_ask_and_others_cost_one_read(identity: str) -> None:
    async with gateway() as running:
        replies = [await running.ask(PATH, identity) for _ in range(3)]
    assert {one.status for one in replies} == {401}
    assert b"agbots" in replies[0].body
    assert len(running.exchange.reads) == 1
    assert running.permission.asks == []


async def test_an_agbot_of_the_nodes_own_organisation_may_ask_and_one_of_another_may_not() -> None:
    async with gateway() as running:
        assert (await running.ask(PATH, "o1/agbot:agbottok")).status == 201
        got = await running.ask(PATH, "o2/agbot:agbottok")
    assert (got.status, json.loads(got.body)["code"]) == (403, "403")
    assert "agbot o2/agbot" not in running.exchange.reads


async def test_a_node_that_is_not_there_is_404() -> None:
    async with gateway() as running:
        running.permission.picture["o1/n9"] = "g1"
        got = await running.ask(PATH.replace("n1", "n9"), AGBOT)
    assert (got.status, json.loads(got.body)["code"]) == (404, "404")


async def test_no_credentials_are_401_without_a_read() -> None:
    async with gateway() as running:
        got = await running.ask(PATH, None)
    assert (got.status, got.body) == (401, b'"Unauthorized. No exchange agbots id is supplied."\n')
    assert running.exchange.reads == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_failing_exchange_or_store_is_409_with_its_reason(method: str) -> None:
    async with gateway() as running:
        running.permission.fails = StoreUnavailableError("locked")
        got = await running.ask(PATH, AGBOT, method)
        assert (got.status, b"store-unavailable" in got.body) == (409, True)
        running.permission.fails = ZeroDivisionError("a planted bug")
        assert (await running.ask(PATH, AGBOT, method)).status == 409
        running.exchange.fails = errors.Unreachable("GET", "/x", "nothing", "wait")
        got = await running.ask(PATH, "o1/agbot:agbottok", method)
        assert (got.status, b"exchange-unavailable" in got.body) == (409, True)


async def test_a_hanging_exchange_is_409_in_time() -> None:
    exchange = hub()
    exchange.seconds = 3600
    async with gateway(GatewaySettings(answer_seconds=0.2), exchange=exchange) as running:
        got = await running.ask(PATH, AGBOT)
    assert (got.status, b"exchange-unavailable: the Exchange did not confirm the agbot that asks" in got.body) == (
        409,
        True,
    )


async def test_a_missing_policy_organisation_is_reported_how_to_write_it() -> None:
    async with gateway() as running:
        got = await running.ask("/org/o1/hagroup/g1/deployment/n1/dp1", AGBOT)
    assert (got.status, b"org%2Fname" in got.body) == (400, True)
