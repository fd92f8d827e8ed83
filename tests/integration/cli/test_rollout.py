"""`agbot rollout`: what the page shows of a rollout."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from urllib.request import urlopen

import pytest

from agbot.cli.failure import Exit
from agbot.coordinator.listings import GroupProgress, MemberProgress, WaitingMember
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.records import Brake
from agbot.rules.statuses import Phase
from agbot.store.contract import Entry
from tests.integration.cli.conftest import Shell
from tests.integration.console.scripted import ALPHA, BETA, ENTRY, GAMMA, MILLS, NMP, NOW, PUMPS

BUSY, DONE = GroupId("acme/busy"), GroupId("acme/done")
DELTA = NodeId("acme/delta")


def member(node: NodeId, phase: Phase | None = None) -> MemberProgress:
    return MemberProgress(node=node, is_gated=True, phase=phase, status=phase or "")


def entry(number: int, event: str, minutes: int, **facts: object) -> Entry:
    at = NOW - timedelta(minutes=minutes)
    return Entry(
        at=at, event=event, group=DONE, node=DELTA, subject=NMP, token=1, facts=MappingProxyType(facts), id=number
    )


@pytest.fixture
def under_way(shell: Shell) -> Shell:
    """A rollout with a group of each kind that has no forecast yet."""
    waiting = WaitingMember(node=BETA, since=NOW, code="outside-window", text="no maintenance window is open")
    brake = Brake(
        group=PUMPS, revision="r1", kind=Kind.AGENT, subject=NMP, since=NOW, cause=Cause.FAILED, node=GAMMA, token=3
    )
    shell.operations.far[Kind.AGENT, NMP] = [
        GroupProgress(group=MILLS, members=[member(ALPHA)], holder=ALPHA),
        GroupProgress(group=BUSY, members=[member(BETA)], waiting=[waiting]),
        GroupProgress(group=PUMPS, members=[member(GAMMA)], brake=brake),
        GroupProgress(group=DONE, members=[member(DELTA, Phase.ENDED_WELL)]),
        GroupProgress(group=GroupId("acme/idle"), members=[member(NodeId("acme/idle"))]),
    ]
    shell.operations.entries = (
        entry(1, "lease.granted", 40, kind="agent", expires_at="2026-03-04T05:16:07.000Z"),
        entry(2, "lease.released", 10, kind="agent", cause="succeeded", why="it runs", held_seconds=1800.0),
        ENTRY,
    )
    return shell


def test_a_rollout_is_counted_by_how_far_the_groups_are(under_way: Shell) -> None:
    lines = under_way.run("rollout", "agent-2.32", "-o", "acme").stdout.splitlines()

    assert lines[0] == "acme/agent-2.32  agent upgrade, begun 40 min ago"
    assert lines[1:7] == [
        "  done      1 of 4 groups (25 %), 1 of 4 members",
        "  running   1 group",
        "  failed    1 group",
        "  waiting   1 group: 1 outside-window",
        "  others    1 of 5 groups have no member that is known to follow it",
        (
            "  end       not known: an estimate takes 5 groups that are done at a known time, and there will not be as many."
            " The one member that is done took 30 min. One member is left in a group: about 30 min, and whatever they wait for"
            " in between."
        ),
    ]
    assert "  04 Mar 05:06 |########-------               | 1 done of 2 begun" in lines
    assert "acme/busy   waiting     0/1   beta: no maintenance window is open [outside-window]" in lines
    assert [line.split()[0] for line in lines[-5:]] == [
        "acme/pumps",
        "acme/mills",
        "acme/busy",
        "acme/done",
        "acme/idle",
    ]


def test_the_list_of_rollouts_knows_as_much_of_an_end_as_the_rollout_itself(under_way: Shell) -> None:
    assert "The one member that is done took 30 min." in under_way.run("rollout").stdout


def test_the_course_of_a_rollout_has_a_line_for_each_minute_at_most(under_way: Shell) -> None:
    said = under_way.run("rollout", "agent-2.32", "-o", "acme").stdout

    minutes = re.findall(r"^ {2}\d\d \w{3} (\d\d:\d\d) +\|", said, flags=re.MULTILINE)
    assert len(minutes) > 1
    assert len(set(minutes)) == len(minutes)


def test_a_rollout_that_began_this_minute_has_no_course_yet(under_way: Shell) -> None:
    under_way.operations.entries = (entry(1, "lease.granted", 0, kind="agent", expires_at="2026-03-04T05:16:07.000Z"),)

    assert "over time" not in under_way.run("rollout", "agent-2.32", "-o", "acme").stdout


def test_groups_can_be_narrowed_to_those_that_are_so_far(under_way: Shell) -> None:
    shown = json.loads(under_way.run("rollout", "acme/agent-2.32", "--standing", "failed", "--json").stdout)

    assert [each["group"] for each in shown["groups"]] == ["acme/pumps"]
    assert "1 of 5 groups are shown" in under_way.run("rollout", "acme/agent-2.32", "--limit", "1").stdout


def test_the_page_shows_the_same_numbers(under_way: Shell) -> None:
    shown = json.loads(under_way.run("rollout", "acme/agent-2.32", "--json").stdout)["summary"]
    with urlopen(f"{under_way.url}/rollouts/agent/acme/agent-2.32", timeout=60) as reply:  # noqa: S310 - our own console
        page = reply.read().decode()

    on_page = {
        name: int(number) for name, number in re.findall(r'class="key (\w+)[^>]*><span class="number">(\d+)', page)
    }
    untouched = on_page.pop("untouched") - (shown["groups"] - shown["expected"])
    assert {**on_page, "untouched": untouched} == shown["counts"]


def test_without_a_policy_every_rollout_is_listed(under_way: Shell) -> None:
    lines = under_way.run("rollout").stdout.splitlines()

    assert lines[0].startswith("acme/agent-2.32  agent upgrade, last event 0 s ago")
    assert lines[1] == "  done      1 of 4 groups (25 %), 1 of 4 members"
    assert json.loads(under_way.run("rollout", "--json").stdout)["rollouts"][0]["running"] == 1


def test_a_list_of_rollouts_that_is_cut_says_so(shell: Shell) -> None:
    shell.operations.entries = [
        replace(ENTRY, id=number, token=number, subject=PolicyId(f"acme/p{number}")) for number in range(1, 71)
    ]

    assert "50 of 71 rollouts are shown: name one" in shell.run("rollout").stdout


def test_an_option_that_is_about_one_rollout_needs_its_policy(under_way: Shell) -> None:
    result = under_way.run("rollout", "--kind", "agent", "--limit", "3")

    assert result.exit_code == Exit.USAGE
    assert "--kind and --limit go only with a POLICY." in result.stderr
    assert "--standing goes only with a POLICY." in under_way.run("rollout", "--standing", "done").stderr


def test_a_policy_that_no_group_follows_is_not_found(shell: Shell) -> None:
    result = shell.run("rollout", "acme/agent-9")

    assert result.exit_code == Exit.NOT_FOUND
    assert "no policy acme/agent-9 is known" in result.stderr
    assert "next:  `agbot rollout` lists the rollouts" in result.stderr
