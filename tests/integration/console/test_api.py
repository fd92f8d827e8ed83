"""The API over a real socket: reading, writing, and everything that is refused."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.operators import history
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind
from agbot.rules.records import Allowance, Approval, Hold
from agbot.rules.words import clock
from agbot.store.contract import JournalQuery, StoreUnavailableError
from tests.integration.console.conftest import OPERATOR, Desk, Reply
from tests.integration.console.scripted import ALPHA, BETA, GROUPS, HELD, MILLS, NMP, NOW, PUMPS
from tests.support.examples import some

RELEASE = "/v1/leases/acme/mills/release"


def refused(reply: Reply, status: int, *words: str) -> None:
    """Hold that a refusal has the one form and says what it should."""
    assert reply.status == status
    assert set(reply.json) == {"error"}
    assert set(reply.json["error"]) == {"tried", "problem", "next"}
    assert all(reply.json["error"].values())
    assert all(word in reply.text for word in words), reply.text


async def test_groups_are_shown_with_members_lease_and_waiters(desk: Desk) -> None:
    shown = (await desk.get("/v1/groups")).json["groups"]

    assert [each["id"] for each in shown] == ["acme/mills", "acme/pumps"]
    mills = shown[0]
    assert mills["lease"]["holder"] == "acme/alpha"
    assert mills["lease"]["granted_at"] == "2026-03-04T05:04:32Z"
    assert mills["members"][1]["statuses"] == {"acme/agent-2.32": "ha node waiting"}
    assert [each["code"] for each in mills["waiting"][0]["reasons"]] == ["lease-held", "outside-window"]
    assert mills["waiting"][0]["reasons"][0]["facts"]["kind"] == "agent"
    assert shown[1]["brakes"][0]["cause"] == "failed"


async def test_groups_can_be_narrowed_to_an_organisation(desk: Desk) -> None:
    assert len((await desk.get("/v1/groups?org=acme")).json["groups"]) == 2
    assert (await desk.get("/v1/groups?org=bolt")).json == {"groups": [], "total": 0, "next": None}


async def test_groups_are_listed_in_pages_that_follow_each_other(desk: Desk) -> None:
    first = (await desk.get("/v1/groups?limit=1")).json
    assert ([each["id"] for each in first["groups"]], first["total"], first["next"]) == (
        ["acme/mills"],
        2,
        "acme/mills",
    )

    second = (await desk.get(f"/v1/groups?limit=2&after={first['next']}")).json
    assert ([each["id"] for each in second["groups"]], second["total"], second["next"]) == (["acme/pumps"], 2, None)
    refused(await desk.get("/v1/groups?limit=0"), 400, "whole number of 1 or more")
    refused(await desk.get("/v1/groups?state=odd"), 400, "odd", "busy")


async def test_an_organisation_that_is_not_known_is_not_answered_with_an_empty_list(desk: Desk) -> None:
    refused(await desk.get("/v1/groups?org=acmee"), 404, "acmee is not known (did you mean acme?)")


async def test_one_group_is_shown_or_not_found(desk: Desk) -> None:
    assert (await desk.get("/v1/groups/acme/pumps")).json["id"] == "acme/pumps"

    refused(await desk.get("/v1/groups/acme/none"), 404, "no HA group acme/none is known")


@pytest.mark.parametrize("path", ["/v1/groups?org=elsewhere", "/v1/groups/elsewhere/g1", "/v1/leases?org=elsewhere"])
async def test_what_is_asked_of_an_organisation_that_is_not_looked_after_is_answered_with_that(
    desk: Desk, path: str
) -> None:
    refused(await desk.get(path), 404, "organisation elsewhere is not among those")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/holds", {"scope": "elsewhere/g1"}),
        ("/v1/holds", {"scope": "node:elsewhere/n1"}),
        ("/v1/allowances", {"node": "elsewhere/n1", "until": "2026-03-05T00:00:00Z"}),
        ("/v1/approvals", {"scope": "elsewhere", "subject": "elsewhere/p"}),
    ],
)
async def test_neither_can_anything_be_done_there_and_it_says_why(
    desk: Desk, path: str, body: dict[str, object]
) -> None:
    desk.operations.outcome = NotDone(text="it is not known", not_found=True)

    refused(await desk.post(path, {**body, "reason": "x"}), 404, "it is not known", "elsewhere is not among those")


async def test_an_escaped_name_is_the_name(desk: Desk) -> None:
    refused(await desk.get("/v1/explain/acme/gr%C3%B6%C3%9Fe%40x%20y"), 404, "acme/größe@x y")


async def test_leases_can_be_narrowed_to_a_state(desk: Desk) -> None:
    assert [each["token"] for each in (await desk.get("/v1/leases")).json["leases"]] == [7, 3]
    assert [each["group"] for each in (await desk.get("/v1/leases?state=free")).json["leases"]] == ["acme/pumps"]

    refused(await desk.get("/v1/leases?state=lost"), 400, "held", "suspect")


async def test_an_explanation_carries_every_rule(desk: Desk) -> None:
    shown = (await desk.get("/v1/explain/acme/beta")).json

    assert shown["answer"].startswith("acme/beta has been waiting for 80 s")
    assert [(each["rule"], each["passes"]) for each in shown["rules"]][2:4] == [("lease", False), ("window", False)]
    assert shown["earliest"] == "2026-03-04T22:00:00Z"
    refused(await desk.get("/v1/explain/acme/nobody"), 404, "acme/nobody")
    refused(await desk.get("/v1/explain/acme/mills"), 404, "HA group, not a node", "agbot status acme/mills")


async def test_the_journal_is_read_as_asked(desk: Desk) -> None:
    reply = await desk.get(
        "/v1/journal?group=acme/mills&node=acme/alpha&since=2026-03-04T05:06:07Z&after=40&limit=5000"
    )

    assert reply.json["entries"][0]["event"] == "lease.granted"
    assert reply.json["entries"][0]["facts"]["kind"] == "agent"
    assert desk.operations.emitted == [JournalQuery(group=MILLS, node=ALPHA, since=NOW, after=40, limit=1000)]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=many", "limit=-1", "after=x", "after=9" + "9" * 30, "since=now", "since=2026-01-01"]
)
async def test_a_journal_cannot_be_asked_invalid_text(desk: Desk, query: str) -> None:
    refused(await desk.get(f"/v1/journal?{query}"), 400, query.partition("=")[0])


async def test_the_history_says_what_happened_who_did_it_why_and_on_which_facts(desk: Desk) -> None:
    (shown,) = (await desk.get("/v1/history")).json["entries"]

    assert shown == {
        "id": 41,
        "at": "2026-03-04T05:06:07Z",
        "event": "lease.granted",
        "what": "acme/alpha may upgrade acme/agent-2.32",
        "why": "every rule allows it",
        "who": "coordinator",
        "group": "acme/mills",
        "node": "acme/alpha",
        "subject": "acme/agent-2.32",
        "token": 7,
        "facts": {"kind": "agent", "expires_at": "2026-03-04T05:16:07.000Z"},
    }
    assert desk.operations.emitted == [JournalQuery(without=history.LEFT_OUT)]


async def test_the_history_is_narrowed_as_asked(desk: Desk) -> None:
    await desk.get(
        "/v1/history?org=acme&group=acme/mills&node=acme/alpha&since=2026-03-04T05:06:07Z"
        "&event=hold,lease.granted&event=brake.set&before=99&after=40&limit=5000"
    )

    assert desk.operations.emitted == [
        JournalQuery(
            org="acme",
            group=MILLS,
            node=ALPHA,
            events=("hold.set", "hold.ended", "lease.granted", "brake.set"),
            since=NOW,
            after=40,
            before=99,
            limit=1000,
        )
    ]


@pytest.mark.parametrize(
    "query", ["event=leese", "event=", "limit=0", "before=0", "before=x", "after=-1", "since=yesterday"]
)
async def test_a_history_cannot_be_asked_invalid_text(desk: Desk, query: str) -> None:
    refused(await desk.get(f"/v1/history?{query}"), 400, query.partition("=")[0])
    assert desk.operations.emitted == []


async def test_a_store_that_fails_is_an_honest_503(desk: Desk) -> None:
    desk.operations.outcome = StoreUnavailableError("disk full")

    refused(await desk.get("/v1/journal"), 503, "disk full")
    refused(await desk.get("/v1/history"), 503, "disk full")


async def test_what_was_not_foreseen_shows_no_traceback(desk: Desk) -> None:
    desk.operations.outcome = RuntimeError("the secret inside")

    reply = await desk.get("/v1/journal")

    refused(reply, 500, "console.failed")
    assert "the secret inside" not in reply.text


async def test_a_release_is_carried_out_with_reason_token_and_name(desk: Desk) -> None:
    desk.operations.outcome = Done(text="freed", lease=HELD)

    reply = await desk.post(RELEASE, {"reason": " the node is scrap ", "token": 7, "by": "ada@hub"})

    assert reply.status == 200
    assert reply.json["text"] == "freed"
    assert reply.json["lease"]["group"] == "acme/mills"
    assert desk.operations.emitted == [("release", MILLS, 7, "the node is scrap", "ada@hub")]


async def test_a_hold_is_carried_out(desk: Desk) -> None:
    until = "2026-03-04T07:06:07+01:00"

    reply = await desk.post("/v1/holds", {"scope": "acme", "reason": "trade fair", "until": until})

    assert reply.status == 200
    expected = Hold(scope="acme", since=NOW, by="operator", why="trade fair", until=NOW + timedelta(hours=1))
    assert desk.operations.emitted == [expected]


async def test_the_end_of_an_order_is_stated_in_utc_whatever_zone_it_was_given_in(desk: Desk) -> None:
    await desk.post("/v1/holds", {"scope": "acme", "reason": "fair", "until": "2026-03-04T07:06:07+01:00"})

    (hold,) = desk.operations.emitted
    assert isinstance(hold, Hold)
    assert hold.until is not None
    assert clock(hold.until) == "2026-03-04 06:06:07Z"
    without = {"scope": "acme", "reason": "fair", "until": "2026-03-04T07:06:07"}
    refused(await desk.post("/v1/holds", without), 400, "until has no time zone", "2026-03-05T05:06:07Z")


async def test_a_resume_is_carried_out_for_a_scope_or_a_subject(desk: Desk) -> None:
    await desk.post("/v1/resume", {"scope": "acme", "reason": "over"})
    await desk.post("/v1/resume", {"scope": "acme/pumps", "subject": NMP, "reason": "mended", "by": "ada"})

    assert desk.operations.emitted == [
        ("resume", "acme", None, "over", "operator"),
        ("resume", "acme/pumps", NMP, "mended", "ada"),
    ]


async def test_the_rest_of_a_group_is_ended_over_http(desk: Desk) -> None:
    reply = await desk.post("/v1/resume", {"scope": "acme/pumps", "rest": True, "reason": "looked at it", "by": "ada"})

    assert reply.status == 200
    assert desk.operations.emitted == [("resume", "rest:acme/pumps", None, "looked at it", "ada")]
    desk.operations.outcome = NotDone(text="acme/pumps does not rest; nothing was changed")
    refused(await desk.post("/v1/resume", {"scope": "acme/pumps", "rest": True, "reason": "x"}), 409, "does not rest")


async def test_an_allowance_and_an_approval_are_carried_out_with_who_and_why(desk: Desk) -> None:
    until = "2026-03-05T00:00:00Z"
    await desk.post("/v1/allowances", {"node": BETA, "reason": "urgent", "until": until, "by": "ada"})
    await desk.post("/v1/approvals", {"scope": "acme", "subject": NMP, "reason": "tested", "by": "ada"})

    allowance, approval = desk.operations.emitted
    assert allowance == Allowance(
        node=BETA, subject=PolicyId(""), since=NOW, until=datetime(2026, 3, 5, tzinfo=UTC), by="ada", why="urgent"
    )
    assert approval == Approval(scope="acme", kind=Kind.AGENT, subject=NMP, since=NOW, by="ada", why="tested")
    refused(await desk.post("/v1/allowances", {"node": "beta", "reason": "x", "until": until}), 400, "not org/name")
    past = {"node": BETA, "reason": "x", "until": "2020-01-01T00:00:00Z"}
    refused(await desk.post("/v1/allowances", past), 400, "in the past")
    refused(await desk.post("/v1/approvals", {"scope": "acme", "subject": "up1", "reason": "x"}), 400, "not org/name")


async def test_an_action_that_changed_nothing_is_refused_with_its_own_words(desk: Desk) -> None:
    desk.operations.outcome = NotDone(text="acme/mills is held under token 8, not 7")
    refused(await desk.post(RELEASE, {"reason": "x", "token": 7}), 409, "token 8, not 7")

    desk.operations.outcome = NotDone(text="no such group", not_found=True)
    refused(await desk.post(RELEASE, {"reason": "x"}), 404, "no such group")


@pytest.mark.parametrize("path", some([RELEASE, "/v1/holds", "/v1/resume"]))
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {OPERATOR}"},
        {"Authorization": OPERATOR},
        {"Authorization": f"Digest {OPERATOR}"},
        {"Authorization": "Bearer schlüssel"},
        {"Cookie": f"token={OPERATOR}"},
    ],
)
async def test_writing_needs_the_token(desk: Desk, path: str, headers: dict[str, str]) -> None:
    reply = await desk.ask("POST", path, json={"scope": "*", "reason": "x"}, headers=headers)

    refused(reply, 401, "token")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert desk.operations.emitted == []


async def test_without_a_configured_token_writing_is_off_and_says_how_to_turn_it_on(desk: Desk) -> None:
    desk.token = None

    refused(await desk.post(RELEASE, {"reason": "x"}), 403, "[console] token_file")
    refused(await desk.post(RELEASE, {"reason": "x"}, bearer=""), 403)


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        (RELEASE, {}, "reason"),
        (RELEASE, [], "object"),
        (RELEASE, {"reason": "  "}, "reason is empty"),
        (RELEASE, {"reason": "x" * 501}, "501" and "500"),
        (RELEASE, {"reason": "a\nb"}, "one line"),
        (RELEASE, {"reason": "x", "token": "7"}, "token"),
        (RELEASE, {"reason": "x", "token": 0}, "1 or more"),
        (RELEASE, {"reason": "x", "by": ""}, "by is empty"),
        (RELEASE, {"reason": "x", "tokn": 7}, "tokn"),
        ("/v1/holds", {"reason": "x"}, "scope"),
        ("/v1/holds", {"scope": "*", "reason": "x", "until": "tomorrow"}, "until"),
        ("/v1/holds", {"scope": "*", "reason": "x", "until": "2026-03-04T06:00:00"}, "time zone"),
        ("/v1/holds", {"scope": "*", "reason": "x", "until": "2026-03-04T05:06:07Z"}, "past"),
        ("/v1/resume", {"scope": "acme/pumps", "subject": " ", "reason": "x"}, "subject is empty"),
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_and_says_why(desk: Desk, path: str, body: Any, word: str) -> None:
    refused(await desk.post(path, body), 400, word)
    assert desk.operations.emitted == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"reason": "\xff"}', b"null"])
async def test_a_body_that_is_no_json_is_refused(desk: Desk, content: bytes) -> None:
    reply = await desk.ask("POST", RELEASE, data=content, headers={"Authorization": f"Bearer {OPERATOR}"})

    refused(reply, 400)


async def test_a_large_body_is_refused(desk: Desk) -> None:
    refused(await desk.post(RELEASE, {"reason": "x" * 20_000}), 413, "too large")


async def test_an_unknown_path_and_a_wrong_method_are_json_too(desk: Desk) -> None:
    refused(await desk.get("/v2/groups"), 404, "GET /")
    reply = await desk.ask("DELETE", "/v1/groups")
    refused(reply, 405)
    assert "GET" in reply.headers["Allow"]


async def test_every_path_is_listed(desk: Desk) -> None:
    listed = (await desk.get("/v1")).json["paths"]

    assert {"/livez", "/metrics", "/v1/explain/{org}/{node}"} <= {each["path"] for each in listed}
    assert {each["path"] for each in listed if each["needs_token"]} == {
        "/v1/leases/{org}/{group}/release",
        "/v1/holds",
        "/v1/resume",
        "/v1/allowances",
        "/v1/approvals",
        "/v1/allowances/withdraw",
        "/v1/approvals/withdraw",
        "/v1/lead",
        "/v1/receivers/test",
        "/act/{action}",
    }


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example.com", 421),
        ("evil.example.com:8084", 421),
        ("127.0.0.1.evil.example.com", 421),
        ("localhost:8084", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1", 200),
        ("[::1]:8084", 200),
        ("192.0.2.1:80", 200),
    ],
)
async def test_a_loopback_listener_answers_only_to_names_of_its_own(desk: Desk, host: str, status: int) -> None:
    """A page whose name is rebound to 127.0.0.1 still sends its own name."""
    assert (await desk.get("/v1/groups", headers={"Host": host})).status == status


async def test_no_foreign_page_may_read_an_answer(desk: Desk) -> None:
    reply = await desk.get("/v1/groups", headers={"Origin": "https://evil.example.com"})

    assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v1/groups HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /v1/explain/%00/%2F HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
async def test_bytes_that_are_hardly_http_get_a_4xx(desk: Desk, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(desk.url.rpartition(":")[2]))
    writer.write(raw)
    status = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert status.split()[1].startswith(b"4")


async def on_the_wire(desk: Desk, raw: bytes) -> tuple[int, str]:
    """Send bytes as they are; return the status of the answer and what it says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(desk.url.rpartition(":")[2]))
    writer.write(raw)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), json.loads(body)["error"]["problem"]


@pytest.mark.parametrize("line", [b"GET /livez", b"POST /v1/holds"])
async def test_a_body_in_chunks_is_refused_before_it_is_read(desk: Desk, line: bytes) -> None:
    head = line + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert await on_the_wire(desk, head + b"1\r\nx\r\n" * 100_000) == (
        400,
        "a request of this kind has no chunked body",
    )


async def test_what_is_not_http_leaves_no_line_in_the_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    assert (await on_the_wire(desk, b"NONSENSE\r\n\r\n"))[0] == 400
    assert caplog.records == []


async def test_the_groups_shown_are_those_of_the_coordinator(desk: Desk) -> None:
    desk.operations.known = GROUPS[1:]

    assert [each["id"] for each in (await desk.get("/v1/groups")).json["groups"]] == [PUMPS]
