"""What a row of the agbot's own upgrades stands for, by what its node reports and what was recorded of it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.rules.facts import Agreement, Member, Node, NodeType, Policy, Row, Sight
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.rows import STUCK_AFTER, RowFacts, RowState, Standing, claim_of, defect, next_state, why_over
from agbot.rules.statuses import Status
from tests.support.values import (
    ANNA,
    DEPLOYMENT,
    GROUP,
    LIMITS,
    NEW,
    NMP,
    NOW,
    OLD,
    agreement,
    at,
    claim,
    deployment,
    held,
    member,
    node,
    policy,
    status,
)

AGENT_ROW = Row(kind=Kind.AGENT, group=GROUP, node=ANNA, subject=NMP)
ROW = Row(kind=Kind.SERVICE, group=GROUP, node=ANNA, subject=DEPLOYMENT)
OLD_ONE, NEW_ONE = agreement("a1", "1.0.0"), agreement("a2", "2.0.0")
UNUSED = Lease(group=GROUP)


def facts(
    who: Member | Sight, known: Policy | Sight | None = None, *, lease: Lease = UNUSED, overlaps: bool = False
) -> RowFacts:
    return RowFacts(member=who, policy=known or deployment("2.0.0"), lease=lease, overlaps=overlaps, limits=LIMITS)


def state(row: Row = ROW, **fields: object) -> RowState:
    default: dict[str, object] = {"not_before": at(100), "target": "2.0.0"}
    return RowState(row=row, **(default | fields))  # type: ignore[arg-type]  # fields by name


def serving(*agreements: Agreement, **fields: object) -> Member:
    return member(ANNA, agreements=agreements, **fields)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("stated", "version", "is_over"),
    [
        (status("initiated", ago=60), OLD, False),
        (status("initiated", ago=60), NEW, True),
        (status("initiated", ago=LIMITS.max_upgrade_seconds + 60), OLD, True),
        (status("rollback started", ago=60), NEW, False),
        (status("waiting", ago=60), OLD, False),
        (status("successful", ago=60), NEW, True),
    ],
    ids=["under way", "its version runs", "outlived", "going back", "before the gate", "ended"],
)
def test_a_row_of_an_agent_is_over_when_its_report_is_old_or_final(stated: Status, version: str, is_over: bool) -> None:
    who = member(ANNA, {NMP: stated}, agent_version=version)

    over = why_over(state(AGENT_ROW), claim_of(AGENT_ROW, who.node), facts(who, policy()), NOW)

    assert (over is not None) is is_over


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (facts(Sight.ABSENT), "o1/anna does not exist"),
        (facts(serving(OLD_ONE), Sight.ABSENT), "o1/flow does not exist"),
        (facts(Sight.UNREAD), None),
        (facts(serving(OLD_ONE, ago=9000)), "o1/anna is dead: last heartbeat 2 hours ago"),
        (facts(serving(OLD_ONE, ago=900)), None),
        (facts(serving(OLD_ONE, registered=False)), "o1/anna is not registered"),
        (facts(serving(OLD_ONE)), None),
        (facts(serving(NEW_ONE)), "o1/anna runs o1/flow-meter 2.0.0"),
        (facts(serving(replace(NEW_ONE, finalized=False))), None),
        (facts(serving(agreement("a2", "2.0.0", "created"))), None),
        (facts(serving(replace(NEW_ONE, service="o1/pump"))), None),
        (facts(serving(replace(NEW_ONE, version=""))), None),
        (facts(serving(agreement("a3", "3.0.0")), deployment("3.0.0")), "o1/anna runs o1/flow-meter 3.0.0"),
        (facts(serving(NEW_ONE), Sight.UNREAD), None),
        (facts(member(ANNA)), None),
    ],
)
def test_a_row_of_a_service_is_over_when_its_node_is_gone_or_runs_the_new_version(
    seen: RowFacts, why: str | None
) -> None:
    assert why_over(state(), claim(ANNA, Kind.SERVICE), seen, NOW) == why


@pytest.mark.parametrize(
    ("row", "subject"),
    [
        (ROW, DEPLOYMENT),
        (replace(ROW, subject=PolicyId("flow")), "IBM/flow"),
    ],
)
def test_the_policy_of_a_pattern_is_in_the_organisation_of_the_pattern(row: Row, subject: str) -> None:
    assert claim_of(row, node(pattern="IBM/edge")).subject == subject


@pytest.mark.parametrize("known", [Sight.UNREAD, node()])
def test_a_policy_without_an_organisation_and_a_pattern_is_in_that_of_the_node(known: Node | Sight) -> None:
    assert claim_of(replace(ROW, node=NodeId("o2/dora"), subject=PolicyId("flow")), known).subject == "o2/flow"


def test_a_row_is_waited_for_while_its_upgrade_goes_on_and_until_it_is_deleted_or_stuck() -> None:
    waited_for = {each: replace(state(), standing=each).is_waited_for for each in Standing}
    ended_here = {each: replace(state(), standing=each, has_ended_here=True).is_waited_for for each in Standing}

    assert waited_for == {
        Standing.FOREIGN: False,
        Standing.UNDER_WAY: True,
        Standing.OVER: True,
        Standing.STUCK: False,
    }
    assert [each for each, waits in ended_here.items() if waits] == [Standing.UNDER_WAY]


@pytest.mark.parametrize(
    ("who", "standing"),
    [
        (serving(OLD_ONE), Standing.UNDER_WAY),
        (serving(NEW_ONE), Standing.OVER),
        (serving(OLD_ONE, group="o1/fans"), Standing.FOREIGN),
        (serving(OLD_ONE, node_type=NodeType.CLUSTER), Standing.FOREIGN),
        (Sight.UNREAD, Standing.UNDER_WAY),
        (Sight.ABSENT, Standing.OVER),
    ],
)
def test_a_row_stands_for_what_its_node_shows(who: Member | Sight, standing: Standing) -> None:
    assert next_state(state(), facts(who), NOW).standing is standing


def test_a_row_that_stays_after_the_end_is_stuck_after_a_while() -> None:
    over = next_state(state(), facts(serving(NEW_ONE)), NOW)
    just = next_state(over, facts(serving(NEW_ONE)), NOW + STUCK_AFTER - timedelta(seconds=1))
    stuck = next_state(just, facts(serving(NEW_ONE)), NOW + STUCK_AFTER)

    assert [each.standing for each in (over, just, stuck)] == [Standing.OVER, Standing.OVER, Standing.STUCK]
    assert {each.over_since for each in (over, just, stuck)} == {NOW.seen}


def test_the_version_that_ends_a_row_is_that_of_the_first_read_too() -> None:
    """W2: a policy that is published again has another top version."""
    first = next_state(state(target=""), facts(serving(OLD_ONE)), NOW)
    again = next_state(first, facts(serving(NEW_ONE), deployment("3.0.0")), NOW)

    assert (first.target, again.target, again.standing) == ("2.0.0", "2.0.0", Standing.OVER)
    assert next_state(state(target=""), facts(serving(OLD_ONE), Sight.UNREAD), NOW).target == ""


@pytest.mark.parametrize(
    "recorded",
    [facts(serving(OLD_ONE), lease=held(claim(ANNA, Kind.SERVICE))), facts(serving(OLD_ONE), overlaps=True)],
    ids=["by a lease", "as an overlap"],
)
def test_a_row_whose_record_has_ended_here_is_waited_for_again_only_when_its_node_reports_something_else(
    recorded: RowFacts,
) -> None:
    known = next_state(state(), recorded, NOW)
    ended = next_state(known, facts(serving(OLD_ONE)), NOW)
    same = next_state(ended, facts(serving(OLD_ONE)), NOW)
    unread = next_state(ended, facts(Sight.UNREAD), NOW)
    other = next_state(ended, facts(serving(agreement("a7", "1.0.0"))), NOW)

    assert (known.is_recorded, known.is_waited_for) == (True, True)
    assert (ended.is_recorded, ended.is_waited_for, ended.standing) == (False, False, Standing.OVER)
    assert not same.is_waited_for
    assert not unread.is_waited_for, "unknown is no change"
    assert (other.is_waited_for, other.standing, other.over_since) == (True, Standing.UNDER_WAY, None)


def test_a_row_of_an_agent_is_waited_for_again_when_its_report_changes() -> None:
    def reporting(stamp: str) -> RowFacts:
        return facts(member(ANNA, {NMP: status("initiated", stamp=stamp)}), policy())

    known = next_state(state(AGENT_ROW), replace(reporting("s1"), lease=held()), NOW)
    ended = next_state(known, reporting("s1"), NOW)

    assert not next_state(ended, reporting("s1"), NOW).is_waited_for
    assert next_state(ended, reporting("s2"), NOW).is_waited_for


def defect_of(row: Row, seen: RowFacts) -> str:
    return defect(state(row), claim_of(row, Sight.UNREAD), seen, NOW)[0]


REPORTS: Mapping[str, Mapping[PolicyId, Status]] = {
    "initiated": {NMP: status("initiated", ago=60)},
    "successful": {NMP: status("successful", ago=60)},
    "lost": {NMP: status("initiated", ago=9000)},
}


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (facts(Sight.ABSENT, policy()), "A2"),
        (facts(member(ANNA, REPORTS["initiated"]), Sight.ABSENT), "A3"),
        (facts(member(ANNA), policy()), "A3"),
        (facts(member(ANNA, REPORTS["initiated"], registered=False), policy()), "A3"),
        (facts(Sight.UNREAD, policy()), "A3"),
        (facts(member(ANNA, REPORTS["initiated"], ago=900), policy()), "A1"),
        (facts(member(ANNA, REPORTS["lost"]), policy()), "A7"),
        (facts(member(ANNA, REPORTS["successful"]), policy()), ""),
        (facts(member(ANNA, REPORTS["initiated"]), policy()), ""),
    ],
)
def test_the_defect_that_leaves_a_row_of_an_agent_is_known_by_its_number(seen: RowFacts, name: str) -> None:
    assert defect_of(AGENT_ROW, seen) == name


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (facts(serving(OLD_ONE), Sight.ABSENT), ""),
        (facts(Sight.UNREAD), "W1"),
        (facts(serving(OLD_ONE, ago=900)), "W1"),
        (facts(serving()), "W1"),
        (facts(serving(replace(OLD_ONE, finalized=False))), "W1"),
        (facts(serving(agreement("a1", "1.0.0", "exited"))), "W1"),
        (facts(serving(NEW_ONE)), "W2"),
        (facts(serving(OLD_ONE, NEW_ONE)), "W2"),
        (facts(serving(OLD_ONE)), "W3"),
    ],
)
def test_the_defect_that_leaves_a_row_of_a_service_is_known_by_its_number(seen: RowFacts, name: str) -> None:
    assert defect_of(ROW, seen) == name


def test_why_a_row_stays_is_stated() -> None:
    def why(row: Row, seen: RowFacts) -> str:
        return defect(state(row), claim_of(row, Sight.UNREAD), seen, NOW)[1]

    assert why(AGENT_ROW, facts(member(ANNA), policy())) == f"o1/anna has no status for {NMP}"
    assert why(AGENT_ROW, facts(member(ANNA, REPORTS["initiated"]), policy())) == "o1/anna reports initiated"
    assert why(AGENT_ROW, facts(member(ANNA, REPORTS["lost"]), policy())) == "o1/anna has an old report, initiated"
    assert why(ROW, facts(serving())) == "o1/anna has no agreement for it that runs"
    assert why(ROW, facts(serving(OLD_ONE))) == "o1/anna runs o1/flow-meter 1.0.0, not 2.0.0"
