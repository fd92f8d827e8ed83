"""A request that asks for two things at once, or has a text that is none, says what to change."""

from __future__ import annotations

from tests.integration.console.conftest import Desk
from tests.integration.console.scripted import NMP
from tests.integration.console.test_api import refused


async def test_a_resume_of_two_things_at_once_is_refused(desk: Desk) -> None:
    body = {"scope": "acme", "subject": NMP, "reason": "over"}

    refused(await desk.post("/v1/resume", {**body, "rest": True}), 400, "subject and rest exclude each other")
    refused(await desk.post("/v1/resume", {**body, "scope": "store:"}), 400, "exclude each other")
    assert desk.operations.emitted == []


async def test_a_reason_with_a_line_break_is_not_to_be_shortened(desk: Desk) -> None:
    reply = await desk.post("/v1/holds", {"scope": "acme", "reason": "one\ntwo"})

    refused(reply, 400, "reason is not one line")
    assert reply.json["error"]["next"] == "leave out line breaks and control characters in reason"
