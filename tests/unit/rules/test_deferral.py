"""A member whose upgrade is past the gate without the lease: when that begins, and what ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.rules import deferral as rule
from agbot.rules.facts import Member, NodeType, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.reasons import Cause
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
    OLD,
    OTHER_NMP,
    ask,
    at,
    claim,
    deferral,
    ended,
    held,
    member,
    node,
    service_ask,
    service_deferral,
    status,
    suspected,
    under_way,
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


CUT_OFF = replace(deferral(), cut_off=OLD)


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (member(ANNA, agent_version=NEW), f"the node runs agent version {NEW} now"),
        (member(ANNA, agent_version=OLD), None),
        (member(ANNA, agent_version=""), None),
        (member(ANNA, {NMP: status("download started")}, agent_version=OLD), None),
        (member(ANNA, {NMP: status("waiting")}, agent_version=OLD), None),
        (member(ANNA, {NMP: status("initiated")}, agent_version=OLD), None),
        (member(ANNA, {NMP: status("successful")}, agent_version=OLD), "it reports successful"),
    ],
)
def test_an_upgrade_whose_report_is_gone_ends_by_the_version_or_a_final_report(who: Member, why: str | None) -> None:
    assert rule.why_ended(CUT_OFF, who, LIMITS, NOW) == why


@pytest.mark.parametrize(("since", "over"), [(599, False), (601, True)])
def test_an_upgrade_whose_report_is_gone_ends_when_it_has_shown_nothing_for_long(since: float, over: bool) -> None:
    """No version is known that the node could leave."""
    silent = replace(CUT_OFF, cut_off="unknown", since=at(since))
    who = replace(member(ANNA, agent_version=NEW), read_at=NOW.seen)

    assert (rule.why_ended(silent, who, LIMITS, NOW) is not None) is over


def test_the_name_of_an_upgrade_whose_report_is_gone_stands_for_another_one() -> None:
    assert rule.covers(deferral(), ask(ANNA))
    assert not rule.covers(CUT_OFF, ask(ANNA))
    assert not rule.covers(deferral(), ask(ANNA, subject=OTHER_NMP))
    assert not rule.covers(service_deferral(), service_ask(ANNA))
    assert not rule.covers(replace(service_deferral(), subject=NMP), ask(ANNA)), "another kind under the same name"


def test_a_report_that_has_disappeared_is_waited_for_by_the_version_before() -> None:
    gone = member(ANNA, agent_version=OLD)

    assert rule.unreported(deferral(), gone, NOW) == replace(deferral(), since=NOW.wall, cut_off=OLD)
    nameless = rule.unreported(deferral(), member(ANNA, agent_version=""), NOW)
    assert nameless is not None
    assert nameless.cut_off == "unknown"


@pytest.mark.parametrize(
    ("deferred", "who"),
    [
        (deferral(), Sight.UNREAD),
        (deferral(), member(ANNA, group=None)),
        (deferral(), member(ANNA, {NMP: status("initiated")})),
        (CUT_OFF, member(ANNA)),
        (service_deferral(), member(ANNA)),
    ],
    ids=["unread", "it has left", "still reported", "known already", "of a service"],
)
def test_no_other_report_has_disappeared(deferred: Deferral, who: Member | Sight) -> None:
    assert rule.unreported(deferred, who, NOW) is None


@pytest.mark.parametrize("reports", [{}, {NMP: status("waiting", ago=900)}, {NMP: status("download started", ago=900)}])
@pytest.mark.parametrize(("since", "over"), [(599, False), (601, True)])
def test_what_the_agbot_lists_is_under_way_until_it_has_shown_nothing_for_long(
    reports: dict[PolicyId, Status], since: float, over: bool
) -> None:
    """The agbot let it begin a moment ago, and the node has not reported that yet."""
    deferred, who = replace(deferral(), since=at(since)), replace(member(ANNA, reports), statuses_read_at=NOW.seen)

    assert (rule.why_ended(deferred, who, LIMITS, NOW, is_listed=True) is not None) is over
    assert rule.why_ended(deferred, who, LIMITS, NOW) is not None, "without the list nothing shows it"


@pytest.mark.parametrize(("before", "runs", "cut_off"), [(OLD, NEW, OLD), ("", NEW, NEW), ("", "", "unknown")])
def test_what_is_left_behind_is_waited_for_by_the_version_before_it(before: str, runs: str, cut_off: str) -> None:
    lease = held(progress=under_way("", version_before=before))

    left = rule.left_behind(lease, Cause.POLICY_DELETED, node(agent_version=runs), NOW)

    assert left is not None
    assert (left.cut_off, left.status, left.since) == (cut_off, "nothing", NOW.wall)
    reported = rule.left_behind(held(progress=under_way("initiated")), Cause.UNREGISTERED, Sight.UNREAD, NOW)
    assert reported is not None
    assert reported.status == "initiated"
