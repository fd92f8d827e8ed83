"""The page over a real socket, without a browser: every view, its headers, and every action with what it refuses."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agbot.coordinator.contract import Done, MemberView, NotDone, RuleView
from agbot.coordinator.listings import GroupProgress, MemberProgress, WindowView
from agbot.events.rollouts import RolloutEnded
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.records import Allowance, Approval, Hold
from agbot.rules.statuses import Phase
from agbot.store.contract import Entry, JournalQuery, StoreUnavailableError
from tests.integration.console.conftest import OPERATOR, Desk, Reply
from tests.integration.console.scripted import (
    ALPHA,
    BETA,
    ENTRY,
    GAMMA,
    GROUPS,
    MILLS,
    NMP,
    NO_ORDERS,
    NOW,
    PUMPS,
    WAITING,
)

VIEWS = (
    "/",
    "/rollouts",
    "/rollouts/agent/acme/agent-2.32",
    "/groups",
    "/groups/acme/mills",
    "/groups/acme/pumps",
    "/nodes/acme/beta",
    "/nodes/acme/gamma",
    "/orders",
    "/journal",
    "/coordinators",
    *(f"/act/{action}" for action in ("hold", "resume", "release", "allow", "approve", "lead")),
    "/act/withdraw-allowance",
    "/act/withdraw-approval",
)
ACTIONS: dict[str, dict[str, str]] = {
    "hold": {"scope": "acme", "until": "2026-03-04T07:06:07+00:00"},
    "resume": {"scope": "acme/pumps", "subject": NMP},
    "release": {"group": MILLS, "token": "7"},
    "allow": {"node": BETA, "subject": NMP, "until": "2026-03-05T05:06:07+00:00"},
    "approve": {"scope": "acme", "subject": NMP, "kind": "agent"},
    "withdraw-allowance": {"node": BETA},
    "withdraw-approval": {"scope": "acme", "subject": NMP, "kind": "agent"},
}


def plain(reply: Reply) -> str:
    """Return the text that is shown, in lower case: a sentence begins with a capital on the page."""
    return html.unescape(reply.text).lower()


async def act(
    desk: Desk, action: str, token: str = OPERATOR, headers: dict[str, str] | None = None, **more: str
) -> Reply:
    """Send the form of a confirmation, as a browser does."""
    form = {"reason": "because", "by": "ada", **ACTIONS[action], "operator_token": token, **more}
    sent = {"Origin": desk.url} if headers is None else headers
    return await desk.ask("POST", f"/act/{action}", data=form, headers=sent)


@pytest.mark.parametrize("view", VIEWS)
async def test_every_view_is_a_page_with_one_heading_and_a_strict_policy(desk: Desk, view: str) -> None:
    desk.operations.ordered = replace(
        NO_ORDERS,
        holds=[Hold(scope="acme", since=NOW, by="ada", why="fair", until=NOW + timedelta(hours=1))],
        allowances=[Allowance(node=BETA, subject=NMP, since=NOW, until=NOW, by="ada", why="now")],
        approvals=[Approval(scope="acme", kind=Kind.AGENT, subject=NMP, since=NOW, by="ada", why="yes")],
        windows=[WindowView(windows=["daily 01:00-02:00"], groups=2, example=MILLS, is_open=False, changes_at=NOW)],
    )
    reply = await desk.get(view)

    assert reply.status == 200, reply.text
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert reply.text.count("<h1>") == 1
    assert not re.search(r"\sstyle=|\son\w+=|<script>|<style", reply.text)
    assert not re.search(r"""(src|href|action)=["'](https?:)?//""", reply.text)
    assert OPERATOR not in reply.text


@pytest.mark.parametrize("name", ["page.css", "page.js", "icon.svg", "vendor/htmx.min.js", "vendor/hx-sse.min.js"])
async def test_the_files_of_the_page_are_served_and_may_be_kept(desk: Desk, name: str) -> None:
    shown = (await desk.get("/")).text
    address = re.search(rf'"(/static/{re.escape(name)}\?v=[0-9a-f]+)"', shown)
    assert address is not None

    reply = await desk.get(address[1])

    assert (reply.status, reply.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert "immutable" in reply.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["vendor/README.md", "../rendering.py", "%2e%2e/rendering.py", "none.js"])
