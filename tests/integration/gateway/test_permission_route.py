"""What agents are reported, over TCP, when all is well and when it is not."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from agbot.coordinator.permission import Answer, Granted, Refused
from agbot.exchange import errors
from agbot.rules.facts import Ask
from agbot.rules.reasons import Code, Reason
from agbot.settings.model import AgbotSettings, GatewaySettings
from agbot.store.contract import StoreUnavailableError
from tests.integration.gateway.scripted import Gateway, Got, StandIn, gateway, hub
from tests.support.patience import PATIENCE_SECONDS, in_time

N1, N2 = "/org/o1/hagroup/g1/nodemanagement/n1/p1", "/org/o1/hagroup/g1/nodemanagement/n2/p1"
WRONG = b'"Failed to authenticate the nodes with the Exchange. Wrong organization id, nodes id or password."\n'
BROKEN = errors.Failed("GET", "/orgs/o1/nodes/n1", "500", "look at the Exchange", status=500)


def reason_of(got: Got) -> str:
    """The code of the first reason in a refusal."""
    return str(json.loads(got.body)["msg"]).partition("Waits for: ")[2].partition(":")[0]


async def storm(running: Gateway, path: str, identity: str, times: int = 50) -> list[Got]:
    return list(await asyncio.gather(*(running.ask(path, identity) for _ in range(times))))


async def test_a_refusal_of_a_remembered_node_costs_no_read_and_a_grant_always_one() -> None:
    async with gateway() as running:
        assert (await running.ask(N1, "o1/n1:n1tok")).status == 201
        assert (await running.ask(N2, "o1/n2:n2tok")).status == 409
        assert running.exchange.reads == ["node o1/n1", "node o1/n2"]
        assert (await running.ask(N2, "o1/n2:n2tok")).status == 409
        assert running.exchange.reads == ["node o1/n1", "node o1/n2"]
        assert (await running.ask(N1, "o1/n1:n1tok")).status == 201
        assert running.exchange.reads == ["node o1/n1", "node o1/n2", "node o1/n1"]


async def test_a_token_that_was_changed_is_not_granted_on_an_old_memory() -> None:
    async with gateway() as running:
        assert (await running.ask(N1, "o1/n1:n1tok")).status == 201
        running.exchange.tokens["o1/n1"] = "anew"
        assert (await running.ask(N1, "o1/n1:n1tok")).body == WRONG
        assert (await running.ask(N1, "o1/n1:anew")).status == 201


async def test_a_storm_of_bad_credentials_costs_one_read() -> None:
    async with gateway() as running:
        got = await storm(running, N1, "o1/n1:wrong") + await storm(running, N1, "o1/n1:wrong")
    assert {(one.status, one.body) for one in got} == {(401, WRONG)}
    assert running.exchange.reads == ["node o1/n1"]


async def test_a15_a_users_credentials_end_in_one_answer_and_one_read() -> None:
    """The real agbot reads the Exchange forever when it answers 404 or an empty `nodes`."""
    async with gateway() as running:
        got = await storm(running, "/org/o1/hagroup/g1/nodemanagement/admin/p1", "o1/admin:adminpw")
    assert {(one.status, one.body) for one in got} == {(401, WRONG)}
    assert running.exchange.reads == ["node o1/admin"]


async def test_an_agbots_credentials_on_the_agents_route_are_refused_after_one_read() -> None:
    async with gateway() as running:
        got = await running.ask("/org/IBM/hagroup/g1/nodemanagement/agbot/p1", "IBM/agbot:agbottok")
    assert (got.status, got.body) == (401, WRONG)
    assert running.exchange.reads == ["node IBM/agbot"]


async def test_another_nodes_path_is_refused_without_a_read() -> None:
    async with gateway() as running:
        got = await running.ask(N2, "o1/n1:wrong")
    assert got.status == 400
    assert running.exchange.reads == []


async def test_identical_questions_at_once_share_one_read() -> None:
    exchange = hub()
    exchange.seconds = 0.1
    async with gateway(exchange=exchange) as running:
        got = await storm(running, N1, "o1/n1:n1tok")
    assert {one.status for one in got} == {201}
    assert running.exchange.reads == ["node o1/n1"]


async def test_a15_a_hanging_exchange_ends_in_one_409_within_three_seconds() -> None:
    exchange = hub()
    exchange.seconds = 3600
    async with gateway(exchange=exchange) as running:
        with in_time(2.5, slack_seconds=0.5):
            got = await storm(running, N1, "o1/n1:n1tok", times=10)
    assert {(one.status, reason_of(one)) for one in got} == {(409, "exchange-unavailable")}
    assert len(running.exchange.reads) == 1


async def test_a_broken_exchange_is_409_at_once_and_is_not_remembered_as_a_refusal() -> None:
    async with gateway() as running:
        running.exchange.fails = BROKEN
        got = await running.ask(N1, "o1/n1:n1tok")
        assert (got.status, reason_of(got)) == (409, "exchange-unavailable")
        running.exchange.fails = None
        assert (await running.ask(N1, "o1/n1:n1tok")).status == 201


async def test_a_store_that_fails_is_409() -> None:
    async with gateway() as running:
        running.permission.fails = StoreUnavailableError("disk full")
        got = await running.ask(N1, "o1/n1:n1tok")
    assert (got.status, reason_of(got)) == (409, "store-unavailable")


async def test_a_store_that_hangs_is_409_within_three_seconds() -> None:
    async def hang(_: Ask) -> Answer | None:
        await asyncio.sleep(3600)
        return None

    async with gateway(GatewaySettings(answer_seconds=0.2)) as running:
        running.permission.says = hang
        got = await running.ask(N1, "o1/n1:n1tok")
    assert (got.status, reason_of(got)) == (409, "store-unavailable")


async def test_a_bug_is_409_for_the_agent_and_a_traceback_in_the_log_alone() -> None:
    with capture_logs() as logged:
        async with gateway() as running:
            running.permission.fails = ZeroDivisionError("a planted bug")
            got = await running.ask(N1, "o1/n1:n1tok")
    assert got.status == 409
    assert b"planted" not in got.body
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["question.failed"]
    assert running.seen[0][0] == "error"


async def test_nothing_is_reported_to_somebody_who_is_not_proven_even_if_the_coordinator_forgets_to_confirm() -> None:
    async with gateway() as running:
        stated: list[Ask] = []

        async def forgetful(ask: Ask, _: object) -> Answer:
            stated.append(ask)
            return Refused(reasons=(Reason(code=Code.STOPPING, text="it stops"),))

        running.permission.ask = forgetful  # type: ignore[assignment] # one that breaks the contract
        assert (await running.ask(N1, "o1/n1:wrong")).status == 401
        assert (await running.ask(N1, "o1/n1:n1tok")).status == 409
    assert len(stated) == 2


async def test_an_exempt_node_is_granted_in_the_same_words() -> None:
    async def exempt(_: Ask) -> Answer:
        return Granted(token=None, exempt=Reason(code=Code.CLUSTER_NODE, text="cluster"))

    async with gateway() as running:
        running.permission.says = exempt
        got = await running.ask(N1, "o1/n1:n1tok")
    assert (got.status, got.body) == (201, b'{"code":"201","msg":"Node o1/n1 can start executing nmp p1."}\n')


async def test_a13_a_quiet_refusal_is_201_with_409_inside_and_writes_no_error_on_the_node() -> None:
    async with gateway(GatewaySettings(quiet_refusals=True)) as running:
        await running.ask(N1, "o1/n1:n1tok")
        got = await running.ask(N2, "o1/n2:n2tok")
        assert got.status == 201
        assert json.loads(got.body)["code"] == "409"
        assert (await running.ask(N2, "o1/n2:wrong")).status == 401


async def test_a14_a_node_that_has_just_joined_is_reported_to_ask_again_not_that_it_is_no_member() -> None:
    async with gateway() as running:
        path = "/org/o1/hagroup/g1/nodemanagement/n4/p1"
        assert b"ha group  does not match" in (await running.ask(path, "o1/n4:n4tok")).body
        running.exchange.groups["o1/n4"] = "g1"  # the coordinator's picture is older
        running.listener._reads._memory._accepted.clear()  # noqa: SLF001 - as if the last read were minutes ago
        got = await running.ask(path, "o1/n4:n4tok")
    assert (got.status, reason_of(got)) == (409, "view-stale")


async def test_a_policy_that_is_not_there_is_409_with_the_reason() -> None:
    async def unknown(_: Ask) -> Answer:
        return Refused(reasons=(Reason(code=Code.UNKNOWN_POLICY, text="no such policy"),), is_final=True)

    async with gateway() as running:
        running.permission.says = unknown
        got = await running.ask(N1, "o1/n1:n1tok")
    assert (got.status, reason_of(got)) == (409, "unknown-policy")


@pytest.mark.parametrize("node", ["n@1", "n.1", "nœud", "n 1", "n%1", "100%", "<&>"])
async def test_unusual_names_are_asked_and_answered_as_they_are(node: str) -> None:
    exchange = hub()
    exchange.groups[f"o1/{node}"], exchange.tokens[f"o1/{node}"] = "g 1", "tok"
    escaped = "".join(f"%{byte:02x}" for byte in node.encode())
    async with gateway(exchange=exchange) as running:
        got = await running.ask(f"/org/o1/hagroup/g%201/nodemanagement/{escaped}/p%26", f"o1/{node}:tok")
    assert (got.status, json.loads(got.body)["msg"]) == (201, f"Node o1/{node} can start executing nmp p&.")
    assert b"&" not in got.body
    assert running.permission.asks[0].group == "o1/g 1"


async def test_permission_answers_do_not_need_the_upstream() -> None:
    silent = StandIn(lambda _head, _body: None)
    await silent.start()
    async with gateway(GatewaySettings(max_open=8), agbot=AgbotSettings(secure_api=silent.url)) as running:
        waiting = [asyncio.ensure_future(running.ask("/deploycheck", None, "GET")) for _ in range(2)]
        await running.answering(2)
        refused = await running.ask("/deploycheck", None, "GET")
        granted = await running.ask(N1, "o1/n1:n1tok")
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    await silent.stop()
    assert (refused.status, granted.status) == (503, 201)


async def test_no_secret_and_no_refusal_is_logged_and_a_failed_login_once() -> None:
    with capture_logs() as logged:
        async with gateway() as running:
            for identity in ("o1/n1:n1tok", "o1/n1:wrong-tok", "o1/n1:wrong-tok", "o1/n1:wrong-tok"):
                await running.ask(N1, identity)
            await running.ask(N2, "o1/n1:n1tok")
            await running.ask(N2.replace("n2", "n9"), None)
    assert [line["event"] for line in logged] == ["gateway.started", *["login.failed"] * 3, "gateway.stopped"]
    assert [(line["org"], line["node"], line["why"], line.get("left_out", 0)) for line in logged[1:-1]] == [
        ("o1", "o1/n1", "the Exchange does not know it, or does not accept its token", 0),
        ("o1", "o1/n2", "the credentials are those of o1/n1", 2),
        ("o1", "o1/n9", "Unauthorized. No exchange nodes id is supplied.", 0),
    ]
    assert "n1tok" not in repr(logged)
    assert "wrong-tok" not in repr(logged)


async def test_every_request_is_observed_with_its_outcome() -> None:
    async with gateway() as running:
        await running.ask(N1, "o1/n1:n1tok")
        await running.ask(N2, "o1/n2:n2tok")
        await running.ask(N2, "o1/n2:wrong")
        await running.ask("//x/../org/o1/hagroup/g1/nodemanagement/n1/p1", None)
        await running.ask("/nope", None, "GET")
    outcomes = [outcome for outcome, _ in running.seen]
    assert outcomes == ["granted", "refused", "unauthenticated", "bad-request", "upstream-failed"]
    assert all(0 <= seconds < PATIENCE_SECONDS for _, seconds in running.seen), "seconds, no moments"
