"""The page in a bad hour: without its store, in shadow mode, with more than fits, and with names made to mislead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from jinja2 import meta

from agbot.console.page import rendering
from agbot.coordinator.contract import Explanation, MemberView, OrgView, RuleView, WaitView
from agbot.coordinator.listings import GroupProgress, MemberProgress
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Brake, Hold
from agbot.rules.statuses import Phase
from agbot.store.contract import Entry, JournalQuery, StoreUnavailableError
from tests.integration.console.conftest import Desk, Reply
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
from tests.support.hostile import HOSTILE

OF_MEMORY = ("/", "/rollouts", "/rollouts/agent/acme/agent-2.32", "/groups", "/groups/acme/mills", "/nodes/acme/beta")
OTHER = PolicyId("acme/agent-2.33")


def words_of(reply: Reply) -> str:
    """Return the text of a view without its tags, each space once."""
    return " ".join(re.sub("<[^>]*>", " ", reply.text).split())


@pytest.mark.parametrize("view", [*OF_MEMORY, "/orders", "/coordinators"])
async def test_while_the_store_cannot_be_read_every_view_of_memory_is_shown_and_says_so(desk: Desk, view: str) -> None:
    why = "the lease store has not been read since it failed: no connection"
    desk.operations.outcome = StoreUnavailableError("no connection")
    desk.operations.seen = replace(
        desk.operations.seen, store_ok=False, store_failing=why, ready=False, not_ready=("the store is gone",)
    )

    reply = await desk.get(view)

    assert reply.status == 200, reply.text
    assert f"This is from memory: {why}." in words_of(reply)
    desk.operations.seen = replace(desk.operations.seen, not_ready=(why,))
    assert (f"Nothing is granted now: {why}. This is from memory." in words_of(await desk.get(view))) == (view != "/")
    assert ("Nothing is granted now: the store is gone." in words_of(reply)) == (view != "/"), "there it comes first"
    assert 'hx-sse:connect="/v1/events"' in reply.text, "it becomes live by itself"
    if view in {"/", "/groups/acme/mills", "/nodes/acme/beta"}:
        assert "The journal cannot be read: no connection." in words_of(reply)
        assert "Nothing has happened yet" not in words_of(reply)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        *((view, "Nothing has happened yet.") for view in ("/", "/journal", "/groups/acme/pumps", "/nodes/acme/gamma")),
        ("/journal?since=3600", "Nothing of this has happened."),
        ("/groups/acme/pumps", "No member has upgraded, as far as the journal goes back."),
        ("/rollouts", "acme/agent-2.32"),
        ("/orders", "Nothing is on hold."),
    ],
)
async def test_on_the_first_day_a_view_without_any_entry_of_the_journal_is_shown(
    desk: Desk, view: str, words: str
) -> None:
    """Those of the fleet, and of every group and node that had never upgraded, were unforeseen errors."""
    desk.operations.entries = ()
    reply = await desk.get(view)
    assert (reply.status, words in words_of(reply)) == (200, True), reply.text

    desk.operations.known, desk.operations.seen = (), replace(desk.operations.seen, orgs=())
    for other in ("/", "/rollouts", "/groups", "/orders", "/journal", "/coordinators"):
        assert (await desk.get(other)).status == 200, other


async def test_a_view_is_never_older_than_the_event_from_which_it_goes_on(desk: Desk) -> None:
    """What happens while it is collected comes as an event, so that it is read again."""

    async def happens_meanwhile(query: JournalQuery) -> Sequence[Entry]:
        if query != JournalQuery(limit=1):
            desk.operations.entries = [replace(ENTRY, id=42), ENTRY]
        return desk.operations.entries[: query.limit]

    desk.operations.book = happens_meanwhile

    assert 'hx-sse:connect="/v1/events?after=41"' in (await desk.get("/groups/acme/mills")).text


async def test_in_shadow_mode_no_view_says_that_upgrades_may_begin(desk: Desk) -> None:
    desk.operations.seen = replace(desk.operations.seen, mode="shadow")

    for view in ("/", "/groups/acme/mills", "/act/hold?scope=*&reason=x&step=confirm"):
        assert "Shadow mode: nothing is granted here." in words_of(await desk.get(view)), view
    assert "upgrades may begin" not in words_of(await desk.get("/"))


async def test_while_the_whole_fleet_is_on_hold_the_first_sentence_says_so(desk: Desk) -> None:
    assert "Ready: upgrades may begin" in (await desk.get("/")).text
    desk.operations.ordered = replace(NO_ORDERS, holds=[Hold(scope="*", since=NOW, by="ada", why="fair", until=None)])

    assert "Ready, but the whole fleet is on hold" in (await desk.get("/")).text


async def test_a_node_that_waits_for_two_upgrades_has_the_reasons_of_each(desk: Desk) -> None:
    """The coordinator explains a node by the upgrade that it has asked about last."""
    reason = Reason(code=Code.BRAKE, text="acme/agent-2.33 has failed on acme/alpha")
    other = WaitView(node=BETA, kind="agent", subject=OTHER, since=NOW, asked_at=NOW, reasons=(reason,))
    desk.operations.known = (replace(GROUPS[0], waiting=(*GROUPS[0].waiting, other)),)

    text = (await desk.get("/groups/acme/mills")).text
    first, second = text.partition(f'id="waiter-acme/beta-agent-{OTHER}"')[::2]

    assert "has been upgrading acme/agent-2.32" in first
    assert "has failed on acme/alpha" in second.partition("</li>\n")[0]
    assert "has been upgrading" not in second
    assert f"/act/resume?scope=acme%2Fmills&amp;subject={OTHER.replace('/', '%2F')}" in second


async def test_the_rules_of_a_node_are_judged_after_the_look_at_its_group(desk: Desk) -> None:
    def look() -> None:
        rules = (RuleView(rule="peers", passes=True, text="1 of 1 other members is available, as just read"),)
        desk.operations.explained[BETA] = replace(WAITING, rules=rules)

    desk.operations.look = look

    assert "as just read" in (await desk.get("/nodes/acme/beta")).text


async def test_a_page_of_a_table_that_has_become_shorter_is_its_last_one(desk: Desk) -> None:
    desk.operations.known = [replace(GROUPS[1], id=GroupId(f"acme/g{number:03}")) for number in range(70)]

    for view in ("/groups?offset=500", "/groups?offset=70", "/groups?offset=50"):
        shown = words_of(await desk.get(view))
        assert "51 to 70 of 70" in shown, view
        assert "No group matches" not in shown
    desk.operations.known = ()
    assert "No group matches" in words_of(await desk.get("/groups?offset=50"))


async def test_groups_and_journal_of_an_organisation_that_is_not_known_are_not_just_empty(desk: Desk) -> None:
    desk.operations.entries = ()

    for view in ("/groups", "/journal"):
        reply = await desk.get(f"{view}?org=acmee")
        assert (reply.status, "Organisation acmee is not known (did you mean acme?)" in words_of(reply)) == (
            404,
            True,
        ), reply.text
        assert "elsewhere is not among those" in words_of(await desk.get(f"{view}?org=elsewhere"))
        assert (await desk.get(f"{view}?org=")).status == 200


async def test_a_list_that_is_cut_says_so(desk: Desk) -> None:
    def brake(number: int) -> Brake:
        return Brake(
            group=GroupId(f"acme/g{number:04}"),
            kind=Kind.AGENT,
            subject=PolicyId(f"acme/p{number:04}"),
            revision="",
            since=NOW - timedelta(seconds=number),
            cause=Cause.FAILED,
            node=ALPHA,
            token=1,
        )

    desk.operations.ordered = replace(NO_ORDERS, brakes=[brake(number) for number in range(2_999, -1, -1)])

    orders, fleet = await desk.get("/orders"), await desk.get("/")

    assert orders.text.count('<tr id="brake-') == 100
    assert 'id="brake-acme/g0000-' in orders.text, "the latest come first"
    assert "The first 100 of 3,000; agbot orders lists all" in words_of(orders)
    assert fleet.text.count('class="item bad"') == 20
    assert "And 2,981 more: agbot status lists all." in words_of(fleet)


async def test_a_list_of_rollouts_says_how_many_there_are(desk: Desk) -> None:
    desk.operations.far = {(Kind.AGENT, PolicyId(f"acme/p{number:03}")): () for number in range(70)}
    desk.operations.entries = [
        replace(ENTRY, id=number, subject=PolicyId(f"acme/p{number:03}"), token=number) for number in range(70, 0, -1)
    ]

    page, listed = await desk.get("/rollouts"), (await desk.get("/v1/rollouts")).json

    assert len(listed["rollouts"]) == 50
    assert listed["total"] > 70 - 1
    assert f"The first 50 of {listed['total']} rollouts." in words_of(page)


async def test_an_exchange_that_is_down_is_not_one_item_for_each_organisation(desk: Desk) -> None:
    orgs = [OrgView(org=f"o{number:03}", groups=1, members=2, read_at=None, failing="503") for number in range(300)]
    desk.operations.seen = replace(desk.operations.seen, orgs=orgs)

    titles = [each["title"] for each in (await desk.get("/v1/status")).json["attention"]]

    assert titles[:4] == [
        "Organisation o000 cannot be read",
        "Organisation o001 cannot be read",
        "Organisation o002 cannot be read",
        "297 more organisations cannot be read",
    ]
    assert len(titles) < 8


@pytest.mark.parametrize("kind", [each for each in HOSTILE if each != "is half a pair"])
async def test_a_name_does_nothing_to_the_text_around_it(desk: Desk, kind: str) -> None:
    evil = HOSTILE[kind]
    group, node, policy = GroupId(f"acme/g{evil}"), NodeId(f"acme/n{evil}"), PolicyId(f"acme/p{evil}")
    lease = replace(GROUPS[0].lease, group=group, holder=node, subject=policy, what=policy, status=f"s{evil}")
    member = MemberView(node=node, node_type="device", available=False, why_unavailable=f"w{evil}", read_at=NOW)
    desk.operations.known = (replace(GROUPS[0], id=group, lease=lease, members=(member,)),)
    desk.operations.explained[node] = Explanation(node=node, group=group, answer=f"{node} is on hold: x{evil}.")
    desk.operations.entries = [replace(ENTRY, group=group, node=node, subject=policy, who=f"w{evil}")]
    desk.operations.far[Kind.AGENT, policy] = [
        GroupProgress(group=group, members=[MemberProgress(node=node, is_gated=True)], holder=node)
    ]

    for view in ("/", "/rollouts", "/groups", "/journal"):
        reply = await desk.get(view)
        assert reply.status == 200
        assert {each for each in reply.text if not each.isprintable()} <= {"\n"}, view


async def test_a_form_sends_a_name_as_it_was_given(desk: Desk) -> None:
    name = "acme/g\u202ex"
    desk.operations.known = (replace(GROUPS[0], id=GroupId(name)),)

    shown = await desk.get("/act/release", params={"group": name, "reason": "x", "step": "confirm"})

    assert f'name="group" value="{name}"' in shown.text
    assert "acme/g\\u202ex" in words_of(shown)


async def test_a_mistyped_address_is_answered_in_words_to_a_browser_alone(desk: Desk) -> None:
    browser = await desk.get("/grops", headers={"Accept": "text/html,*/*"})
    program = await desk.get("/grops")
    api = await desk.get("/v1/grops", headers={"Accept": "text/html,*/*"})

    assert (browser.status, "there is no such path" in browser.text.lower()) == (404, True)
    assert browser.headers["Content-Type"].startswith("text/html")
    assert program.json is not None
    assert api.json is not None


async def test_only_a_file_of_this_program_is_kept_under_its_address(desk: Desk) -> None:
    """A leader of another version, which cannot be asked just now, has another content at that address."""
    own = rendering._file_url("page.css")  # noqa: SLF001 - as a page refers to it

    assert "immutable" in (await desk.get(own)).headers["Cache-Control"]
    other = await desk.get("/static/page.css?v=of-another-version")
    assert (other.status, other.headers["Cache-Control"]) == (200, "no-store")


async def test_a_summary_that_took_no_time_is_not_shown_again_after_an_event(desk: Desk) -> None:
    members = [MemberProgress(node=ALPHA, is_gated=True)]
    rollout = "/rollouts/agent/acme/agent-2.32?standing=running"
    desk.operations.far[Kind.AGENT, NMP] = [GroupProgress(group=MILLS, members=members, holder=ALPHA)]
    assert f'id="row-{MILLS}"' in (await desk.get(rollout)).text
    desk.operations.far[Kind.AGENT, NMP] = [GroupProgress(group=PUMPS, members=members, holder=GAMMA)]

    later = [(await desk.get(rollout)).text for _ in range(5)]

    assert any(f'id="row-{PUMPS}"' in text for text in later)


async def test_a_hold_of_a_node_that_is_upgrading_says_that_its_upgrade_goes_on(desk: Desk) -> None:
    desk.operations.explained[ALPHA] = replace(WAITING, node=ALPHA, rules=())

    confirmed = [(await desk.get(f"/act/hold?scope=node:{node}&reason=x&step=confirm")).text for node in (ALPHA, BETA)]

    assert "1 upgrade that is under way goes on." in confirmed[0]
    assert "No upgrade is under way there." in confirmed[1]


async def test_while_the_exchange_cannot_be_read_an_idle_group_is_not_the_reason_why_members_are_not_known(
    desk: Desk,
) -> None:
    unread = MemberView(node=GAMMA, node_type="device", available=None, read_at=NOW - timedelta(hours=2))
    desk.operations.known = (replace(GROUPS[1], members=(unread,)),)
    assert "Nothing happens in this group" in words_of(await desk.get("/groups/acme/pumps"))

    desk.operations.seen = replace(desk.operations.seen, view_ok=False)

    shown = words_of(await desk.get("/groups/acme/pumps"))
    assert "Nothing happens in this group" not in shown
    assert "The Exchange cannot be read now, so it is not known who is." in shown


async def test_while_nothing_is_granted_no_end_of_a_rollout_is_expected(desk: Desk) -> None:
    shops = [GroupId(f"acme/shop-{number}") for number in range(9)]
    nodes = [NodeId(f"{shop}-a") for shop in shops]
    phases = [Phase.ENDED_WELL if number < 7 else None for number in range(9)]
    desk.operations.far[Kind.AGENT, NMP] = [
        GroupProgress(
            group=shop,
            members=[MemberProgress(node=node, is_gated=True, phase=phase)],
            holder=None if phase else node,
        )
        for shop, node, phase in zip(shops, nodes, phases, strict=True)
    ]
    ended = {"cause": "succeeded", "why": "done", "held_seconds": 60.0}
    begun = [
        replace(ENTRY, group=shop, node=node, at=NOW - timedelta(minutes=90 - 10 * number), id=number + 1)
        for number, (shop, node) in enumerate(zip(shops[:7], nodes, strict=False))
    ]
    done = [replace(each, event="lease.released", facts=ended, id=each.id + 10) for each in begun]
    desk.operations.entries = begun + done
    assert (await desk.get("/v1/rollouts/acme/agent-2.32")).json["end"]["likely"]

    desk.operations.unready("the Exchange has not been read for hours")

    end = (await desk.get("/v1/rollouts")).json["rollouts"][0]["end"]
    assert (end["likely"], end["why"]) == (None, "nothing is granted at present")


def test_what_templates_share_needs_nothing_that_a_view_may_lack() -> None:
    """A name that is missing is an error, and only in the branch that uses it."""
    templates = rendering._environment()  # noqa: SLF001 - nothing public has the templates
    assert templates.loader is not None

    for shared in ("macros.html", "leaders.html"):
        source, _, _ = templates.loader.get_source(templates, shared)
        assert (
            meta.find_undeclared_variables(templates.parse(source)) - {*templates.globals, "now", "own_name"} == set()
        ), "page() has these"


async def test_only_the_view_of_windows_looks_through_all_groups_for_them(desk: Desk) -> None:
    for view in ("/", "/groups", "/groups/acme/mills", "/act/hold?scope=*&reason=x&step=confirm"):
        await desk.get(view)
    assert desk.operations.windows_read == 0

    await desk.get("/orders")
    assert desk.operations.windows_read == 1