async def test_no_other_file_is_served(desk: Desk, name: str) -> None:
    assert (await desk.get(f"/static/{name}")).status == 404


async def test_a_name_from_outside_does_nothing_in_the_page(desk: Desk) -> None:
    evil = "acme/<script>alert(1)</script>\"'"
    desk.operations.known = (replace(GROUPS[0], id=GroupId(evil)),)

    reply = await desk.get("/groups")

    assert "<script>alert" not in reply.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in reply.text


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/groups/acme/none", 404, "no HA group acme/none is known"),
        ("/groups/elsewhere/g", 404, "elsewhere is not among those"),
        ("/nodes/acme/none", 404, "no node acme/none is known"),
        ("/rollouts/flight/acme/p", 404, "is not a kind of upgrade"),
        ("/rollouts/agent/acme/p?standing=lost", 400, "is not a standing"),
        ("/groups?state=lost", 400, "is not a state"),
        ("/groups?offset=-1", 400, "is not a whole number"),
        ("/act/explode", 404, "there is no action 'explode'"),
    ],
)
async def test_what_cannot_be_shown_says_why(desk: Desk, path: str, status: int, words: str) -> None:
    reply = await desk.get(path)

    assert (reply.status, words.lower() in plain(reply)) == (status, True), reply.text
    assert 'role="alert"' in reply.text
    assert "get /v1" not in plain(reply), "what a program asks"
    assert "agbot status" not in plain(reply), "what is typed elsewhere"


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/groups/acme/mill", "/groups/acme/mills"),
        ("/nodes/acme/gama", "/nodes/acme/gamma"),
        ("/rollouts/agent/acme/agent-2.23", "/rollouts/agent/acme/agent-2.32"),
    ],
)
async def test_a_mistyped_address_leads_to_the_one_that_was_meant(desk: Desk, path: str, near: str) -> None:
    reply = await desk.get(path)

    assert (reply.status, f'<a href="{near}">' in reply.text) == (404, True), reply.text


@pytest.mark.parametrize(
    ("find", "meant"),
    [
        ("pumsp", 'Did you mean <a href="/groups/acme/pumps">group acme/pumps</a>?'),
        ("beta", 'Did you mean <a href="/nodes/acme/beta">node acme/beta</a>?'),
        ("acme/beta", 'Did you mean <a href="/nodes/acme/beta">node acme/beta</a>?'),
        ("xyz", "No group matches.</td>"),
    ],
)
async def test_a_search_that_finds_no_group_names_what_may_be_meant(desk: Desk, find: str, meant: str) -> None:
    assert meant in (await desk.get(f"/groups?find={find}")).text


async def test_a_rollout_that_no_group_follows_is_not_said_to_be_done(desk: Desk) -> None:
    desk.operations.far[Kind.AGENT, NMP] = [
        GroupProgress(group=MILLS, members=[MemberProgress(node=ALPHA, is_gated=True)])
    ]

    assert "no group is known to follow the policy." in plain(await desk.get("/rollouts/agent/acme/agent-2.32"))


async def test_an_event_that_names_who_did_it_names_them_once(desk: Desk) -> None:
    desk.operations.entries = [
        Entry(id=9, at=NOW, event="leader.handed_over", who="root@vm", facts={"leader": "hub-1", "to": "", "why": "x"})
    ]

    assert (await desk.get("/journal")).text.count("root@vm") == 1


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("hold?scope=acme/pumsp", "did you mean acme/pumps?"),
        ("release?group=acme/mils", "did you mean acme/mills?"),
        ("allow?node=acme/bet&span=7200", "did you mean acme/beta?"),
        (f"approve?scope=acne&subject={NMP}&kind=agent", "did you mean acme?"),
    ],
)
async def test_a_mistyped_name_is_refused_before_the_token_is_asked_for(desk: Desk, order: str, words: str) -> None:
    reply = await desk.get(f"/act/{order}&reason=x&step=confirm")

    assert (reply.status, words in plain(reply)) == (400, True), reply.text
    assert "operator_token" not in reply.text


async def test_a_store_that_fails_is_said_so(desk: Desk) -> None:
    desk.operations.outcome = StoreUnavailableError("disk full")

    reply = await desk.get("/journal")

    assert (reply.status, "the lease store failed: disk full" in plain(reply)) == (503, True)


