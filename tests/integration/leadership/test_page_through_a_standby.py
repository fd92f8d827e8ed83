"""The page and the live events at a coordinator that stands by: as at the leader, also when another leads."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.acceptance.hub import GROUP, ORG
from tests.integration.leadership.conftest import OPERATOR, SHORT_TTL_SECONDS, Running, Site
from tests.support.patience import PATIENCE_SECONDS, until

FORM = {"scope": "*", "until": "", "reason": "night", "by": "ada", "operator_token": OPERATOR}


async def post(to: Running, path: str, form: dict[str, str], origin: str) -> tuple[int, str]:
    async with to.session.post(f"{to.console}{path}", data=form, headers={"Origin": origin}) as reply:
        return reply.status, await reply.text()


async def stream(at: Running, last_id: int) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    """Yield the events after one, with their ids, until the stream ends."""
    async with at.session.get(f"{at.console}/v1/events", headers={"Last-Event-ID": str(last_id)}) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        found = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for raw in reply.content:
                name, _, value = raw.decode().strip().partition(": ")
                if name == "id":
                    found = int(value)
                elif name == "data":
                    yield found, json.loads(value)


async def test_the_page_of_the_leader_is_shown_and_used_at_a_standby(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    await leader.ask("anna")
    status, text = await standby.get(f"/groups/{ORG}/{GROUP}")
    assert (status, "anna" in text, "stands by" in text) == (200, True, False)
    async with standby.session.get(f"{standby.console}/") as reply:
        assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert reply.headers["Referrer-Policy"] == "same-origin"

    assert (await post(standby, "/act/hold", FORM, "http://elsewhere.example"))[0] == 403
    assert (await post(standby, "/act/hold", {**FORM, "operator_token": "wrong"}, standby.console))[0] == 401
    assert json.loads((await leader.get("/v1/overview"))[1])["holds"] == 0
    status, text = await post(standby, "/act/hold", FORM, standby.console)
    assert status == 200, text
    assert json.loads((await leader.get("/v1/overview"))[1])["holds"] == 1


async def test_the_leadership_is_handed_over_on_the_page_of_any_coordinator(site: Site) -> None:
    one, two = await site.leader("one"), await site.standby("two")

    async def is_offered() -> str:
        text = (await two.get("/coordinators"))[1]
        return text if "/act/lead?to=two" in text else ""

    text = await until("both are known", is_offered)
    assert re.search(r"leads</span><br><span class=.why.>since <time [^>]*>\d\d:\d\d UTC", text)
    assert "stands by" in text
    confirmation = (await two.get("/act/lead?to=two&reason=work&step=confirm"))[1]
    assert "two leads instead of one, which has led since" in confirmation
    form = {"to": "two", "reason": "work", "by": "ada", "operator_token": OPERATOR}

    assert (await post(two, "/act/lead", {**form, "operator_token": "wrong"}, two.console))[0] == 401
    assert one.leads
    status, text = await post(two, "/act/lead", form, two.console)

    assert (status, "leads now, since epoch 2" in text) == (200, True), text
    await site.until_ready(two)
    text = (await one.get("/coordinators"))[1]
    assert "/act/lead?to=one" in text
    assert "ada has ordered the coordinator one to hand over to two" in (await one.get("/journal"))[1]


async def test_without_a_leader_that_can_be_asked_the_page_states_that_with_its_own_files(site: Site) -> None:
    await site.leader("one", console_url="http://127.0.0.1:9")
    standby = await site.standby("two")
    status, text = await standby.get("/")
    assert (status, "does not answer at http://127.0.0.1:9" in text) == (503, True)
    assert "All coordinators, as two knows them" in text
    assert '<div id="live" hx-get="/"' in text, "it is read again until the leader can be asked"
    assert "/act/lead" not in text, "there is none that could hand over"
    own = text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert (await standby.get(own))[0] == 200
    status, text = await post(standby, "/act/hold", FORM, standby.console)
    assert (status, "does not answer at http://127.0.0.1:9" in text, "may have been" in text) == (409, True, False)
    status, _ = await standby.get("/static/page.css?v=of-another-version")
    assert status == 200, "without a leader any will do"


@pytest.mark.parametrize("ends", ["stop", "die"])
async def test_events_at_a_standby_go_on_after_the_last_one_when_another_leads(site: Site, ends: str) -> None:
    site.ttl_seconds = SHORT_TTL_SECONDS
    leader, standby = await site.leader("one"), await site.standby("two")
    await leader.ask("anna")
    seen: list[tuple[int, str]] = []

    async def follow() -> None:
        async for number, event in stream(standby, seen[-1][0] if seen else 0):
            seen.append((number, event["event"]))

    following = asyncio.create_task(follow())
    await until("the grant", lambda: "lease.granted" in [name for _, name in seen])
    await (leader.stop() if ends == "stop" else leader.die())
    await until("the next leader", lambda: [name for _, name in seen].count("leader.taken") == 2 or following.done())
    assert not following.done(), "the stream goes on"
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    newest = seen[-1][0]
    await site.until_ready(standby)
    await standby.post("/v1/holds", {"scope": "*", "reason": "night", "by": "ada"})
    async for number, event in stream(standby, newest):
        seen.append((number, event["event"]))
        if event["event"].startswith("hold."):
            break
    ids = [number for number, _ in seen]
    assert ids == sorted(set(ids)), "nothing is sent twice"
