"""How far a group is, by one word, and a rollout in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agbot.console.page.chronicle import Outcome
from agbot.console.page.standing import Standing, stand, summarise
from agbot.coordinator.listings import GroupProgress, MemberProgress, WaitingMember
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.rules.records import Brake
from agbot.rules.statuses import PHASES, Phase

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
GROUP = GroupId("o1/g1")
ONE, TWO = NodeId("o1/n1"), NodeId("o1/n2")
BRAKE = Brake(
    group=GROUP,
    kind=Kind.AGENT,
    subject=PolicyId("o1/p"),
    revision="1",
    since=NOW,
    cause=Cause.FAILED,
    node=ONE,
    token=1,
)
WAITING = WaitingMember(node=TWO, since=NOW, code="lease-held", text="o1/n1 upgrades")


def member(node: NodeId, status: str = "", *, is_gated: bool = True) -> MemberProgress:
    return MemberProgress(node=node, is_gated=is_gated, status=status, phase=PHASES.get(status))


def group(*statuses: str) -> GroupProgress:
    return GroupProgress(
        group=GROUP, members=[member(node, each) for node, each in zip((ONE, TWO), statuses, strict=True)]
    )


def ended(cause: Cause = Cause.SUCCEEDED, ago: float = 60.0) -> Outcome:
    return Outcome(NOW - timedelta(seconds=ago), cause)


@pytest.mark.parametrize(
    ("statuses", "standing"),
    [
        (("", ""), Standing.UNTOUCHED),
        (("waiting", "waiting"), Standing.UNTOUCHED),
        (("download started", "waiting"), Standing.PARTLY),
        (("successful", "waiting"), Standing.PARTLY),
        (("successful", "no action required"), Standing.DONE),
        (("successful", "rollback successful"), Standing.FAILED),
        (("successful", "failed"), Standing.FAILED),
    ],
)
def test_what_members_report_says_how_far_a_quiet_group_is(statuses: tuple[str, str], standing: Standing) -> None:
    assert stand(group(*statuses), {}).standing is standing


@pytest.mark.parametrize(
    ("facts", "standing"),
    [
        (replace(group("initiated", "waiting"), holder=ONE), Standing.RUNNING),
        (replace(group("initiated", "waiting"), holder=ONE, is_suspect=True), Standing.SUSPECT),
        (replace(group("successful", "ha node waiting"), waiting=[WAITING]), Standing.WAITING),
        (replace(group("successful", "failed"), waiting=[WAITING]), Standing.WAITING),
        (replace(group("failed", "ha node waiting"), waiting=[WAITING], brake=BRAKE), Standing.FAILED),
    ],
)
def test_what_the_coordinator_has_decided_goes_before_reports(facts: GroupProgress, standing: Standing) -> None:
    assert stand(facts, {}).standing is standing


@pytest.mark.parametrize(
    ("outcomes", "standing"),
    [
        ({}, Standing.UNTOUCHED),
        ({ONE: ended()}, Standing.PARTLY),
        ({ONE: ended(), TWO: ended(Cause.NOTHING_TO_DO)}, Standing.DONE),
        ({ONE: ended(), TWO: ended(Cause.UNCONFIRMED)}, Standing.PARTLY),
    ],
)
def test_the_journal_decides_where_no_status_is_known(outcomes: Mapping[NodeId, Outcome], standing: Standing) -> None:
    assert stand(group("", ""), outcomes).standing is standing


def test_a_new_status_goes_before_an_old_success() -> None:
    assert stand(group("waiting", "successful"), {ONE: ended(), TWO: ended()}).standing is Standing.PARTLY


def test_an_end_from_before_the_present_revision_does_not_count() -> None:
    outcomes = {ONE: ended(ago=600), TWO: ended(ago=10)}

    found = stand(group("", ""), outcomes, revised_at=NOW - timedelta(seconds=60))

    assert (found.standing, found.done) == (Standing.PARTLY, 1)


def test_cluster_nodes_do_not_keep_a_group_from_being_done() -> None:
    facts = GroupProgress(group=GROUP, members=[member(ONE, "successful"), member(TWO, is_gated=False)])

    assert stand(facts, {}).standing is Standing.DONE
    assert stand(facts, {}).members == 1


def test_a_group_is_done_when_its_last_member_was() -> None:
    found = stand(group("successful", "successful"), {ONE: ended(ago=90), TWO: ended(ago=30)})

    assert found.done_at == NOW - timedelta(seconds=30)


def test_every_phase_of_a_status_has_a_standing() -> None:
    for phase in Phase:
        facts = GroupProgress(group=GROUP, members=[MemberProgress(node=ONE, is_gated=True, status="x", phase=phase)])

        assert stand(facts, {}).standing in Standing


def test_groups_in_which_no_member_follows_the_policy_are_counted_apart() -> None:
    found = summarise(
        stand(each, {}) for each in (group("successful", "successful"), group("waiting", "waiting"), group("", ""))
    )

    assert (found.groups, found.expected) == (3, 2)
    assert found.counts[Standing.UNTOUCHED] == 2
    assert found.expected_counts[Standing.UNTOUCHED] == 1
    assert (found.members_done, found.members) == (2, 4)


def test_waiting_groups_are_counted_by_their_first_reason() -> None:
    other = replace(WAITING, code="outside-window")
    facts = [replace(group("", "ha node waiting"), waiting=[each, WAITING]) for each in (other, other, WAITING)]

    assert summarise(stand(each, {}) for each in facts).reasons == {"outside-window": 2, "lease-held": 1}
