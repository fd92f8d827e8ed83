"""`agbot status`, `explain`, `leases`: what an operator reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.cli import screen
from agbot.cli.failure import Exit
from agbot.coordinator.contract import Explanation, MemberView, Overview, StuckView
from agbot.coordinator.listings import AwaitedApproval, Orders, WindowView
from agbot.delivery.receiver import Kind as SinkKind
from agbot.delivery.receiver import Receiver
from agbot.rules.ids import GroupId, NodeId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.records import Allowance, Approval, Brake, Hold
from agbot.rules.verdict import Outlook
from tests.integration.cli.conftest import Shell
from tests.integration.console.scripted import (
    ALPHA,
    BETA,
    ENTRY,
    FREE,
    GAMMA,
    GROUPS,
    HELD,
    IDLE,
    MILLS,
    NMP,
    NO_ORDERS,
    NOW,
    OVERVIEW,
    PUMPS,
    WAITING,
)


def test_the_first_line_of_an_explanation_answers_the_question(shell: Shell) -> None:
    result = shell.run("explain", "acme/beta")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == WAITING.answer


def test_an_explanation_marks_each_rule_and_names_the_way_out(shell: Shell) -> None:
    lines = shell.run("explain", "acme/beta").stdout.splitlines()

    assert [line.split()[:2] for line in lines[2:7]] == [
        ["✓", "membership"],
        ["✓", "policy"],
        ["✗", "lease"],
        ["✗", "window"],
        ["✓", "peers"],
    ]
    assert lines[4].endswith("since 2026-03-04 05:04:32Z  [lease-held]")
    assert "to go on  acme/alpha has to finish, and a maintenance window has to open" in lines
    assert "earliest  2026-03-04 22:00:00 UTC, in 16 h 53 min" in lines
    assert any(line.startswith("lease     held by acme/alpha for agent upgrade acme/agent-2.32") for line in lines)


def test_a_time_before_which_the_wait_may_end_is_the_latest(shell: Shell) -> None:
    rules = [replace(each, at_latest=each.until is not None) for each in WAITING.rules]
    shell.operations.explained[WAITING.node] = replace(WAITING, rules=rules, at_latest=True)

    lines = shell.run("explain", "acme/beta").stdout.splitlines()

    assert "latest    2026-03-04 22:00:00 UTC, in 16 h 53 min; it may be sooner" in lines
    assert "(in 16 h 53 min at the latest)" in lines[5]
    assert not any(line.startswith("earliest") for line in lines)


def test_a_rule_shows_what_it_looked_at_and_how_old_that_is(shell: Shell) -> None:
    rules = list(WAITING.rules)
    rules[1] = replace(rules[1], facts={"revision": "r7"}, age_seconds=72.4)
    rules[3] = replace(rules[3], facts={"windows": ["sat 01:00-02:00 UTC", "sun 01:00-02:00 UTC"], "none": None})
    rules[4] = replace(rules[4], age_seconds=0.2)
    shell.operations.explained[BETA] = replace(WAITING, rules=rules)

    lines = shell.run("explain", "acme/beta").stdout.splitlines()

    assert lines[3].endswith("  revision r7, read 1 min 12 s ago")
    assert lines[5].endswith("  [outside-window]  windows sat 01:00-02:00 UTC; sun 01:00-02:00 UTC")
    assert lines[6].endswith("  read 0 s ago")
    assert lines[3].index("revision r7") == lines[6].index("read 0 s ago"), "one column"
    assert lines[4].endswith("[lease-held]")


def test_status_lists_the_rows_of_the_agbot_that_are_stuck_with_their_cure(shell: Shell) -> None:
    row = StuckView(node=BETA, kind="agent", subject=NMP, defect="A1", why="it is dead", cure="curl -X DELETE 'x'")
    shell.operations.known = [replace(GROUPS[1], brakes=(), stuck=(row,))]
    shell.operations.seen = replace(OVERVIEW, stuck=1)

    out = " ".join(shell.run("status").stdout.split())

    assert "stuck 1" in out
    assert f"stuck the agbot's row of {BETA} for {NMP} (A1): it is dead; cure: curl -X DELETE 'x'" in out


@pytest.mark.parametrize(
    "words",
    [("explain", "acme/beta", "-o", "other"), ("explain", "beta", "-o", "acme"), ("explain", "-o", "acme", "beta")],
)
def test_a_node_is_named_with_or_without_its_organisation(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell.run(*words).stdout.startswith("acme/beta has been waiting")


def test_a_name_may_hold_a_slash(shell: Shell) -> None:
    """An organisation never does, so the first slash separates the two."""
    shell.operations.explained[NodeId("acme/a/b?c#d%2F")] = IDLE

    assert shell.run("explain", "acme/a/b?c#d%2F").stdout.startswith(IDLE.answer)


def test_the_organisation_may_come_from_the_environment(shell: Shell) -> None:
    assert shell.run("explain", "beta", HZN_ORG_ID="acme").stdout.startswith("acme/beta has been waiting")


@pytest.mark.parametrize("name", ["beta", "/beta", "acme/", "/"])
def test_a_name_without_an_organisation_is_wrong_usage(shell: Shell, name: str) -> None:
    result = shell.run("explain", name)

    assert result.exit_code == 2
    assert "HZN_ORG_ID" in result.stderr


def test_a_node_that_asks_for_nothing_is_answered_too(shell: Shell) -> None:
    lines = shell.run("explain", "acme/gamma").stdout.splitlines()

    assert lines[0] == "acme/gamma asks for nothing."
    assert lines[2] == "group  acme/pumps"
    assert lines[3].startswith("lease  free; acme/gamma ended")


def test_an_unknown_node_is_not_found(shell: Shell) -> None:
    result = shell.run("explain", "acme/größe @1")

    assert result.exit_code == 8
    assert result.stdout == ""
    assert "agbot: no node acme/größe @1 is known" in result.stderr
    assert "tried: GET http://127.0.0.1" in result.stderr
    assert "next: " in result.stderr


def test_json_is_the_coordinator_s_own_answer(shell: Shell) -> None:
    shown = json.loads(shell.run("explain", "acme/beta", "--json").stdout)

    assert shown["rules"][2]["code"] == "lease-held"
    assert shown["earliest"] == "2026-03-04T22:00:00Z"


def test_an_error_is_json_too_when_json_was_asked_for(shell: Shell) -> None:
    result = shell.run("explain", "acme/nobody", "--json")

    assert result.exit_code == 8
    assert json.loads(result.stdout)["error"]["exit_code"] == 8
    assert result.stderr == ""


def test_a_name_from_outside_cannot_command_the_terminal(shell: Shell) -> None:
    shell.operations.explained[BETA] = Explanation(node=BETA, group=None, answer="\x1b[2Jacme/beta \x07[bold]waits")

    assert shell.run("explain", "acme/beta").stdout.splitlines()[0] == "\ufffd[2Jacme/beta \ufffd[bold]waits"


def test_the_status_shows_the_sentence_and_what_happens(shell: Shell) -> None:
    text = shell.run("status").stdout

    assert text.startswith("ready; last cycle: 2 groups\n")
    assert "held 1, suspect 0, waiting 1, deferred 0, overlaps 0, brakes 1, holds 1" in text
    assert "bolt          0       0        403 from the Exchange" in text
    assert "acme/mills  1 of 2 members are available; 1 must stay available (min_available 1)\n" in text
    assert "missing   acme/gamma: last heartbeat 7261 s ago\n" in text
    assert "missing   acme/alpha" not in text, "the holder is shown as such"
    assert "hold      on node acme/beta, by ada: broken disk\n" in text
    waiting = (
        "acme/beta, agent upgrade acme/agent-2.32, for 1 min 20 s; when it last asked, 20 s ago: acme/alpha has been"
    )
    assert f"waiting   {waiting} upgrading" in text, "by the coordinator's clock"
    assert "[lease-held, outside-window]" in text
    assert "brake     acme/agent-2.32: failed on acme/gamma" in text


def test_the_status_says_why_nothing_is_granted(shell: Shell) -> None:
    shell.operations.unready("the Exchange cannot be reached since 05:01:00Z", "the store is locked")

    assert shell.run("status").stdout.splitlines()[:2] == [
        "NOT READY: the Exchange cannot be reached since 05:01:00Z",
        "NOT READY: the store is locked",
    ]


def test_idle_groups_are_counted_and_shown_on_demand(shell: Shell) -> None:
    shell.operations.known = (GROUPS[0], replace(GROUPS[1], brakes=()))

    text = shell.run("status").stdout
    assert "acme/pumps" not in text
    assert "idle: 1 of 2 groups (--all shows them)" in text

    assert "acme/pumps" in shell.run("status", "--all").stdout


def test_an_explanation_says_what_becomes_of_the_lease_by_itself(shell: Shell) -> None:
    ends = Outlook(then="ends as expired", at=NOW + timedelta(minutes=15), unless="unless acme/alpha sends a heartbeat")
    lease = replace(HELD, state="suspect", next=replace(ends, sets_brake=True))
    shell.operations.explained[BETA] = replace(WAITING, lease=lease)

    (line,) = [each for each in shell.run("explain", "acme/beta").stdout.splitlines() if each.startswith("by itself")]

    assert line == (
        "by itself  the lease: ends as expired in 15 min, and the brake then stops that upgrade here, "
        "unless acme/alpha sends a heartbeat"
    )


def test_a_member_that_was_not_read_counts_neither_as_available_nor_as_missing(shell: Shell) -> None:
    read_at = NOW - timedelta(minutes=8)
    unread = MemberView(node=BETA, node_type="device", available=None, read_at=read_at, was_alive=True)
    silent = replace(unread, node=ALPHA, was_alive=False, why_unavailable="last heartbeat 3 hours ago")
    known = replace(unread, node=GAMMA, available=True, read_at=NOW)
    group = replace(GROUPS[1], members=(known, unread, silent), brakes=(), required=1, required_by="min_available 1")
    shell.operations.known = (group,)

    text = shell.run("status", "acme/pumps").stdout

    moment = screen.short_moment(read_at, NOW)
    assert f"3 members, 1 available, 2 not read since {moment} (8 min ago), 1 not available then; 1 must stay" in text
    assert f"not read  acme/alpha: when it was last read, {moment}: last heartbeat 3 hours ago" in text
    assert "acme/beta" not in text
    assert shell.operations.looked_at == [PUMPS]


def test_the_status_of_an_organisation_or_a_group_shows_that_alone(shell: Shell) -> None:
    assert "acme/mills" not in shell.run("status", "acme/pumps").stdout
    assert "acme/pumps" in shell.run("status", "acme/pumps").stdout
    assert "acme/mills" in shell.run("status", "acme").stdout
    assert shell.run("status", "acme/none").exit_code == Exit.NOT_FOUND


def test_an_organisation_that_is_not_known_is_refused_with_the_nearest_name(shell: Shell) -> None:
    fleet = replace(ENTRY, event="hold.set", group=None, node=None, facts={"scope": "*"})
    shell.operations.entries = (fleet,)

    for words in (("status", "acne"), ("history", "--in", "acne")):
        result = shell.run(*words)
        assert (result.exit_code, "acne is not known (did you mean acme?)" in result.stderr) == (8, True), result.output
    assert shell.run("history", "--in", "acme").exit_code == 0
    shell.operations.entries = (replace(ENTRY, group=GroupId("acne/pumps")),)
    assert shell.run("history", "--in", "acne").exit_code == 0, "it was known"


def test_the_status_shows_so_many_groups_and_says_how_many_there_are(shell: Shell) -> None:
    text = shell.run("status", "--limit", "1").stdout

    assert "acme/pumps  " not in text
    assert "1 of 2 groups are shown: --limit, or name one\n" in text


def test_an_organisation_that_was_never_read_has_no_time_of_a_read(shell: Shell) -> None:
    shell.operations.seen = replace(OVERVIEW, orgs=[replace(OVERVIEW.orgs[0], read_at=None, failing="")])

    text = shell.run("status").stdout

    assert "not read yet\n" in text
    assert "last full read" not in text


BROKEN = Receiver(kind=SinkKind.WEBHOOK, receiver="hooks:443", confirmed=3, behind=7, error="answers 403")


@pytest.mark.parametrize(
    ("found", "problem"),
    [((), "there is no receiver\n"), ((BROKEN,), "the journal cannot be written\n")],
    ids=["none", "no journal"],
)
def test_a_test_event_that_nobody_gets_has_one_cause(found: Sequence[Receiver], problem: str, shell: Shell) -> None:
    shell.deliveries.found = found

    result = shell.act("notify", "--test")

    assert (result.exit_code, result.stderr.startswith(f"agbot: {problem}")) == (Exit.REFUSED, True), result.stderr


WELL = replace(OVERVIEW, orgs=(), brakes=0)


@pytest.mark.parametrize(
    ("seen", "receivers", "code", "stated"),
    [
        (WELL, (), Exit.OK, "ready"),
        (
            replace(WELL, never_asked=1, never_asked_named=[BETA]),
            (),
            Exit.OK,
            "1 member has never asked here: acme/beta",
        ),
        (
            replace(WELL, never_asked=1, never_asked_named=[BETA], asked_since=NOW - timedelta(minutes=5)),
            (),
            Exit.OK,
            "1 member has not asked here since the lease store was replaced 5 min ago: acme/beta: they had no upgrade since",
        ),
        (
            replace(WELL, unmatched_scopes=['[scope."acme/pumsp"] matches no HA group in acme']),
            (),
            Exit.OK,
            'A scope of the settings has no effect: [scope."acme/pumsp"] matches no HA group in acme: correct the name',
        ),
        (
            replace(WELL, bypassing=1, bypassing_named=[BETA]),
            (),
            Exit.NEEDS_A_PERSON,
            "1 member upgrades without asking",
        ),
        (
            replace(WELL, guard="fails", guard_failing="127.0.0.1/agbot: a trigger is disabled"),
            (),
            Exit.NEEDS_A_PERSON,
            "The guard does not work: 127.0.0.1/agbot: a trigger is disabled",
        ),
        (WELL, (BROKEN,), Exit.NEEDS_A_PERSON, "hooks:443 gets no events: answers 403 (7 events not delivered)"),
        (OVERVIEW, (), Exit.NEEDS_A_PERSON, "Organisation bolt cannot be read"),
        (replace(WELL, ready=False, not_ready=["the store is lost"]), (), Exit.NOTHING_GRANTED, "the store is lost"),
    ],
    ids=[
        "well",
        "never asked",
        "a new store",
        "a scope",
        "bypassing",
        "guard",
        "receiver",
        "organisation",
        "not ready",
    ],
)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_the_status_and_its_exit_code_state_what_is_wrong(
    *, shell: Shell, seen: Overview, receivers: Sequence[Receiver], code: Exit, stated: str, more: tuple[str, ...]
) -> None:
    shell.operations.seen, shell.deliveries.found = seen, receivers

    result = shell.run("status", *more)

    assert result.exit_code == code
    assert stated.partition(":")[0] in result.stdout
    assert more or stated in result.stdout


def test_what_operators_have_ordered_is_stated_and_is_no_fault(shell: Shell) -> None:
    shell.operations.seen = WELL
    allowed = Allowance(node=BETA, subject=NMP, since=NOW, until=NOW, by="ada", why="urgent")
    approved = Approval(scope="acme", kind=Kind.AGENT, subject=NMP, since=NOW, by="ada", why="tested")
    shell.operations.ordered = replace(NO_ORDERS, holds=GROUPS[0].holds, allowances=(allowed,), approvals=(approved,))

    result = shell.run("status")

    assert result.exit_code == Exit.OK
    assert result.stdout.count("Allowance of") == result.stdout.count("Approval of") == 1
    assert (
        f"Allowance of acme/beta. It may begin {NMP} once past most rules, until 2026-03-04 05:06:07Z" in result.stdout
    )
    assert f"Approval of {NMP} (agent) in organisation acme: tested (ada, 0 s ago)\n" in result.stdout
    assert "Hold on node acme/beta. No upgrade begins there, until resumed: broken disk" in result.stdout


def test_an_empty_hub_is_no_error(shell: Shell) -> None:
    shell.operations.known = ()
    shell.operations.seen = WELL

    assert shell.run("status").stdout.endswith("no HA group is known\n")
    assert shell.run("leases").stdout == "no HA group is known\n"


def test_the_status_as_json_holds_overview_and_groups(shell: Shell) -> None:
    shown = json.loads(shell.run("status", "--json").stdout)

    assert shown["ready"] is True
    assert [each["id"] for each in shown["groups"]] == ["acme/mills", "acme/pumps"]


def test_leases_are_aligned_lines_when_piped(shell: Shell) -> None:
    lines = shell.run("leases", "--all").stdout.splitlines()

    assert lines[0].split() == ["GROUP", "STATE", "TOKEN", "HOLDER", "UPGRADES", "GRANTED", "STATUS", "NEXT", "NOTE"]
    assert lines[1].split()[:4] == ["acme/mills", "held", "7", "acme/alpha"]
    assert len({line.index("acme/") for line in lines[1:]}) == 1
    assert "\x1b" not in "".join(lines)


def test_free_leases_are_left_out_unless_asked_for(shell: Shell) -> None:
    assert "acme/pumps" not in shell.run("leases").stdout

    shell.operations.known = (replace(GROUPS[0], lease=replace(FREE, group=HELD.group)),)
    assert shell.run("leases").stdout == "none of 1 leases is held\n"


def test_a_suspect_lease_says_why(shell: Shell) -> None:
    note = "acme/alpha reports initiated since 1200 s; last heartbeat 900 s ago"
    suspect = replace(HELD, state="suspect", note=note, expires_at=NOW)
    shell.operations.known = (replace(GROUPS[0], lease=suspect),)

    assert note in shell.run("leases").stdout
    assert note in shell.run("status").stdout


ORDERS = Orders(
    holds=[Hold(scope="node:acme/beta", since=NOW, by="ada", why="fair", until=NOW)],
    allowances=[Allowance(node=BETA, subject=NMP, since=NOW, until=NOW, by="ada", why="urgent")],
    approvals=[Approval(scope="*", kind=Kind.SERVICE, subject=NMP, since=NOW, by="eva", why="tested")],
    brakes=[
        Brake(
            group=MILLS, kind=Kind.AGENT, subject=NMP, revision="r1", since=NOW, cause=Cause.FAILED, node=BETA, token=7
        )
    ],
    windows=[WindowView(windows=["sat 01:00-02:00 UTC"], groups=2, example=MILLS, is_open=False, changes_at=NOW)],
)


def test_orders_lists_what_operators_have_ordered_what_is_stopped_and_the_windows(shell: Shell) -> None:
    shell.operations.ordered = ORDERS

    assert shell.run("orders").stdout.splitlines() == [
        "hold       node acme/beta until 2026-03-04 05:06:07 UTC, by ada at 2026-03-04 05:06:07 UTC: fair",
        "allowance  acme/beta, acme/agent-2.32, until 2026-03-04 05:06:07 UTC, by ada at 2026-03-04 05:06:07 UTC: urgent",
        "approval   acme/agent-2.32 (service) in the whole fleet, by eva at 2026-03-04 05:06:07 UTC: tested",
        "brake      acme/agent-2.32 (agent) in acme/mills: failed on acme/beta 0 s ago",
        "windows    sat 01:00-02:00 UTC: closed, opens 2026-03-04 05:06:07 UTC (2 groups such as acme/mills)",
    ]
    assert json.loads(shell.run("orders", "--json").stdout)["approvals"][0]["why"] == "tested"


def test_orders_lists_what_members_wait_for(shell: Shell) -> None:
    awaited = [AwaitedApproval(kind=Kind.SERVICE, subject=NMP, groups=2, example=MILLS)]
    shell.operations.ordered = replace(
        ORDERS, holds=(), allowances=(), approvals=(), brakes=(), windows=(), awaited=awaited
    )

    assert shell.run("orders").stdout.splitlines() == [
        "awaited  approval of acme/agent-2.32 (service), for which members wait in 2 groups such as acme/mills"
    ]


@pytest.mark.parametrize("command", ["leases", "orders"])
def test_what_is_shown_from_memory_says_so(shell: Shell, command: str) -> None:
    shell.operations.seen = replace(OVERVIEW, store_ok=False, store_failing="its disk is full")

    assert shell.run(command).stdout.splitlines()[0] == "This is from memory: its disk is full."


def test_an_unknown_name_is_answered_with_the_nearest(shell: Shell) -> None:
    assert "no node acme/betta is known (did you mean acme/beta?)" in shell.run("explain", "acme/betta").stderr
    shell.operations.entries = ()
    assert "(did you mean acme/mills?)" in shell.run("history", "--group", "acme/mill").stderr