async def test_a_rollout_counts_all_groups(desk: Desk) -> None:
    desk.operations.far[Kind.AGENT, NMP] = [
        GroupProgress(group=MILLS, members=[MemberProgress(node=ALPHA, is_gated=True)], holder=ALPHA),
        GroupProgress(group=GroupId("acme/idle"), members=[MemberProgress(node=BETA, is_gated=True)]),
    ]

    reply = await desk.get("/rollouts/agent/acme/agent-2.32?standing=running")

    assert "0 of 1 group done" in reply.text
    assert "Of 2 groups of the organisation, 1 has no member that is known to follow" in reply.text
    assert "alpha is upgrading" in reply.text
    assert "acme/idle" not in reply.text
    listed = await desk.get("/rollouts")
    assert "agent upgrade, 0 % of 1 group done" in listed.text
    assert "expected end not known: an estimate takes 5 groups" in plain(listed)


async def test_a_form_says_nothing_is_done_yet_and_leads_to_what_will_be(desk: Desk) -> None:
    form = await desk.get("/act/hold?scope=acme")
    confirmation = await desk.get("/act/hold?scope=acme&reason=fair&span=7200&by=ada&step=confirm")

    assert "Nothing happens yet" in form.text
    assert "No new upgrade begins in organisation acme, until 07:06 UTC (in 2 h)." in re.sub(
        "<.*?>", "", confirmation.text
    )
    assert 'name="until" value="2026-03-04T07:06:07+00:00"' in confirmation.text
    assert 'type="password"' in confirmation.text
    assert desk.operations.emitted == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("scope=acme", "the reason is missing"),
        ("reason=x", "the scope is missing"),
        ("scope=acme&reason=%20", "the reason is missing"),
        (f"scope=acme&reason={'x' * 501}", "shorten reason"),
        ("scope=acme&reason=x&until=soon", "Invalid RFC3339"),
        ("scope=acme&reason=x&span=5", "'5' is not one of the spans"),
    ],
)
async def test_a_form_that_is_not_filled_in_says_what_is_missing(desk: Desk, query: str, words: str) -> None:
    reply = await desk.get(f"/act/hold?{query}&step=confirm")

    assert (reply.status, words.lower() in plain(reply)) == (400, True), reply.text


EXPECTED: dict[str, Any] = {
    "hold": Hold(scope="acme", since=NOW, by="ada", why="because", until=NOW + timedelta(hours=2)),
    "resume": ("resume", "acme/pumps", PolicyId(NMP), "because", "ada"),
    "release": ("release", MILLS, 7, "because", "ada"),
    "allow": Allowance(node=BETA, subject=NMP, since=NOW, until=NOW + timedelta(days=1), by="ada", why="because"),
    "approve": Approval(scope="acme", kind=Kind.AGENT, subject=NMP, since=NOW, by="ada", why="because"),
    "withdraw-allowance": ("withdraw", BETA, "because", "ada"),
    "withdraw-approval": ("withdraw", "acme", Kind.AGENT, NMP, "because", "ada"),
}


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_is_that_of_the_api(desk: Desk, action: str) -> None:
    desk.operations.outcome = Done(text="acme is as you want it")

    reply = await act(desk, action)

    assert (reply.status, "acme is as you want it" in plain(reply)) == (200, True), reply.text
    assert desk.operations.emitted == [EXPECTED[action]]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("token", "status", "words"),
    [("wrong", 401, "the operator token is wrong"), ("", 401, "this needs the operator token")],
)
async def test_without_the_token_nothing_is_done(desk: Desk, action: str, token: str, status: int, words: str) -> None:
    reply = await act(desk, action, token)

    assert (reply.status, words in plain(reply)) == (status, True), reply.text
    assert desk.operations.emitted == []
    assert f'value="{token}"' not in reply.text or not token
    assert "type the operator token into the field below" in plain(reply)
    assert "Bearer" not in reply.text, "what a program sends"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_of_another_page_is_refused_even_with_the_token(desk: Desk, headers: dict[str, str]) -> None:
    reply = await act(desk, "hold", headers=headers)

    assert (reply.status, "was not sent by this page" in reply.text) == (403, True)
    assert desk.operations.emitted == []


async def test_a_browser_that_only_names_the_site_is_believed(desk: Desk) -> None:
    assert (await act(desk, "hold", headers={"Sec-Fetch-Site": "same-origin"})).status == 200


