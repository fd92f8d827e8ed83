"""What a row of the agbot for an agent's upgrade still reports, by what its node reports."""

from __future__ import annotations

import pytest

from agbot.rules.facts import Row
from agbot.rules.lease import Kind, Lease
from agbot.rules.rows import RowFacts, RowState, claim_of, why_over
from agbot.rules.statuses import Status
from tests.support.values import ANNA, GROUP, LIMITS, NEW, NMP, NOW, OLD, at, member, status

ROW = Row(kind=Kind.AGENT, group=GROUP, node=ANNA, subject=NMP)


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
    facts = RowFacts(member=who, policy=None, lease=Lease(group=GROUP), overlaps=False, limits=LIMITS)  # type: ignore[arg-type]  # not looked at
    state = RowState(row=ROW, not_before=at(100))

    assert (why_over(state, claim_of(ROW, who.node), facts, NOW) is not None) is is_over
