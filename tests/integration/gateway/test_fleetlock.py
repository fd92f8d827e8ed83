"""FleetLock at the agents' listener: its protocol, who may ask, and what is refused."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from agbot.rules.lease import Kind
from agbot.settings.model import GatewaySettings
from agbot.sim.fleetlock import FleetLockClient, Locked
from tests.integration.gateway.scripted import Gateway, basic, gateway, send

ON = GatewaySettings(fleetlock=True)
BODY = b'{"client_params": {"group": "default", "id": "m1"}}'


def host(running: Gateway, node: str = "n1", *, token: str = "", group: str = "default") -> FleetLockClient:
    secret = token or f"{node}tok"
    return FleetLockClient(
        base_url=f"http://127.0.0.1:{running.port}", identity=f"o1/{node}", secret=secret, group=group
    )


def raw(path: str, body: bytes, *headers: str) -> bytes:
    """A request as a client writes it, with the login of n1."""
    lines = (f"POST {path} HTTP/1.1", "Host: hub", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join((*lines, f"Authorization: {basic('o1/n1:n1tok')}", "", "")).encode() + body


async def test_a_host_gets_the_lease_of_its_node_s_group_again_and_again_and_another_does_not() -> None:
    async with gateway(ON) as running:
        first = await host(running).pre_reboot()
        again = await host(running, group="g1").pre_reboot()
        other = await host(running, "n2").pre_reboot()
        elsewhere = await host(running, "n5").pre_reboot()

    assert (first, again, elsewhere) == (Locked(200), Locked(200), Locked(200))
    assert (other.status, other.kind) == (409, "lease-held")
    assert other.value == "The host may not reboot now. Waits for: lease-held: o1/n1 upgrades o1/p1"
    ask = running.permission.asks[0]
    assert (ask.group, ask.node, ask.claim.kind) == ("o1/g1", "o1/n1", Kind.HOST)
    assert ask.claim.subject == "o1/operating-system"


async def test_steady_state_frees_the_holder_s_lease_and_is_yes_for_whoever_holds_none() -> None:
    async with gateway(ON) as running:
        await host(running).pre_reboot()
        stranger = await host(running, "n2").steady_state()
        held = dict(running.permission.holders)
        ended = await host(running).steady_state()

    assert stranger == ended == Locked(200)
    assert list(held) == ["o1/g1"]
    assert running.permission.holders == {}
    assert [outcome for outcome, _ in running.seen] == ["granted", "ended", "ended"]


async def test_a_node_in_no_group_may_always_reboot() -> None:
    async with gateway(ON) as running:
        answers = await host(running, "n4").pre_reboot(), await host(running, "n4").steady_state()

    assert answers == (Locked(200), Locked(200))
    assert running.permission.asks == []


async def test_a_host_without_a_login_or_with_a_wrong_one_is_401_and_logged_without_the_token() -> None:
    with capture_logs() as logged:
        async with gateway(ON) as running:
            nobody = await FleetLockClient(base_url=f"http://127.0.0.1:{running.port}").pre_reboot()
            wrong = [await host(running, token="hush7hush").pre_reboot() for _ in range(2)]
            reads = list(running.exchange.reads)

    assert (nobody.status, nobody.kind) == (401, "unauthenticated")
    assert [(each.status, each.kind) for each in wrong] == [(401, "unauthenticated")] * 2
    assert reads == ["node o1/n1"], "a wrong login is remembered"
    assert [line["node"] for line in logged if line["event"] == "login.failed"][-1] == "o1/n1"
    assert "hush7hush" not in repr(logged)


async def test_another_group_than_the_node_s_own_is_refused() -> None:
    async with gateway(ON) as running:
        refused = await host(running, group="g2").pre_reboot()

    assert refused == Locked(400, "wrong-group", "o1/n1 is in HA group g1, not g2")
    assert running.permission.asks == []


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY, "fleet-lock-protocol: false"),
        (BODY, "X-Other: true"),
        (b"", "fleet-lock-protocol: true"),
        (b"[]", "fleet-lock-protocol: true"),
        (b'{"client_params": {"group": "de fault", "id": "m1"}}', "fleet-lock-protocol: true"),
        (b'{"client_params": {"group": "default\\n", "id": "m1"}}', "fleet-lock-protocol: true"),
        (b'{"client_params": {"group": "default", "id": ""}}', "fleet-lock-protocol: true"),
        (b'{"client_params": {"group": "default"}}', "fleet-lock-protocol: true"),
        (b"\xff" * 100, "fleet-lock-protocol: true"),
    ],
)
async def test_an_invalid_request_is_400_in_the_form_of_the_protocol(body: bytes, header: str) -> None:
    async with gateway(ON) as running:
        got = await send(running.port, raw("/v1/pre-reboot", body, header))

    assert got.status == 400
    assert json.loads(got.body)["kind"] == "invalid-request"
    assert running.permission.asks == []


@pytest.mark.parametrize(
    ("body", "header", "status"),
    [(b" " * 5000 + BODY, "", 413), (b"zz\r\n", "Transfer-Encoding: chunked", 400)],
)
async def test_a_body_that_is_too_large_or_broken_is_refused_in_the_form_of_the_protocol(
    body: bytes, header: str, status: int
) -> None:
    request = raw("/v1/pre-reboot", body, "fleet-lock-protocol: true")
    if header:
        request = request.replace(f"Content-Length: {len(body)}".encode(), header.encode())
    async with gateway(ON) as running:
        got = await send(running.port, request)

    assert (got.status, json.loads(got.body)["kind"]) == (status, "invalid-request")


async def test_a_host_has_its_answer_as_early_as_an_agent_so_that_the_rest_of_the_time_is_for_the_network() -> None:
    async with gateway(ON) as running:
        requests = running.listener._requests  # noqa: SLF001 - a clock would show it only on an idle machine
        seconds = requests._fleetlock._seconds  # noqa: SLF001 - see above

    assert seconds == requests._resolver._seconds < ON.answer_seconds  # noqa: SLF001 - see above


async def test_it_is_off_by_default_and_passed_through_as_any_other_path() -> None:
    async with gateway() as running:
        got = await send(running.port, raw("/v1/pre-reboot", BODY, "fleet-lock-protocol: true"))

    assert got.status == 502
    assert running.permission.asks == []


async def test_a_failure_is_a_refusal_in_the_form_of_the_protocol() -> None:
    async with gateway(ON) as running:
        running.permission.fails = RuntimeError("a bug")
        with capture_logs() as logged:
            failed = await host(running).pre_reboot()

    assert (failed.status, failed.kind) == (409, "internal-error")
    assert [line["event"] for line in logged] == ["question.failed"]