async def test_what_was_not_done_is_said_on_the_confirmation(desk: Desk) -> None:
    desk.operations.outcome = NotDone(text="acme/mills is held under token 8 now")

    reply = await act(desk, "release")

    assert (reply.status, "acme/mills is held under token 8 now" in reply.text) == (409, True)
    assert 'name="operator_token"' in reply.text


@pytest.mark.parametrize(("group", "token"), [(MILLS, 7), (PUMPS, 3)], ids=["held", "free"])
async def test_a_release_frees_no_later_grant_than_its_confirmation_shows(desk: Desk, group: str, token: int) -> None:
    confirmation = await desk.get(f"/act/release?group={group}&reason=scrap&step=confirm")

    assert f'name="token" value="{token}"' in confirmation.text
    assert (await desk.get("/act/release?reason=scrap&step=confirm")).status == 400


async def test_without_a_configured_token_the_page_says_that_changes_are_off(desk: Desk) -> None:
    desk.token = None

    assert "Changes are disabled" in (await desk.get("/act/hold?scope=acme&reason=x&step=confirm")).text
    assert (await act(desk, "hold")).status == 403


async def test_a_coordinator_with_a_store_of_its_own_has_no_other_to_lead(desk: Desk) -> None:
    shown = await desk.get("/coordinators")
    confirmation = await desk.get("/act/lead?reason=x&step=confirm")
    form = {"reason": "x", "operator_token": OPERATOR}
    refused = await desk.ask("POST", "/act/lead", data=form, headers={"Origin": desk.url})

    assert "It is the only one" in shown.text
    assert "Nothing: no other coordinator stands by." in confirmation.text
    assert (refused.status, "is the only coordinator" in refused.text) == (409, True)


async def test_facts_are_in_words_and_open_as_they_are(desk: Desk) -> None:
    facts = {"holder": ALPHA, "heartbeat_at": NOW - timedelta(seconds=20)}
    rules = (RuleView(rule="lease-certain", passes=True, text="it is known", facts=facts, age_seconds=5.0),)
    desk.operations.explained[BETA] = replace(WAITING, rules=rules)

    shown = (await desk.get("/nodes/acme/beta")).text

    words, _, raw = shown.partition("<details>")
    assert "last heartbeat of alpha <time" in words
    assert "05:05 UTC (20 s ago)</time>" in words
    assert "<dt>heartbeat_at</dt><dd>2026-03-04T05:05:47+00:00</dd>" in raw


async def test_a_group_in_which_nothing_happens_looks_like_no_fault(desk: Desk) -> None:
    idle = MemberView(
        node=GAMMA, node_type="device", available=None, read_at=NOW - timedelta(minutes=12), was_alive=True
    )
    desk.operations.known = (replace(GROUPS[1], members=(idle,), brakes=()),)

    shown = (await desk.get("/groups/acme/pumps")).text

    assert "since 04:54 UTC; it was available then" in shown
    assert "Nothing happens in this group, so heartbeats are read here only for this view" in shown
    assert desk.operations.looked_at == [PUMPS]
    assert "not read since 04:54 UTC" in (await desk.get("/groups")).text


async def test_an_allowance_is_offered_only_where_it_passes_a_reason(desk: Desk) -> None:
    assert "/act/allow?" in (await desk.get("/groups/acme/mills")).text, "outside-window is among its reasons"
    lost = RuleView(rule="lease-certain", passes=False, code="lease-suspect", text="it is not known how it ended")
    desk.operations.explained[BETA] = replace(WAITING, rules=(lost,))

    assert "/act/allow?" not in (await desk.get("/groups/acme/mills")).text
    assert "/act/allow?" not in (await desk.get("/nodes/acme/beta")).text


@pytest.mark.parametrize(
    ("at_latest", "of_node", "of_group"), [(False, "Earliest", "Earliest"), (True, "Latest", "At the latest")]
)
async def test_the_end_of_a_wait_is_shown_as_the_earliest_or_the_latest_time(
    desk: Desk, at_latest: bool, of_node: str, of_group: str
) -> None:
    desk.operations.explained[BETA] = replace(WAITING, unblock="time", earliest=NOW, at_latest=at_latest)
    node, group = (await desk.get(f"/nodes/{BETA}")).text, (await desk.get(f"/groups/{WAITING.group}")).text
    assert f"<dt>{of_node} by itself</dt>" in node
    assert f"time. {of_group} <" in " ".join(group.split())


