"""The simulated agbot's local API answers as the real one was recorded to answer, and fails as it is reported."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agbot.sim.agbot_rows import AgbotRows, AgentRow, ServiceRow
from agbot.sim.faults import Dropped, Fault, FaultKind, Hang, NotListening
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.plain_http import Received, listening
from tests.sim import raw_http
from tests.sim.gates import EPOCH
from tests.support.clocks import HandClock

_RECORDED = Path(__file__).parent.parent / "recorded" / "agbot-local-api.jsonl"
_PAIRS: list[dict[str, Any]] = [json.loads(line) for line in _RECORDED.read_text().splitlines()]
_INSIDE = {"get/status/workers", "get/config"}
"""They show the program's own inside; the simulated one has another, and a shorter one."""


def _recorded_rows() -> AgbotRows:
    """Return the tables as they were when the recording began."""
    bodies = {pair["name"]: pair["response_body"] for pair in _PAIRS}
    rows = AgbotRows()
    rows.agents = [
        AgentRow(org=row["orgId"], group=row["groupName"], node=row["nodeId"], nmp=row["nmpName"])
        for row in json.loads(bodies["upgradingnode-list"])
    ]
    rows.services = [
        ServiceRow(org=row["orgId"], group=row["groupName"], policy=row["policyName"], node=row["nodeId"])
        for row in json.loads(bodies["upgradingwlu-list"])
    ]
    return rows


def _api(rows: AgbotRows | None = None) -> LocalApi:
    shown = Shown(org="IBM", id="agbot1", policies=lambda: {"o1": ["dp1"]})
    return LocalApi(rows or AgbotRows(), HandClock(EPOCH), shown)


def _shape(value: Any) -> Any:
    """Leave of JSON the names and the types: numbers, times and ids vary from run to run."""
    if isinstance(value, dict):
        return {"#" if key.isdigit() else key: _shape(item) for key, item in value.items()}
    return [_shape(item) for item in value] if isinstance(value, list) else type(value)


def _comparable(name: str, body: str) -> object:
    return body if not name.startswith("get/") or not body.startswith("{") else _shape(json.loads(body))


async def test_every_recorded_reply_is_given_over_a_socket() -> None:
    differences = {}
    async with listening(_api(_recorded_rows())) as listener:
        for pair in _PAIRS:
            name = pair["name"]
            status, headers, body = await raw_http.send(listener.url, raw_http.request(pair["method"], pair["path"]))
            recorded = dict(pair["headers"])
            varying = ("Date", "Content-Length", "Transfer-Encoding") if name.startswith("get/") else ("Date",)
            for header in varying:
                headers.pop(header, None)
                recorded.pop(header, None)
            given = (status, headers, None if name in _INSIDE else _comparable(name, body))
            wanted = (
                pair["status"],
                recorded,
                None if name in _INSIDE else _comparable(name, pair["response_body"]),
            )
            if given != wanted:
                differences[name] = (given, wanted)

    assert differences == {}


async def test_two_agbots_that_share_a_database_show_the_same_rows_and_either_deletes_them() -> None:
    rows = AgbotRows()
    one, other = _api(rows), _api(rows)
    rows.claim_service(ServiceRow(org="o1", group="g", policy="o1/dp", node="o1/n1"))

    path = "/ha/upgradingwlu"
    assert one.handle(Received(method="GET", path=path)).body == other.handle(Received(method="GET", path=path)).body
    other.handle(Received(method="DELETE", path=f"{path}/o1/g"))
    assert one.handle(Received(method="GET", path=path)).body == "[]\n"


async def test_a_listener_that_is_closed_refuses_connections_and_listens_again_on_the_same_port() -> None:
    async with listening(_api()) as listener:
        url = listener.url
        await listener.close()
        with pytest.raises(ConnectionRefusedError):
            await raw_http.send(url, raw_http.request("GET", "/health"))
        await listener.listen()

        assert listener.url == url
        assert (await raw_http.send(url, raw_http.request("GET", "/health")))[0] == 200


async def test_a_hanging_agbot_never_replies() -> None:
    api = _api()
    api.faults.add(Fault(kind=FaultKind.HANG, path="^/ha/"))
    async with listening(api) as listener:
        asking = asyncio.create_task(raw_http.send(listener.url, raw_http.request("GET", "/ha/upgradingwlu")))
        assert (await raw_http.send(listener.url, raw_http.request("GET", "/health")))[0] == 200
        assert not asking.done()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.TRUNCATE])
async def test_a_broken_connection_gives_no_whole_reply(kind: FaultKind) -> None:
    api = _api()
    api.faults.add(Fault(kind=kind))
    async with listening(api) as listener:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await raw_http.send(listener.url, raw_http.request("GET", "/health"))


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault(kind=FaultKind.STATUS, status=500), 500, "simulated fault\n"),
        (Fault(kind=FaultKind.GARBAGE, text="<html>"), 200, "<html>"),
        (Fault(kind=FaultKind.GARBAGE, text="null"), 200, "null"),
        (Fault(kind=FaultKind.GARBAGE, text='{"rows": []}'), 200, '{"rows": []}'),
    ],
)
async def test_errors_invalid_text_and_wrong_shapes_are_replies_as_well(fault: Fault, status: int, body: str) -> None:
    api = _api()
    api.faults.add(fault)
    async with listening(api) as listener:
        found = await raw_http.send(listener.url, raw_http.request("GET", "/ha/upgradingnode"))

    assert (found[0], found[2]) == (status, body)


@pytest.mark.parametrize(
    ("kind", "error"),
    [(FaultKind.REFUSE, NotListening), (FaultKind.HANG, Hang), (FaultKind.DROP, Dropped)],
)
def test_in_one_process_a_fault_of_the_connection_is_raised(kind: FaultKind, error: type[Exception]) -> None:
    api = _api()
    handle = api.faults.add(Fault(kind=kind))
    with pytest.raises(error):
        api.handle(Received(method="GET", path="/health"))
    api.faults.remove(handle)

    assert api.handle(Received(method="GET", path="/health")).status == 200
