"""A request that asks for two things at once, or has a text that is none, says what to change."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.integration.console.conftest import OPERATOR, Desk
from tests.integration.console.scripted import NMP
from tests.integration.console.test_api import refused
from tests.support.patience import until

FORM = "Content-Type: application/x-www-form-urlencoded"


async def test_a_resume_of_two_things_at_once_is_refused(desk: Desk) -> None:
    body = {"scope": "acme", "subject": NMP, "reason": "over"}

    refused(await desk.post("/v1/resume", {**body, "rest": True}), 400, "subject and rest exclude each other")
    refused(await desk.post("/v1/resume", {**body, "scope": "store:"}), 400, "exclude each other")
    assert desk.operations.emitted == []


async def test_the_page_refuses_it_before_it_describes_one_of_them(desk: Desk) -> None:
    shown = await desk.get(f"/act/resume?scope=acme&subject={NMP}&rest=on&reason=x&step=confirm")

    assert (shown.status, "ubject and rest exclude each other" in shown.text) == (400, True)
    assert "operator_token" not in shown.text


@pytest.mark.parametrize("content", [b"scope=*&reason=\xff\xfe", b"\xff=\xfe", b"scope=%ff&reason=x", b"&&=", b""])
@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=none-such", "; charset=utf-16"])
async def test_a_form_in_no_charset_that_there_is_is_refused_like_any_without_a_token(
    desk: Desk, content: bytes, charset: str
) -> None:
    headers = {"Origin": desk.url, "Content-Type": f"application/x-www-form-urlencoded{charset}"}

    reply = await desk.ask("POST", "/act/hold", data=content, headers=headers)

    assert reply.status in {400, 401}, reply.text
    assert desk.operations.emitted == []


@pytest.mark.parametrize("path", ["/v1/history", "/v1/journal"])
@pytest.mark.parametrize("since", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-12:00"])
async def test_a_time_of_a_query_that_is_none_in_utc_is_refused(desk: Desk, path: str, since: str) -> None:
    refused(await desk.get(f"{path}?since={since}"), 400, "is not a time with a zone")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_a_time_that_is_none_in_utc_is_refused(desk: Desk, at: str) -> None:
    reply = await desk.post("/v1/holds", {"scope": "acme", "reason": "x", "until": at})

    refused(reply, 400, "until is not a time that there is in UTC")
    assert desk.operations.emitted == []


@pytest.mark.parametrize("path", ["/v1/holds", "/act/hold"])
async def test_a_client_that_leaves_in_the_middle_of_its_request_is_not_logged_as_a_bug(desk: Desk, path: str) -> None:
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Origin: http://localhost", "Content-Length: 9", FORM)
    head = "\r\n".join((*lines, f"Authorization: Bearer {OPERATOR}", "Expect: 100-continue", "", ""))
    with capture_logs() as logged:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(desk.url.rpartition(":")[2]))
        writer.write(head.encode())
        await reader.readuntil(b"100 Continue\r\n\r\n")  # its handler waits for the body from now on
        writer.close()
        await writer.wait_closed()
        connections = desk.console._runner.connections if desk.console else None  # noqa: SLF001 - nothing public shows it
        await until("the end of its connection", lambda: connections is not None and not connections.number)
        await desk.get("/livez")

    assert [line for line in logged if line["event"] == "console.failed"] == []


async def test_a_reason_with_a_line_break_is_not_to_be_shortened(desk: Desk) -> None:
    reply = await desk.post("/v1/holds", {"scope": "acme", "reason": "one\ntwo"})

    refused(reply, 400, "reason is not one line")
    assert reply.json["error"]["next"] == "leave out line breaks and control characters in reason"
