"""A member whose upgrade is past the gate without the lease: when that begins, and what ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.rules import deferral as rule
from agbot.rules.facts import Member, NodeType, Sight
from agbot.rules.lease import Kind, Lease
from agbot.rules.records import Deferral
from agbot.rules.statuses import PHASES, Status
from tests.support.values import (
    ANNA,
    BERT,
    GROUP,
    LIMITS,
    NEW,
    NMP,
    NOW,
    OTHER_NMP,
    claim,
    deferral,
    ended,
    held,
    member,
    status,
    suspected,
)

PAST_THE_GATE = {"downloaded", "initiated", "rollback started"}
BUSY = member(ANNA, {NMP: status("initiated")})


def begin(who: Member, lease: Lease | None = None) -> Deferral | None:
    """Look at a member that has joined just now."""
    return rule.begin(GROUP, replace(who, joined_at=NOW.wall), lease or Lease(group=GROUP), LIMITS, NOW)


@pytest.mark.parametrize("value", [*PHASES, "unknown"])
def test_deferral_begins_only_past_the_gate(value: str) -> None:
    begun = begin(member(ANNA, {NMP: status(value)}))

    expected = Deferral(group=GROUP, node=ANNA, subject=NMP, since=NOW.wall, status=value)
    assert begun == (expected if value in PAST_THE_GATE else None)


@pytest.mark.parametrize("lease", [Lease(group=GROUP), ended(), held(claim(BERT)), suspected(claim(BERT))])
def test_deferral_begins_whoever_else_holds_the_lease(lease: Lease) -> None:
    assert begin(BUSY, lease) is not None


@pytest.mark.parametrize(
    "lease",
    [held(), suspected(), held(claim(kind=Kind.SERVICE)), held(claim(subject=OTHER_NMP))],
    ids=["held", "suspect", "for a service", "for another policy"],
)
def test_the_holder_of_the_lease_is_not_deferred(lease: Lease) -> None:
    assert begin(BUSY, lease) is None


@pytest.mark.parametrize(
    "who",
    [
        member(ANNA, {NMP: status("initiated")}, node_type=NodeType.CLUSTER),
        member(ANNA, {NMP: status("initiated")}, agent_version=NEW),
        member(ANNA, {NMP: status("initiated", ago=7201)}),
        member(ANNA),
    ],
    ids=["a cluster node", "the version is reached", "an old report", "no report"],
)
def test_nothing_is_under_way_here(who: Member) -> None:
    assert begin(who) is None


ENDS = {value: value not in PAST_THE_GATE for value in PHASES} | {"unknown": False, "failed": False}


@pytest.mark.parametrize(("value", "over"), ENDS.items())
def test_deferral_ends_on_a_report_that_says_so(*, value: str, over: bool) -> None:
    why = rule.why_ended(deferral(), member(ANNA, {NMP: status(value, ago=5)}), LIMITS, NOW)

    assert (why is not None) is over
    if why is not None:
        assert value in why


@pytest.mark.parametrize(("ago", "over"), [(119, False), (120, True), (9000, True)])
def test_failed_must_stand_through_its_grace_period(*, ago: float, over: bool) -> None:
    """Otherwise a node that failed for good could never upgrade anything else."""
    failed = member(ANNA, {NMP: status("failed", ago=ago)})

    assert (rule.why_ended(deferral(), failed, LIMITS, NOW) is not None) is over


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (Sight.ABSENT, "the node is gone"),
        (member(ANNA, {NMP: status("initiated")}, group=None), "the node has left the group"),
        (member(ANNA, {NMP: status("initiated")}, group="o1/fans"), "the node has left the group"),
        (member(ANNA), "the node no longer reports this upgrade"),
        (member(ANNA, {OTHER_NMP: status("initiated")}), "the node no longer reports this upgrade"),
        (member(ANNA, {NMP: status("initiated", ago=7201)}), "old report"),
        (member(ANNA, {NMP: status("initiated")}, agent_version=NEW), "old report"),
    ],
)
def test_deferral_ends_on_evidence(who: Member | Sight, why: str) -> None:
    assert why in (rule.why_ended(deferral(), who, LIMITS, NOW) or "")


def test_deferral_does_not_end_unseen() -> None:
    assert rule.why_ended(deferral(), Sight.UNREAD, LIMITS, NOW) is None


@pytest.mark.parametrize("value", ["initiated", "rollback started"])
def test_a_second_upgrade_under_way_does_not_end_the_first_ones_deferral(value: str) -> None:
    """An agent starts the next policy while `rollback started` stands (`reference/agbot-ha.md` 1.3)."""
    reports: dict[str, Status] = {NMP: status(value), OTHER_NMP: status("downloaded")}
    busy = member(ANNA, reports)  # type: ignore[arg-type] # the keys are policy ids

    assert rule.why_ended(deferral(subject=NMP), busy, LIMITS, NOW) is None
    assert rule.why_ended(deferral(subject=OTHER_NMP), busy, LIMITS, NOW) is None


def test_a_rollback_under_the_new_version_is_still_under_way() -> None:
    undoing = member(ANNA, {NMP: status("rollback started")}, agent_version=NEW)

    assert begin(undoing) is not None
    assert rule.why_ended(deferral(), undoing, LIMITS, NOW) is None
