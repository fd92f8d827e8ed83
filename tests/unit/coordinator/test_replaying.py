"""Stored decisions derived again: the same rules say the same, other rules are found out, and what cannot be derived is named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from agbot.coordinator import dossier, entries, history
from agbot.coordinator.dossier import Case
from agbot.coordinator.history import HistoryView
from agbot.coordinator.replaying import replay
from agbot.rules import decide as rules
from agbot.rules import lease as leases
from agbot.rules.facts import Ask, Group, NodeType
from agbot.rules.reasons import Code, Reason
from agbot.store.contract import Entry
from tests.support import values
from tests.support.values import ANNA, BERT, NOW


def stored(entry: Entry, number: int) -> HistoryView:
    """Return an entry as the API gives it back."""
    return history.view(replace(entry, id=number, facts=json.loads(json.dumps(dict(entry.facts)))))


def grant(number: int = 1) -> HistoryView:
    ask, group = values.ask(ANNA), values.group()
    assert rules.decide(ask, group, NOW) == rules.Grant()
    lease = leases.grant(group.lease, ask.claim, NOW, values.TTL)
    return stored(entries.granted(lease, NOW, dossier.kept(Case(at=NOW, ask=ask, group=group))), number)


def wait(number: int = 2) -> HistoryView:
    ask, group = values.ask(BERT), values.group(lease=values.held())
    decision = rules.decide(ask, group, NOW)
    assert isinstance(decision, rules.Wait)
    entry = entries.wait_changed(replace(values.waiter(BERT), reasons=decision.reasons), NOW)
    kept = dossier.kept(Case(at=NOW, ask=ask, group=group))
    return stored(replace(entry, facts={**entry.facts, **kept}), number)


def exemption(number: int = 3) -> HistoryView:
    ask, group = values.ask(ANNA), values.group(values.member(ANNA, node_type=NodeType.CLUSTER))
    decision = rules.decide(ask, group, NOW)
    assert isinstance(decision, rules.Grant)
    assert decision.exempt is not None
    return stored(entries.exempted(ask, decision.exempt, NOW, dossier.kept(Case(at=NOW, ask=ask, group=group))), number)


def test_the_same_rules_say_the_same() -> None:
    found = replay([grant(), wait(), exemption()])

    assert (found.derived, found.different, found.without_facts, found.unreadable) == (3, [], [], [])


def test_a_rule_that_speaks_anew_is_found_with_what_was_said_then_and_what_is_said_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_leap_years(_ask: Ask, _group: Group, _now: datetime) -> Reason | None:
        return Reason(code=Code.PAUSED, text="not in such a year")

    then = [grant(7), wait(8), exemption(9)]
    monkeypatch.setattr(rules, "RULES", (*rules.RULES, no_leap_years))

    found = replay(then)

    assert found.derived == 3
    assert [(each.id, each.event, each.group, each.node) for each in found.different] == [
        (7, "lease.granted", values.GROUP, ANNA),
        (8, "wait.changed", values.GROUP, BERT),
    ]
    assert [(each.then.answer, each.now.answer) for each in found.different] == [
        ("granted", "waits"),
        ("waits", "waits"),
    ]
    assert [[why.code for why in each.now.reasons] for each in found.different] == [
        ["paused"],
        ["lease-held", "paused"],
    ]
    assert found.different[0].now.reasons[0].text == "not in such a year"


def test_a_rule_that_no_longer_speaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    then = wait()
    monkeypatch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule is not rules.lease_held))

    (found,) = replay([then]).different

    assert (found.then.answer, [why.code for why in found.then.reasons]) == ("waits", ["lease-held"])
    assert (found.now.answer, found.now.reasons) == ("granted", ())


def test_another_wording_is_no_other_decision() -> None:
    entry = wait()
    reasons: Any = [{**each, "text": "in other words"} for each in history.reasons_of(entry)]

    assert replay([replace(entry, facts={**entry.facts, "reasons": reasons})]).different == []


def test_decisions_without_facts_are_counted_and_other_entries_are_not() -> None:
    bare = stored(entries.granted(values.held(), NOW), 4)
    released = stored(entries.renewed(values.held(), "it moves", NOW), 5)

    found = replay([bare, released, grant()])

    assert (found.derived, found.without_facts) == (1, [4])


def test_facts_that_make_no_sense_are_named_with_what_is_wrong() -> None:
    entry = grant(6)

    found = replay([replace(entry, facts={**entry.facts, dossier.KEY: {"at": "long ago"}})])

    assert found.derived == 0
    assert [each.id for each in found.unreadable] == [6]
    assert "cannot be read" in found.unreadable[0].problem
