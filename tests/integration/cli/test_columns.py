"""At 80 columns no word of a list is broken, and nothing is left out, however long the names are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from rich.cells import cell_len

from agbot.coordinator.contract import BrakeView, Explanation, OrgView, RuleView, StuckView
from agbot.coordinator.listings import GroupProgress, MemberProgress, WaitingMember, WindowView
from agbot.delivery.receiver import Kind as SinkKind
from agbot.delivery.receiver import Receiver
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code, Reason
from agbot.rules.records import Allowance, Hold
from agbot.rules.verdict import Outlook
from tests.integration.cli.conftest import Shell
from tests.integration.console.scripted import ENTRY, FREE, GROUPS, HELD, NO_ORDERS, NOW, OVERVIEW

COLUMNS = 80
ORG = "north-western-region"
GROUP = GroupId(f"{ORG}/pumping-station-in-the-lower-meadow-by-the-river")
OTHER = GroupId(f"{ORG}/pumping-station-on-the-upper-meadow-by-the-spring")
HOLDER = NodeId(f"{ORG}/controller-of-the-first-pump-0001")
WAITER = NodeId(f"{ORG}/controller-of-the-second-pump-0002")
POLICY = PolicyId(f"{ORG}/agent-2.32.0-of-the-spring-release")
WHY = f"{HOLDER} has been upgrading {POLICY} since 2026-03-04 05:04:32Z, and größer geht es nicht 汉字"
REASONS = (
    Reason(code=Code.LEASE_HELD, text=WHY, facts=MappingProxyType({})),
    Reason(code=Code.OUTSIDE_WINDOW, text="no maintenance window is open", until=NOW + timedelta(hours=16)),
)
NEXT = Outlook(then="suspect", at=NOW + timedelta(minutes=9), unless=f"unless renewed by a new report of {HOLDER}")
LEASE = replace(HELD, group=GROUP, holder=HOLDER, subject=POLICY, what=POLICY, next=NEXT, note=f"odd: {WHY}")
HOLD = Hold(scope=f"node:{WAITER}", since=NOW, by="ada@the-machine-of-the-night-shift", why="broken disk, " * 9)


@pytest.fixture
def long_names(shell: Shell) -> Shell:
    operations = shell.operations
    waiting = replace(GROUPS[0].waiting[0], node=WAITER, subject=POLICY, reasons=REASONS)
    stuck = StuckView(node=WAITER, kind="agent", subject=POLICY, defect="A1", why=WHY, cure="curl -X DELETE 'x'")
    members = [replace(each, node=node) for each, node in zip(GROUPS[0].members, (HOLDER, WAITER), strict=True)]
    busy = replace(GROUPS[0], id=GROUP, lease=LEASE, waiting=(waiting,), members=members, stuck=(stuck,), holds=(HOLD,))
    brake = BrakeView(subject=POLICY, since=NOW, cause="failed", node=HOLDER)
    ended = replace(FREE, group=OTHER, last_holder=HOLDER, last_subject=POLICY, last_detail=WHY)
    operations.known = (busy, replace(GROUPS[1], id=OTHER, lease=ended, brakes=(brake,)))
    orgs = (OrgView(org=ORG, groups=2, members=4, read_at=None, failing=f"403 from the Exchange: {WHY}"),)
    operations.seen = replace(OVERVIEW, orgs=orgs, sentence=f"{WHY}; 2 groups")
    allowed = Allowance(node=WAITER, subject=POLICY, since=NOW, until=NOW, by=HOLD.by, why=WHY)
    window = WindowView(
        windows=("sat,sun 22:00-04:00 Europe/Berlin",) * 3, groups=1, example=GROUP, is_open=True, changes_at=NOW
    )
    operations.ordered = replace(NO_ORDERS, holds=(HOLD,), allowances=(allowed,), windows=(window,))
    rules = (
        RuleView(rule="lease", passes=False, code="lease-held", text=WHY, facts={"holder": HOLDER}, age_seconds=3.0),
        RuleView(rule="no-other-upgrade", passes=True, text="the node has no other upgrade of its own under way"),
    )
    operations.explained[WAITER] = Explanation(
        node=WAITER, group=GROUP, answer=WHY, subject=POLICY, kind="agent", since=NOW, rules=rules, lease=LEASE,
        unblock=f"wait for {HOLDER}, or `agbot release {GROUP} --token 7 --reason …`", earliest=NOW + timedelta(hours=3),
    )  # fmt: skip
    operations.entries = (replace(ENTRY, group=GROUP, node=HOLDER, subject=POLICY),)
    wait = WaitingMember(node=WAITER, since=NOW, code="lease-held", text=WHY)
    operations.far[Kind.AGENT, POLICY] = [
        GroupProgress(group=GROUP, members=[MemberProgress(node=WAITER, is_gated=True)], waiting=[wait]),
        GroupProgress(group=OTHER, members=[MemberProgress(node=HOLDER, is_gated=True)], holder=HOLDER),
    ]
    shell.deliveries.found = (
        Receiver(kind=SinkKind.WEBHOOK, receiver="hooks.example.com:443", confirmed=3, behind=7, error=WHY),
    )
    return shell


@pytest.mark.parametrize("columns", range(60, 110, 2))
def test_a_table_is_drawn_only_where_all_of_it_fits(shell: Shell, columns: int) -> None:
    drawn = plain(shell.run("leases", "--all", COLUMNS=str(columns), FORCE_COLOR="1").stdout)

    assert "…" not in drawn
    assert max(cell_len(line.rstrip()) for line in drawn.splitlines()) <= columns


def test_what_a_rule_has_looked_at_is_below_it_where_it_does_not_fit_beside_it(long_names: Shell) -> None:
    shown = plain(long_names.run("explain", WAITER, COLUMNS=str(COLUMNS), FORCE_COLOR="1").stdout)

    assert re.search(r"\[lease-held\] *\n {20,24}holder *\n", shown)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def words(text: str) -> set[str]:
    return {word for word in text.lower().split() if not set(word) <= {"─"}}


@pytest.mark.parametrize(
    "command",
    [
        ("status", "--all"),
        ("status", GROUP),
        ("leases", "--all"),
        ("explain", WAITER),
        ("history",),
        ("rollout",),
        ("rollout", POLICY),
        ("orders",),
        ("shadow",),
        ("notify",),
    ],
    ids=" ".join,
)
def test_a_line_has_80_columns_and_every_word_of_the_whole_text(long_names: Shell, command: tuple[str, ...]) -> None:
    whole = long_names.run(*command).stdout
    shown = plain(long_names.run(*command, COLUMNS=str(COLUMNS), FORCE_COLOR="1").stdout)

    assert max(cell_len(line.rstrip()) for line in whole.splitlines()) > COLUMNS, "else it tests nothing"
    assert [line for line in shown.splitlines() if cell_len(line.rstrip()) > COLUMNS] == []
    assert words(shown) - words(whole) == set(), "pieces of words"
    headings = words(" ".join(whole.splitlines()[:1]))
    assert words(whole) - words(shown) - headings == set(), "left out"
