"""Stored decisions derived again: the same rules say the same, other rules are found out, and what cannot be derived is named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agbot.coordinator import decision_record
from agbot.coordinator.operators import history
from agbot.coordinator.operators.history import HistoryView
from agbot.coordinator.operators.replaying import replay
from agbot.events.event import DECISION_RECORD
from agbot.events.leases import Ending
from agbot.rules import exclusion, holds, rulebook
from agbot.rules import lease as leases
from agbot.rules import review as reviews
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import NodeType, Sight
from agbot.rules.holder import Seen
from agbot.rules.lease import Lease
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.statuses import ENDINGS, Phase
from agbot.rules.verdict import Release, Suspect
from agbot.store.contract import Entry
from tests.support import rows, values
from tests.support.values import ANNA, BERT, NOW, case, review_of


def stored(entry: Entry, number: int) -> HistoryView:
    """Return an entry as the API gives it back."""
    return history.view(replace(entry, id=number, facts=json.loads(json.dumps(dict(entry.facts)))))


def grant(number: int = 1) -> HistoryView:
    ask, group = values.ask(ANNA), values.group()
    assert decide(case(ask, group)) == Grant()
    lease = leases.grant(group.lease, ask.claim, NOW, values.TTL)
    return stored(rows.granted(lease, NOW, decision_record.write(case(ask, group))), number)


def wait(number: int = 2) -> HistoryView:
    ask, group = values.ask(BERT), values.group(lease=values.held())
    decision = decide(case(ask, group))
    assert isinstance(decision, Wait)
    entry = rows.wait_changed(replace(values.waiter(BERT), reasons=decision.reasons), NOW)
    kept = {DECISION_RECORD: decision_record.write(case(ask, group))}
    return stored(replace(entry, facts={**entry.facts, **kept}), number)


def exemption(number: int = 3) -> HistoryView:
    ask, group = values.ask(ANNA), values.group(values.member(ANNA, node_type=NodeType.CLUSTER))
    decision = decide(case(ask, group))
    assert isinstance(decision, Grant)
    assert decision.exempt is not None
    return stored(rows.exempted(ask, decision.exempt, NOW, decision_record.write(case(ask, group))), number)


UNDER_WAY = values.held(progress=values.under_way())
FAILED = values.seen(status=values.status("rollback successful"))
DEAD = (
    values.suspected(ago=5000),
    values.seen(node=values.node(ago=4000), status=values.status("downloaded", ago=4000, stamp="s1")),
)


def release(
    number: int = 10, lease: Lease = UNDER_WAY, seen: Seen = FAILED, cause: Cause = Cause.FAILED
) -> HistoryView:
    """Return the entry of a release for this cause, with these facts, whether they prove it or not."""
    record = decision_record.write_review(review_of(lease, seen))
    ending = Ending(cause=cause, why="it says so", decision_record=record)
    return stored(rows.released(lease, ending, NOW), number)


def suspicion(number: int = 11, lease: Lease | None = None, seen: Seen | None = None) -> HistoryView:
    """Return the entry of a suspicion with these facts, by themselves of a holder that has reported nothing for too long."""
    expired = values.held(ago=900, progress=values.under_way(ago=900))
    silent = values.seen(node=values.node(ago=900), status=values.status("downloaded", ago=900, stamp="s1"))
    made = review_of(lease or expired, seen or silent)
    return stored(
        rows.suspected(leases.suspect(made.lease), "it is silent", NOW, decision_record.write_review(made)), number
    )


def test_the_same_rules_say_the_same() -> None:
    found = replay([grant(), wait(), exemption(), release(), suspicion()])

    assert (found.derived, found.different, found.without_facts, found.unreadable) == (5, [], [], [])


def test_a_release_for_another_cause_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    then = [release(12), suspicion(13)]
    tomorrow = {**ENDINGS, Phase.ENDED_BADLY: Cause.RESET}
    monkeypatch.setattr("agbot.rules.review.ENDINGS", tomorrow)

    (found,) = replay(then).different

    assert (found.id, found.event, found.group, found.node) == (12, "lease.released", values.GROUP, ANNA)
    assert (found.then.answer, [(why.code, why.text) for why in found.then.reasons]) == (
        "released",
        [("failed", "it says so")],
    )
    assert (found.now.answer, [why.code for why in found.now.reasons]) == ("released", ["reset"])
    assert found.now.reasons[0].text == "o1/anna reports rollback successful"


def test_a_suspicion_that_would_be_a_release_is_found() -> None:
    (found,) = replay([suspicion(14, *DEAD)]).different

    assert (found.then.answer, found.now.answer) == ("suspected", "released")
    assert [why.code for why in found.now.reasons] == ["expired"]


@pytest.mark.parametrize(
    ("seen", "now"),
    [
        (values.seen(status=Sight.UNREAD), "kept"),
        (values.seen(status=values.status("initiated")), "renewed"),
    ],
    ids=["kept", "renewed"],
)
def test_a_lease_that_would_go_on_is_found_whether_it_was_released_or_suspected(seen: Seen, now: str) -> None:
    found = replay([release(15, seen=seen), suspicion(16, UNDER_WAY, seen)]).different

    assert [(each.then.answer, each.now.answer) for each in found] == [("released", now), ("suspected", now)]


def test_the_entries_of_these_tests_are_what_the_rules_say_of_their_facts() -> None:
    made = [decision_record.read_review(entry.facts[DECISION_RECORD]) for entry in (release(), suspicion())]

    assert [type(reviews.review(each)) for each in made] == [Release, Suspect]


def test_releases_that_no_review_made_are_counted_apart_from_those_without_facts() -> None:
    """A person may call himself as the coordinator does; what he did is `forced` all the same."""
    emitted = [
        Ending(cause=Cause.FORCED, why="it burns", who="eva"),
        Ending(cause=Cause.FORCED, why="it burns"),
        Ending(cause=Cause.SUCCEEDED, why="reported by IBM/agbot", who="IBM/agbot"),
        Ending(cause=Cause.SUPERSEDED, why="taken over by o1/bert"),
    ]
    unreviewed = [stored(rows.released(UNDER_WAY, each, NOW), number) for number, each in enumerate(emitted, 20)]
    old = [
        stored(rows.released(UNDER_WAY, Ending(cause=Cause.SUCCEEDED, why="it reports it"), NOW), 30),
        stored(rows.suspected(values.suspected(), "it is silent", NOW), 31),
    ]

    found = replay([*unreviewed, *old])

    assert (found.derived, found.unreviewed, found.without_facts) == (0, [20, 21, 22, 23], [30, 31])


def test_the_facts_of_a_review_of_nothing_are_named_and_stop_nothing() -> None:
    entry = release(17)
    kept: Any = entry.facts[DECISION_RECORD]
    free = {**kept, "lease": {"group": values.GROUP, "token": 7}}

    found = replay([replace(entry, facts={**entry.facts, DECISION_RECORD: free}), release()])

    assert (found.derived, [each.id for each in found.unreadable]) == (1, [17])
    assert "is free" in found.unreadable[0].problem


def test_a_rule_that_speaks_again_is_found_with_what_was_stated_then_and_what_is_stated_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_leap_years = replace(holds.NOT_PAUSED, check=lambda _case: Reason(code=Code.PAUSED, text="not in such a year"))

    then = [grant(7), wait(8), exemption(9)]
    monkeypatch.setattr(rulebook, "RULES", (*rulebook.RULES, no_leap_years))

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
    monkeypatch.setattr(rulebook, "RULES", tuple(rule for rule in rulebook.RULES if rule is not exclusion.LEASE_FREE))

    (found,) = replay([then]).different

    assert (found.then.answer, [why.code for why in found.then.reasons]) == ("waits", ["lease-held"])
    assert (found.now.answer, found.now.reasons) == ("granted", ())


def test_another_wording_is_no_other_decision() -> None:
    entry = wait()
    reasons: Any = [{**each, "text": "in other words"} for each in history.reasons_of(entry)]

    assert replay([replace(entry, facts={**entry.facts, "reasons": reasons})]).different == []


def test_decisions_without_facts_are_counted_and_other_entries_are_not() -> None:
    bare = stored(rows.granted(values.held(), NOW), 4)
    released = stored(rows.renewed(values.held(), "it moves", NOW), 5)

    found = replay([bare, released, grant()])

    assert (found.derived, found.without_facts) == (1, [4])


def test_facts_that_make_no_sense_are_named_with_what_is_wrong() -> None:
    entry = grant(6)

    found = replay([replace(entry, facts={**entry.facts, DECISION_RECORD: {"at": "long ago"}})])

    assert found.derived == 0
    assert [each.id for each in found.unreadable] == [6]
    assert "cannot be read" in found.unreadable[0].problem
