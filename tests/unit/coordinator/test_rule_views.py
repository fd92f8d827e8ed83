"""Each rule has a name, a statement and its facts; each reason has a way out."""

from __future__ import annotations

from dataclasses import replace

from agbot.coordinator.evidence import EVIDENCE
from agbot.coordinator.explaining import STATEMENTS, UNBLOCKS, _unblock
from agbot.rules.decide import RULES
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.reasons import Code
from tests.support import values


def test_every_rule_has_a_name_of_its_own_and_a_statement_in_the_order_in_which_they_speak() -> None:
    assert list(STATEMENTS) == list(RULES)
    assert len({name for name, _ in STATEMENTS.values()}) == len(RULES)


def test_every_rule_says_what_it_looked_at() -> None:
    assert set(EVIDENCE) == set(RULES)


def test_every_reason_has_something_that_makes_it_go_away() -> None:
    assert set(UNBLOCKS) == set(Code)
    assert all(UNBLOCKS.values())


def test_the_names_in_what_lets_a_node_go_are_put_in_as_they_are() -> None:
    lease = replace(values.held(token=7), group=GroupId("o1/POLICY-ORG"))

    said = _unblock(Code.BRAKE, PolicyId("o1/TOKEN"), lease)

    assert said.endswith("`agbot resume o1/POLICY-ORG --subject o1/TOKEN --reason …`")
    assert "release o1/POLICY-ORG --token 7 --reason" in _unblock(Code.LEASE_SUSPECT, PolicyId("o1/p"), lease)
