"""Each rule has a name, a statement and its facts; each reason has a way out."""

from __future__ import annotations

from agbot.coordinator.evidence import EVIDENCE
from agbot.coordinator.explaining import STATEMENTS, UNBLOCKS
from agbot.rules.decide import RULES
from agbot.rules.reasons import Code


def test_every_rule_has_a_name_of_its_own_and_a_statement_in_the_order_in_which_they_speak() -> None:
    assert list(STATEMENTS) == list(RULES)
    assert len({name for name, _ in STATEMENTS.values()}) == len(RULES)


def test_every_rule_says_what_it_looked_at() -> None:
    assert set(EVIDENCE) == set(RULES)


def test_every_reason_has_something_that_makes_it_go_away() -> None:
    assert set(UNBLOCKS) == set(Code)
    assert all(UNBLOCKS.values())
