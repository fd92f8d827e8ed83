"""What an action will do, and what needs a person, in sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from msgspec.structs import replace as replace_struct

from agbot.console.answers import CoordinatorView
from agbot.console.bodies import AllowBody, ApproveBody, HoldBody, LeadBody, ReleaseBody, ResumeBody
from agbot.console.page import attention, consequences, handover
from agbot.console.page.consequences import Consequences, Facts, command_line
from agbot.console.release_safety import verdict
from agbot.coordinator.contract import Explanation, RuleView
from agbot.coordinator.listings import Orders
from agbot.rules.ids import NodeId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.records import Brake, Hold
from agbot.rules.verdict import Outlook
from tests.integration.console.scripted import ALPHA, BETA, GROUPS, MILLS, NMP, NO_ORDERS, NOW, OVERVIEW, PUMPS

HOLD = Hold(scope="acme", since=NOW, by="ada", why="trade fair")
BRAKE = Brake(
    group=PUMPS, kind=Kind.AGENT, subject=NMP, revision="1", since=NOW, cause=Cause.FAILED, node=BETA, token=3
)
ORDERS = replace(NO_ORDERS, holds=[HOLD], brakes=[BRAKE])
FACTS = Facts(now=NOW, orders=ORDERS, group=GROUPS[0], groups=1, running=1, waiting=1)


def written(found: Consequences) -> str:
    return " ".join((*found.will, *found.warnings))


def test_a_hold_says_where_until_when_and_what_goes_on() -> None:
    body = HoldBody(scope="acme", reason="x", until=NOW + timedelta(hours=2))

    found = consequences.of_hold(body, replace(FACTS, groups=7, waiting=3))

    text = written(found)
    assert "organisation acme, until 2026-03-04 07:06:07Z (in 2 h)" in text
    assert "7 groups; members wait in 3 groups" in text
    assert "1 upgrade that is under way goes on" in text
    assert "replaces the hold of ada: trade fair" in text
    assert command_line(found.command, "x") == "agbot hold acme --until 2026-03-04T07:06:07+00:00 --reason x"


def test_a_resumption_names_the_hold_that_ends_and_those_that_stay() -> None:
    other = Hold(scope="acme/mills", since=NOW, by="bob", why="y")
    facts = replace(FACTS, orders=replace(ORDERS, holds=[HOLD, other]))

    found = consequences.of_resume(ResumeBody(scope="acme", reason="x"), facts)

    assert "The hold of ada on organisation acme ends: trade fair." in written(found)
    assert "Still on hold: group acme/mills." in written(found)
    assert "Nothing: group bolt/none is not on hold." in written(
        consequences.of_resume(ResumeBody(scope="bolt/none", reason="x"), facts)
    )


def test_the_end_of_no_hold_names_those_that_stop_upgrades_there_all_the_same() -> None:
    group = consequences.of_resume(ResumeBody(scope="acme/none", reason="x"), FACTS)
    assert written(group) == "Nothing: group acme/none is not on hold itself. Still on hold: organisation acme."

    explained = Explanation(node=BETA, group=MILLS, answer="")
    holds = [Hold(scope=scope, since=NOW, by="ada", why="x") for scope in (f"node:{BETA}", MILLS, f"node:{ALPHA}")]
    facts = replace(FACTS, orders=replace(ORDERS, holds=holds), explained=explained)
    node = consequences.of_resume(ResumeBody(scope=f"node:{BETA}", reason="x"), facts)
    assert written(node).endswith(f"Still on hold: group {MILLS}.")


def test_lifting_brakes_names_what_failed_where() -> None:
    found = consequences.of_resume(ResumeBody(scope="acme", reason="x", subject=NMP), FACTS)

    assert "In acme/pumps the agent upgrade failed on beta" in written(found)
    assert found.command[-2:] == ["--subject", NMP]
    nothing = consequences.of_resume(ResumeBody(scope="bolt", reason="x", subject=NMP), FACTS)
    assert written(nothing) == f"Nothing: {NMP} is not stopped in organisation bolt."


def test_a_release_warns_how_alive_the_holder_is() -> None:
    text = written(consequences.of_release(ReleaseBody(reason="x", token=7), MILLS, FACTS))

    assert f"(token 7) is taken from {ALPHA}" in text
    assert (
        f"Not safe: {ALPHA} is alive (its last heartbeat was 20 s ago, and it reports 'initiated') and in its upgrade, "
        "so two members may be down at once."
    ) in text
    assert "beta asks for it" in text
    late = replace(FACTS, now=NOW + timedelta(hours=1))
    assert "is alive" not in written(consequences.of_release(ReleaseBody(reason="x", token=7), MILLS, late))


def test_whether_a_release_is_safe_is_stated_by_what_is_known_of_the_holder() -> None:
    ends = Outlook(then="ends as expired", at=NOW + timedelta(minutes=30), unless="unless it is back", sets_brake=True)
    lost = replace(GROUPS[0], lease=replace(GROUPS[0].lease, state="suspect", next=ends))
    unseen = replace(lost, members=())

    assert verdict(lost, NOW + timedelta(minutes=15)) == (
        f"{ALPHA} has been silent for 15 min 20 s, and it reports 'initiated'. Safe only if it is really down: if it has "
        "only lost its connection, its upgrade may go on. The lease ends by itself in 15 min, and the brake then stops "
        "that upgrade here."
    )
    assert "is alive" in verdict(lost, NOW)
    assert verdict(lost, NOW).startswith("Not known to be safe: ")
    assert verdict(unseen, NOW).startswith(f"Not known to be safe: when {ALPHA} was last alive is not known.")
    assert verdict(GROUPS[1], NOW) == ""


@pytest.mark.parametrize(
    ("codes", "helps"),
    [
        (["lease-suspect"], False),
        (["lease-held", "paused"], False),
        (["lease-held", "outside-window"], True),
        ([], False),
    ],
)
def test_an_allowance_helps_only_against_a_reason_that_it_passes(codes: list[str], helps: bool) -> None:
    assert consequences.helps_to_allow(codes) is helps


def test_a_release_of_another_token_or_a_free_lease_does_nothing() -> None:
    other = consequences.of_release(ReleaseBody(reason="x", token=6), MILLS, FACTS)
    free = consequences.of_release(ReleaseBody(reason="x"), PUMPS, replace(FACTS, group=GROUPS[1]))

    assert "Nothing: the lease has been granted again meanwhile, under token 7" in written(other)
    assert written(free) == "Nothing: no node holds the lease of acme/pumps."


def test_an_allowance_says_which_rules_it_passes_and_which_still_stop_the_node() -> None:
    rules = (
        RuleView(rule="window-open", passes=False, code="outside-window", text="no window is open"),
        RuleView(rule="not-paused", passes=False, code="paused", text="on hold by ada"),
        RuleView(rule="member", passes=True, text="it is a member"),
    )
    explained = Explanation(node=BETA, group=MILLS, answer="", rules=rules)
    body = AllowBody(node=BETA, reason="x", until=NOW.astimezone(UTC) + timedelta(days=1))

    found = consequences.of_allowance(body, replace(FACTS, explained=explained))

    assert "It goes past this: no window is open." in found.will
    assert list(found.warnings) == ["This still stops it: on hold by ada."]
    other = consequences.of_allowance(
        replace_struct(body, subject="acme/other"), replace(FACTS, explained=replace(explained, subject=NMP))
    )
    assert "no window is open" not in written(other), "these rules are about another upgrade"


def test_an_approval_says_how_many_groups_wait_for_it() -> None:
    found = consequences.of_approval(
        ApproveBody(scope="acme", subject=NMP, reason="x", kind=Kind.SERVICE), replace(FACTS, waiting=5)
    )

    assert found.will[0] == f"The service upgrade {NMP}, as it is published now, may begin in organisation acme."
    assert "Members wait for this approval in 5 groups." in found.will
    assert found.command[-1] == "--service"


def test_a_reason_is_quoted_for_the_command_line() -> None:
    body = HoldBody(scope="*", reason="it's $HOME")

    assert (
        command_line(consequences.of_hold(body, FACTS).command, body.reason)
        == """agbot hold '*' --reason 'it'"'"'s $HOME'"""
    )


ONE = CoordinatorView(
    name="one", leads=True, epoch=3, since=NOW, version="1.0", gateway_url="http://one:1", console_url="http://one:2"
)
TWO = replace(ONE, name="two", leads=False, epoch=None, since=None)
GONE = replace(TWO, name="gone", is_gone=True, seen_seconds_ago=90.0)


def handed_over(to: str | None, *known: CoordinatorView) -> Consequences:
    return handover.of_lead(LeadBody(reason="work", to=to), replace(FACTS, coordinators=known))


def test_a_handover_says_who_leads_then_and_what_goes_on() -> None:
    found = handed_over("two", ONE, TWO, GONE)

    text = written(found)
    assert "two leads instead of one, which has led since 2026-03-04 05:06:07Z." in text
    assert "Nothing is granted until two has read the leases and the Exchange" in text
    assert "1 upgrade that is under way goes on. Leases stay with their holders" in text
    assert (found.warnings, found.command) == ([], ["agbot", "lead", "two"])
    assert "two or three leads instead of one" in written(handed_over(None, ONE, TWO, replace(TWO, name="three")))


def test_a_handover_that_cannot_be_says_why() -> None:
    assert written(handed_over("gone", ONE, TWO, GONE)) == "Nothing: gone was last seen 1 min ago."
    assert written(handed_over("nix", ONE, TWO)) == "Nothing: no coordinator is called nix."
    assert written(handed_over("one", ONE, TWO)) == "Nothing: one leads already."
    assert written(handed_over(None, ONE, GONE)) == "Nothing: no other coordinator stands by."
    assert written(handed_over("two", TWO)) == "Nothing: no coordinator is known to lead."


def test_a_handover_warns_of_another_version_and_of_an_address_that_is_missing() -> None:
    text = written(handed_over("two", ONE, replace(TWO, version="1.1", gateway_url="")))

    assert "two runs version 1.1, and one version 1.0." in text
    assert "two has no [leadership] gateway_url: questions of nodes that arrive at other coordinators" in text


def test_a_coordinator_that_has_fallen_silent_is_noted_with_those_that_are_left() -> None:
    calm, nothing = replace(OVERVIEW, orgs=OVERVIEW.orgs[:1]), replace(ORDERS, holds=(), brakes=())

    (found,) = attention.items(calm, nothing, [], NOW, coordinators=(ONE, TWO, GONE))
    (alone,) = attention.items(calm, nothing, [], NOW, coordinators=(ONE, GONE))

    assert (found.level, found.title) == ("note", "Coordinator gone is gone")
    assert found.text == "It was last seen 1 min ago; 1 other stands by to take over."
    assert alone.text == "It was last seen 1 min ago; no other stands by to take over."


def test_while_the_database_cannot_be_read_no_coordinator_is_called_gone() -> None:
    calm, nothing = replace(OVERVIEW, orgs=OVERVIEW.orgs[:1]), replace(ORDERS, holds=(), brakes=())
    known = [replace(each, is_known=False, seen_seconds_ago=40.0) for each in (ONE, GONE)]

    (found,) = attention.items(calm, nothing, [], NOW, coordinators=known)

    assert found.title == "It is not known which coordinators run"
    assert found.text == "The database, in which one, gone announce themselves, was last read 40 s ago."


def test_what_needs_a_person_is_named_with_what_to_do() -> None:
    suspect = replace(GROUPS[0], lease=replace(GROUPS[0].lease, state="suspect", note="it has been silent"))
    overview = replace(
        OVERVIEW,
        suspect=5,
        bypassing=5,
        bypassing_named=[NodeId(f"acme/n{number}") for number in range(5)],
        stuck=1,
        stuck_in=[MILLS],
        overlaps=2,
        agbot_failing="refused",
    )

    found = attention.items(overview, ORDERS, [suspect], NOW)

    titles = [item.title for item in found]
    assert titles == [
        "Organisation bolt cannot be read",
        "The agbot's local API cannot be read",
        "Suspect lease in acme/mills",
        "More suspect leases",
        f"{NMP} is stopped in acme/pumps",
        "2 upgrades overlap with another one",
        "1 stuck row of the agbot",
        "5 members upgrade without asking here",
        "Hold on organisation acme",
    ]
    assert "acme/n0, acme/n1, acme/n2 and 2 more" in found[7].text
    assert found[6].text.endswith("`agbot status acme/mills` has the command that helps.")
    assert found[2].links[1].url == "/act/release?group=acme%2Fmills&token=7"


def test_a_calm_fleet_needs_no_one() -> None:
    calm = replace(OVERVIEW, orgs=OVERVIEW.orgs[:1])

    assert attention.items(calm, Orders(holds=(), allowances=(), approvals=(), brakes=(), windows=()), [], NOW) == []


def test_why_nothing_is_granted_comes_first() -> None:
    found = attention.items(replace(OVERVIEW, ready=False, not_ready=["the store is lost"]), ORDERS, [], NOW)

    assert (found[0].level, found[0].title, found[0].text) == ("bad", "Nothing is granted now", "the store is lost")
