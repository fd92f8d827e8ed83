"""A coordinator that stands by forwards questions and operators' requests to the leader, by one hop, and answers the rest itself."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner

from agbot.cli.client import Client
from agbot.cli.failure import Exit
from agbot.cli.main import main
from agbot.listening.hop import MARK, Hop, HopError
from tests.acceptance.hub import GROUP, NMP, ORG, auth_of
from tests.acceptance.programs import free_port
from tests.integration.leadership.conftest import SHORT_TTL_SECONDS, Running, Site, answering
from tests.support.patience import in_time, until

QUESTION = f"/org/{ORG}/hagroup/{GROUP}/nodemanagement/anna/{NMP}"


async def test_a_question_at_a_standby_is_answered_by_the_leader_with_the_askers_credentials(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    granted = await standby.ask("anna")
    again = await leader.ask("anna")
    refused = await standby.ask("ben")
    wrong = await standby.ask("carl", secret="not carl's")
    assert (granted.status, again.status, refused.status, wrong.status) == (201, 201, 409, 401)
    assert granted.json() == {"code": "201", "msg": f"Node {ORG}/anna can start executing nmp {NMP}."}
    assert "lease-held" in refused.json()["msg"]
    assert [each.token for each in site.content.records.leases.values()] == [1]


async def test_a_question_with_an_absolute_target_reaches_the_leader_too(site: Site) -> None:
    await site.leader("one")
    standby = await site.standby("two")
    login = aiohttp.encode_basic_auth(*auth_of("anna"))
    lines = (f"POST http://hub{QUESTION} HTTP/1.1", "Host: hub", "Content-Length: 0", f"Authorization: {login}", "", "")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(standby.gateway.rpartition(":")[2]))
    writer.write("\r\n".join(lines).encode())
    assert await reader.readline() == b"HTTP/1.1 201 Created\r\n"
    writer.close()
    await writer.wait_closed()


async def test_a_target_that_is_no_path_does_not_change_the_host_that_a_request_is_sent_to() -> None:
    reached: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    hop, port = Hop("two", None), other.sockets[0].getsockname()[1]
    with pytest.raises(HopError):
        await hop.send("GET", "http://127.0.0", f".1:{port}/v1", {}, b"", seconds=60.0, most_bytes=10)
    await hop.stop()
    other.close()
    assert reached == []


async def test_a_standby_passes_everything_else_to_the_agbot_by_itself(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    await leader.die()
    async with standby.session.get(f"{standby.gateway}/status") as reply:
        assert (reply.status, await reply.text()) == (200, "the real agbot")


async def test_a_standby_is_ready_and_says_that_it_stands_by(site: Site) -> None:
    await site.leader("one")
    standby = await site.standby("two")
    assert (await standby.get("/livez"))[0] == 200
    status, text = await standby.get("/readyz")
    assert status == 200
    assert "stands by; one leads since" in text
    health = json.loads((await standby.get("/healthz"))[1])
    assert (health["position"], health["leader"], health["epoch"]) == ("standing-by", "one", 1)
    metrics = (await standby.get("/metrics"))[1]
    assert "agbot_leader 0.0" in metrics
    assert "agbot_ready 1.0" in metrics
    assert "agbot_store_ok" not in metrics, "an alert on it would be raised by every standby"
    assert "agbot_leader_epoch 1.0" in metrics


async def test_a_leader_says_that_it_leads(site: Site) -> None:
    leader = await site.leader("one")
    health = json.loads((await leader.get("/healthz"))[1])
    assert (health["position"], health["leader"], health["epoch"]) == ("leading", "one", 1)
    assert "agbot_leader 1.0" in (await leader.get("/metrics"))[1]


async def test_operators_reach_the_leader_through_a_standby(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    await leader.ask("anna")
    leases = json.loads((await standby.get("/v1/leases"))[1])["leases"]
    assert [(each["group"], each["holder"]) for each in leases] == [(f"{ORG}/{GROUP}", f"{ORG}/anna")]
    status, done = await standby.post("/v1/holds", {"scope": "*", "reason": "night", "by": "ada"})
    assert status == 200
    assert json.loads((await leader.get("/v1/overview"))[1])["holds"] == 1, done
    assert (await standby.post("/v1/holds", {"scope": "*", "reason": "night"}, token="wrong"))[0] == 401
    missing, text = await standby.get("/v1/groups/o1/nosuch")
    assert (missing, "no HA group" in text) == (404, True)


async def test_both_list_all_coordinators_and_who_leads(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")

    async def both_know() -> bool:
        lists = [json.loads((await each.get("/v1/coordinators"))[1])["coordinators"] for each in (leader, standby)]
        return all(
            [(each["name"], each["leads"]) for each in found] == [("one", True), ("two", False)] for found in lists
        )

    await until("both know both", both_know)


async def test_a_standby_whose_leader_cannot_be_reached_refuses_and_never_fails(site: Site) -> None:
    leader = await site.leader("one", gateway_url="http://127.0.0.1:9", console_url="http://127.0.0.1:9")
    standby = await site.standby("two")
    answer = await standby.ask("anna")
    assert answer.status == 409
    assert "no-leader: the leading coordinator cannot be reached" in answer.json()["msg"]
    status, text = await standby.get("/v1/groups")
    assert (status, "no-leader" in text) == (409, True)
    assert 'agbot_answer_seconds_count{outcome="unavailable"} 1.0' in (await standby.get("/metrics"))[1]
    assert leader.leads


async def test_the_status_of_a_standby_is_the_leaders_and_without_one_states_that(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    await leader.ask("anna")
    shown = json.loads((await standby.get("/v1/status?state=busy"))[1])
    assert (shown["leader"], [each["lease"]["holder"] for each in shown["groups"]]) == ("one", [f"{ORG}/anna"])
    await leader.die()

    async def has_none() -> bool:
        status, text = await standby.get("/v1/status")
        return status == 200 and json.loads(text)["attention"][0]["title"] == "Coordinator one does not answer"

    await until("it has no leader to ask", has_none)
    result = await asyncio.to_thread(CliRunner().invoke, main, ["status", "--url", standby.console])
    assert result.exit_code == Exit.NOTHING_GRANTED
    assert "Coordinator one does not answer" in result.output
    assert "stands by" in result.output


async def test_while_none_leads_the_status_states_how_the_last_one_ended(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    await leader.die()
    await leader.store.give_up(1, reserved_for="three", reserved_seconds=600)

    async def has_none() -> bool:
        return "one gave up the leadership" in (await standby.get("/readyz"))[1]

    await until("it knows that none leads", has_none)
    result = await asyncio.to_thread(CliRunner().invoke, main, ["status", "--url", standby.console])
    shown = " ".join(result.output.split())
    assert result.exit_code == Exit.NOTHING_GRANTED
    assert re.search(
        r"no coordinator is known to lead at present: one gave up the leadership [\d.]+ s ago, for three", shown
    )


@pytest.mark.parametrize("ends", ["dies", "is cut off"])
async def test_a_leader_that_does_not_answer_is_named_with_the_time_until_another_leads(site: Site, ends: str) -> None:
    leader = await site.leader("one", console_url="http://127.0.0.1:9" if ends == "is cut off" else None)
    standby = await site.standby("two")
    if ends == "dies":
        await leader.die()

    result = await asyncio.to_thread(CliRunner().invoke, main, ["status", "--url", standby.console])
    shown = " ".join(result.output.split())
    assert result.exit_code == Exit.NOTHING_GRANTED
    assert "WARN: Coordinator one does not answer" in shown
    seconds = re.search(r"two takes over within (\d+) s, unless it still renews its leadership", shown)
    assert seconds
    assert 0 < int(seconds[1]) <= site.ttl_seconds + 1
    for alarming in ("cannot be used", "NOT READY", "has not been read", "no HA group", "Cannot connect"):
        assert alarming not in shown[shown.index("COORDINATOR") :]
    found = json.loads((await standby.get("/v1/status"))[1])
    assert (found["ready"], found["store_ok"], len(found["not_ready"])) == (False, True, 1)


async def test_while_the_database_cannot_be_read_it_is_not_known_who_runs(site: Site) -> None:
    site.ttl_seconds = SHORT_TTL_SECONDS
    leader, standby = await site.leader("one"), await site.standby("two")
    both: list[dict[str, object]] = []

    async def list_of(each: Running) -> list[dict[str, object]]:
        return list(json.loads((await each.get("/v1/coordinators"))[1])["coordinators"])

    await until("one knows both", lambda: knows_two(leader))
    leader.store.is_cut = standby.store.is_cut = True

    async def is_unknown() -> bool:
        both[:] = [*await list_of(leader), *await list_of(standby)]
        return not any(each["is_known"] for each in both)

    await until("neither knows who runs", is_unknown)
    assert (len(both), [each["name"] for each in both if each["is_gone"]]) == (4, [])
    for each in (leader, standby):
        result = await asyncio.to_thread(CliRunner().invoke, main, ["status", "--url", each.console])
        assert "not known" in result.output
        assert "is gone" not in result.output
        assert "GONE" not in result.output
        assert "It is not known which coordinators run" in " ".join(result.output.split())
        assert "not known" in (await each.get("/coordinators"))[1]


async def knows_two(each: Running) -> bool:
    return len(json.loads((await each.get("/v1/coordinators"))[1])["coordinators"]) == 2


async def test_a_standby_whose_leader_is_silent_refuses_before_the_agent_gives_up(site: Site) -> None:
    is_over, ended = asyncio.Event(), asyncio.Event()

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_over.wait()
        writer.transport.abort()
        ended.set()

    silent = await asyncio.start_server(never, "127.0.0.1", 0)
    await site.leader("one", gateway_url=f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    standby = await site.standby("two")
    with in_time(5.0, slack_seconds=3.0):
        answer = await standby.ask("anna")
    assert (answer.status, "no-leader" in answer.json()["msg"]) == (409, True)
    is_over.set()
    await ended.wait()
    silent.close()


@pytest.mark.parametrize("status", [200, 201, 302, 429, 500, 502, 503, 504])
async def test_what_is_no_answer_of_a_coordinator_becomes_a_refusal(site: Site, status: int) -> None:
    async with answering(f"{status} A Proxy\r\nLocation: /\r\nContent-Length: 7\r\n\r\na proxy") as url:
        await site.leader("one", gateway_url=url)
        standby = await site.standby("two")
        refused = await standby.ask("anna")
    assert (refused.status, "no-leader" in refused.json()["msg"]) == (409, True)


async def test_without_a_leader_a_question_is_refused_as_no_leader(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    standby.store.is_cut = True  # it cannot take the leadership
    await leader.stop()
    answer = await standby.ask("anna")
    assert answer.status == 409
    assert "no-leader" in answer.json()["msg"]


async def test_a_question_is_forwarded_once_and_never_back(site: Site) -> None:
    first = await site.leader("one")
    standby = await site.standby("two")
    headers = {"Authorization": aiohttp.encode_basic_auth(*auth_of("anna")), MARK: "three"}
    async with standby.session.post(f"{standby.gateway}{QUESTION}", headers=headers) as reply:
        assert (reply.status, "does not lead" in await reply.text()) == (409, True)
    async with standby.session.get(f"{standby.console}/v1/groups", headers={MARK: "three"}) as reply:
        assert reply.status == 409
    async with first.session.post(f"{first.gateway}{QUESTION}", headers=headers) as reply:
        assert reply.status == 201


async def test_a_leader_without_an_address_for_operators_is_named_to_them(site: Site) -> None:
    await site.leader("one", console_url="")
    standby = await site.standby("two")
    status, text = await standby.get("/v1/leases")
    assert status == 409
    assert "one leads" in text


async def test_an_answer_of_the_leader_keeps_the_leaders_time(site: Site) -> None:
    """Its moments are by that clock: with the time of the standby, ages would be wrong by what the two clocks differ."""
    then = "2020-01-02T03:04:05+00:00"
    async with answering(f"200 OK\r\nX-Agbot-Now: {then}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}") as url:
        await site.leader("one", console_url=url)
        standby = await site.standby("two")
        async with standby.session.get(f"{standby.console}/v1/groups") as reply:
            assert reply.headers.getall("X-Agbot-Now") == [then]


async def test_what_a_command_counts_from_the_present_it_counts_from_the_leaders(site: Site) -> None:
    then = "2020-01-02T03:04:05+00:00"
    async with answering(f"200 OK\r\nX-Agbot-Now: {then}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}") as url:
        await site.leader("one", console_url=url)
        standby = await site.standby("two")
        assert await asyncio.to_thread(Client(url=standby.console).present) == datetime.fromisoformat(then)


async def test_an_order_whose_answer_is_lost_may_have_been_carried_out(site: Site) -> None:
    async with answering("200 OK\r\nContent-Length: 100\r\n\r\n{") as url:
        await site.leader("one", console_url=url)
        standby = await site.standby("two")
        status, answer = await standby.post("/v1/holds", {"scope": "*", "reason": "night"})
    assert (status, "may have been carried out" in answer["error"]["problem"]) == (503, True), answer
    assert "agbot history" in answer["error"]["next"]


async def test_an_order_that_was_not_sent_has_changed_nothing(site: Site) -> None:
    await site.leader("one", console_url="http://127.0.0.1:9")
    standby = await site.standby("two")
    status, answer = await standby.post("/v1/holds", {"scope": "*", "reason": "night"})
    assert (status, "may have been" in str(answer)) == (409, False), answer


async def test_a_standby_is_as_ready_in_one_answer_as_in_the_others(site: Site) -> None:
    await site.leader("one")
    standby = await site.standby("two")
    health, metrics = json.loads((await standby.get("/healthz"))[1]), (await standby.get("/metrics"))[1]
    assert ((await standby.get("/readyz"))[0], health["ready"], health["not_ready"]) == (200, True, [])
    assert "agbot_ready 1.0" in metrics


async def test_what_shadow_mode_has_compared_is_what_the_leader_has(site: Site) -> None:
    """Its journal is the leader's too: a standby's own count is always 0."""
    port, overview = free_port(), dict[str, object]()

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.json_response(overview if request.path == "/v1/overview" else {"entries": []})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    leader = await site.leader("one", console_url=f"http://127.0.0.1:{port}")
    standby = await site.standby("two")
    overview |= json.loads((await leader.get("/v1/overview"))[1]) | {"mode": "shadow", "compared": 7}
    result = await asyncio.to_thread(CliRunner().invoke, main, ["shadow", "--url", standby.console])
    await runner.cleanup()

    assert (result.exit_code, "compared 7 decisions" in result.output) == (Exit.OK, True), result.output


async def test_the_doctor_takes_a_standby_without_a_leader_for_no_other_program(site: Site, tmp_path: Path) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    assert "never asked the coordinator" in await examined(site, standby, tmp_path)  # by the leader, who knows
    await leader.die()
    assert f"the coordinator answers at {standby.console}" in await examined(site, standby, tmp_path)


async def examined(site: Site, coordinator: Running, folder: Path) -> str:
    """Return what the doctor prints beside this coordinator."""
    file, listen = folder / "agbot.toml", coordinator.console.removeprefix("http://")
    file.write_text(
        f'[exchange]\nurl = "{site.hub.url}"\nidentity = "IBM/x"\n[console]\nlisten = "{listen}"\n', encoding="utf-8"
    )
    result = await asyncio.to_thread(CliRunner().invoke, main, ["doctor", str(file)])
    return " ".join(result.output.split())
