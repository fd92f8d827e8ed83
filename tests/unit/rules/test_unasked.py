"""Which members are in an agent upgrade that they began without asking, and which of them are deferred instead."""

from __future__ import annotations

import pytest

from agbot.rules import deferral, unasked
from agbot.rules.facts import Member, NodeType
from agbot.rules.lease import Lease
from agbot.rules.statuses import PHASES
from tests.support.values import (
    ANNA,
    BERT,
    GROUP,
    LIMITS,
    NEW,
    NMP,
    NOW,
    OTHER_NMP,
    at,
    claim,
    ended,
    held,
    member,
    status,
    suspected,
    turn,
)

PAST_THE_GATE = {"downloaded", "initiated", "rollback started"}
FREE = Lease(group=GROUP)


@pytest.mark.parametrize("value", [*PHASES, "unknown"])
def test_who_downloads_or_waits_is_in_no_upgrade_and_who_is_past_the_gate_is(value: str) -> None:
    found = unasked.past_the_gate(member(ANNA, {NMP: status(value)}), FREE, LIMITS, NOW)

    assert found == (NMP if value in PAST_THE_GATE else None)


@pytest.mark.parametrize("lease", [FREE, ended(), held(claim(BERT)), suspected(claim(BERT))])
def test_it_is_seen_whoever_holds_the_lease(lease: Lease) -> None:
    assert unasked.past_the_gate(member(ANNA, {NMP: status("initiated")}), lease, LIMITS, NOW) == NMP


@pytest.mark.parametrize(
    "who",
    [
        member(ANNA, {NMP: status("initiated")}, node_type=NodeType.CLUSTER),
        member(ANNA, {NMP: status("initiated")}, ago=900),
        member(ANNA, {NMP: status("initiated")}, agent_version=NEW),
        member(ANNA, {NMP: status("initiated", ago=7300)}),
        member(ANNA),
    ],
    ids=["a cluster node", "silent", "at the version asked for", "an old report", "nothing reported"],
)
def test_nothing_is_believed_of_these(who: Member) -> None:
    assert unasked.past_the_gate(who, FREE, LIMITS, NOW) is None


@pytest.mark.parametrize("lease", [held(), suspected(), held(claim(subject=OTHER_NMP))])
def test_the_holder_of_the_lease_has_asked(lease: Lease) -> None:
    assert unasked.past_the_gate(member(ANNA, {NMP: status("initiated")}), lease, LIMITS, NOW) is None


def test_a_member_is_deferred_if_it_joined_with_this_report_and_not_if_it_reported_as_a_member() -> None:
    came = member(ANNA, {NMP: status("initiated", ago=60)}, joined_at=at(30))
    began = member(ANNA, {NMP: status("initiated", ago=30)}, joined_at=at(60))
    always = member(ANNA, {NMP: status("initiated", ago=30)})

    assert [deferral.begin(GROUP, who, FREE, LIMITS, NOW) is not None for who in (came, began, always)] == [
        True,
        False,
        False,
    ]


def test_a_member_whose_lease_ended_under_this_report_is_deferred_and_with_a_later_report_it_is_not() -> None:
    mark = turn(ANNA, ago=30)
    before, after = (member(ANNA, {NMP: status("initiated", ago=ago)}) for ago in (60, 10))

    assert deferral.begin(GROUP, before, ended(), LIMITS, NOW, turn=mark) is not None
    assert deferral.begin(GROUP, after, ended(), LIMITS, NOW, turn=mark) is None