async def test_the_journal_is_filtered_by_time_organisation_and_event_also_on_its_further_pages(desk: Desk) -> None:
    desk.operations.entries = [replace(ENTRY, id=number) for number in range(60, 0, -1)]

    shown = (await desk.get("/journal?since=3600&org=acme&event=lease")).text

    (query,) = [each for each in desk.operations.emitted if isinstance(each, JournalQuery) and each.org]
    assert (query.org, query.since) == ("acme", NOW - timedelta(hours=1))
    assert {"lease.granted", "lease.released"} <= set(query.events)
    assert not {"brake.set"} & set(query.events)
    assert "05:06, 0 s ago</time>" in shown
    assert 'href="?org=acme&event=lease&since=3600&before=21"' in html.unescape(shown)
    assert "is not a kind of event" in (await desk.get("/journal?event=leese")).text


async def test_a_member_that_was_not_read_is_not_counted_as_missing(desk: Desk) -> None:
    read_at = NOW - timedelta(minutes=12)
    unread = MemberView(node=BETA, node_type="device", available=None, read_at=read_at, was_alive=True)
    silent = replace(unread, node=ALPHA, was_alive=False, why_unavailable="last heartbeat 3 hours ago")
    known = MemberView(node=GAMMA, node_type="device", available=True, read_at=NOW)
    desk.operations.known = (replace(GROUPS[1], members=(known, unread, silent), brakes=()),)

    shown = (await desk.get("/groups")).text

    assert "1 known" in shown
    assert "2 not read since 04:54 UTC, 1 not available then" in shown
    assert "1/3" not in shown


async def test_a_group_whose_lease_is_free_may_rest(desk: Desk) -> None:
    assert "The lease is free.</strong>" in (await desk.get("/groups/acme/pumps")).text
    resting = replace(GROUPS[1].lease, rests_until=NOW + timedelta(minutes=4))
    desk.operations.known = (replace(GROUPS[1], lease=resting),)

    shown = re.sub("<.*?>", "", (await desk.get("/groups/acme/pumps")).text)

    assert "The lease is free, and the group rests until 05:10 UTC (in 4 min)." in shown


async def test_a_body_that_is_no_form_is_refused(desk: Desk) -> None:
    reply = await desk.ask("POST", "/act/hold", json={"scope": "*"}, headers={"Origin": desk.url})

    assert (reply.status, "is not a form" in reply.text) == (400, True)


async def test_an_expected_end_is_shown_with_what_came_of_earlier_ones(desk: Desk) -> None:
    shops = [GroupId(f"acme/shop-{number}") for number in range(9)]
    desk.operations.far = {
        (Kind.AGENT, NMP): [
            GroupProgress(
                group=shop,
                members=[
                    MemberProgress(node=NodeId(f"{shop}-a"), is_gated=True, phase=Phase.ENDED_WELL if done else None)
                ],
                holder=None if done else NodeId(f"{shop}-a"),
            )
            for number, shop in enumerate(shops)
            for done in (number < 7,)
        ]
    }
    past = RolloutEnded(
        subject=PolicyId("acme/agent-2.31"),
        kind=Kind.AGENT,
        earliest=NOW - timedelta(days=2),
        latest=NOW - timedelta(days=1),
        ended_at=NOW - timedelta(hours=30),
        done=9,
        left=0,
        later=3,
        later_held=2,
    )
    released = [
        Entry(
            at=NOW - timedelta(minutes=10 * (7 - number)),
            event="lease.released",
            group=shop,
            node=NodeId(f"{shop}-a"),
            subject=NMP,
            token=1,
            facts={"cause": "succeeded", "why": "done", "held_seconds": 60.0},
            id=number + 3,
        )
        for number, shop in enumerate(shops[:7])
    ]
    begun = [replace(each, event="lease.granted", facts=ENTRY.facts) for each in released]
    desk.operations.entries = [replace(Entry.of(past, NOW), id=each) for each in (1, 2)] + begun + released

    reply = await desk.get("/rollouts/agent/acme/agent-2.32")

    assert "in four of five cases, if the pace stays as it is" in reply.text
    assert "the last 2 rollouts ended within their first interval 2 times; of 6 later estimates, 4 held" in plain(reply)
