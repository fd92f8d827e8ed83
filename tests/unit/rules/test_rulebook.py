"""What is known of each rule, in one value: its name, what passes, its codes with a way out, and what it looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NoReturn

import pytest
from msgspec import structs

from agbot.rules import reasons, rulebook
from agbot.rules.decide import Wait, decide, judge
from agbot.rules.facts import Ask, Member
from agbot.rules.group import Group, ReadTimes
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import Case, Evidence, Rule
from agbot.rules.rulebook import FINAL, RULES, UNBLOCKS
from agbot.rules.statuses import Status
from tests.support import values
from tests.support.values import ANNA, BERT, CARL, ask, case, group, member, seen_at
from tests.unit.rules.test_decide import ONE_REASON


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_every_reason_has_one_thing_that_makes_it_go_away() -> None:
    given = Counter([*reasons.UNBLOCKS, *(code for rule in RULES for code in rule.unblocks)])

    assert given == Counter(Code)
    assert all(UNBLOCKS.values())


@pytest.mark.parametrize(("question", "facts", "code"), ONE_REASON.values(), ids=ONE_REASON)
def test_a_rule_gives_its_own_codes_or_those_that_no_rule_finds(question: Ask, facts: Group, code: Code) -> None:
    (speaking,) = (rule for rule in RULES if rule.check(case(question, facts)))

    assert code in {*speaking.unblocks, *reasons.UNBLOCKS}


def test_a_final_code_is_one_that_its_rule_gives() -> None:
    assert all(rule.final <= set(rule.unblocks) for rule in RULES)
    assert {Code.NOT_A_MEMBER, Code.ORG_EXCLUDED, Code.UNKNOWN_POLICY, Code.POLICY_DISABLED} == FINAL


@pytest.mark.parametrize(("question", "facts"), [each[:2] for each in ONE_REASON.values()], ids=ONE_REASON)
def test_a_decision_is_shown_without_asking_any_rule_again(
    question: Ask, facts: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()

    def counted(rule: Rule) -> Rule:
        def check(put: Case) -> Reason | None:
            asked[rule.name] += put.ask is question
            return rule.check(put)

        return replace(rule, check=check)

    monkeypatch.setattr(rulebook, "RULES", tuple(counted(rule) for rule in RULES))

    decision = decide(case(question, facts))
    assert isinstance(decision, Wait)
    assert decision.judgement is not None
    findings = decision.judgement.findings()

    assert asked == Counter(rule.name for rule in RULES)
    assert tuple(each.reason for each in findings if each.reason) == decision.reasons
    assert [each.text for each in findings] == [
        each.reason.text if each.reason else each.rule.passes for each in findings
    ]


def test_what_a_case_derives_is_derived_once() -> None:
    derived: list[Case] = []

    def count(put: Case) -> int:
        derived.append(put)
        return len(derived)

    one, other = case(ask(), group()), case(ask(), group())

    assert [one.once(count), one.once(count), other.once(count)] == [1, 1, 2]


def test_no_evidence_is_put_together_for_a_decision_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def evidence(_case: Case) -> Evidence:
        raise AssertionError

    monkeypatch.setattr(rulebook, "RULES", tuple(replace(rule, evidence=evidence) for rule in RULES))

    assert isinstance(decide(case(ask(), group(lease=values.held()))), Wait)


def test_the_facts_carry_when_they_were_read() -> None:
    def read(name: NodeId, ago: float) -> Member:
        return replace(member(name), read_at=seen_at(ago), statuses_read_at=seen_at(2 * ago))

    reads = ReadTimes(feed=seen_at(1), asker=seen_at(2), policy=seen_at(3), rows=seen_at(4))
    facts = group(read(ANNA, 10), read(BERT, 20), read(CARL, 30), reads=reads)

    found = {each.rule.name: each.evidence.read_at for each in judge(case(ask(BERT), facts)).findings()}

    assert {name: at for name, at in found.items() if at is not None} == {
        "trust": seen_at(1),
        "member": seen_at(2),
        "policy": seen_at(3),
        "no-brake": seen_at(3),
        "no-overlap": seen_at(4),
        "agbot-known": seen_at(4),
        "no-other-upgrade": seen_at(40),
        "peers": seen_at(30),
    }


class _Unseen(dict[PolicyId, Status]):
    """The statuses of a member that must not be looked at."""

    def items(self) -> NoReturn:
        raise AssertionError


def test_no_more_peers_are_looked_at_than_the_answer_needs_and_the_holder_last() -> None:
    unseen = member(ANNA, _Unseen({values.NMP: values.status("initiated")}))
    facts = group(unseen, member(BERT), member(CARL), lease=values.held())

    decision = decide(case(ask(BERT), facts))

    assert [reason.code for reason in getattr(decision, "reasons", ())] == [Code.LEASE_HELD]
    with pytest.raises(AssertionError):
        decide(case(ask(BERT), structs.replace(facts, limits=values.limits(min_available=2))))
