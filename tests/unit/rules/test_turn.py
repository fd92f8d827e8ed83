"""No one is served twice while another waits who could be served now."""

from __future__ import annotations

import pytest

from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Sight
from agbot.rules.lease import Kind
from agbot.rules.order import still_asks
from agbot.rules.reasons import Cause, Code
from agbot.rules.records import Turn, Waiter
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    NMP,
    NOW,
    OTHER_NMP,
    POLICIES,
    ask,
    brake,
    case,
    group,
    limits,
    member,
    service_ask,
    turn,
    waiter,
)


def goes(who: str, waiters: tuple[Waiter, ...], before: tuple[Turn, ...], **facts: object) -> bool:
    """Whether this node is granted; the only reason that may keep it is its turn."""
    names = {"anna": ANNA, "bert": BERT, "carl": CARL}
    decision = decide(
        case(ask(names[who]), group(waiters=waiters, turns={each.node: each for each in before}, **facts))
    )
    if isinstance(decision, Wait):
        assert [reason.code for reason in decision.reasons] == [Code.TURN]
    return isinstance(decision, Grant)


def test_a_free_lease_goes_to_whoever_asks_first_although_another_has_waited_longer() -> None:
    assert goes("anna", (waiter(BERT, since=3000),), ())


def test_whoever_was_served_while_another_waited_yields_to_it() -> None:
    waiting = (waiter(BERT, since=300),)

    assert not goes("anna", waiting, (turn(ANNA, ago=300),))
    assert goes("bert", waiting, (turn(ANNA, ago=300),))


def test_whoever_was_served_before_another_began_to_wait_yields_to_no_one() -> None:
    assert goes("anna", (waiter(BERT, since=300),), (turn(ANNA, ago=301),))


def test_the_reason_names_who_goes_first() -> None:
    facts = group(waiters=(waiter(BERT, since=300),), turns={ANNA: turn(ANNA, ago=10)})

    decision = decide(case(ask(ANNA), facts))

    assert isinstance(decision, Wait)
    assert decision.reasons[0].facts == {"waiter": BERT, "order": "asked"}
    assert BERT in decision.reasons[0].text


def test_of_two_that_were_served_the_one_whose_turn_is_longer_ago_goes() -> None:
    waiting = (waiter(ANNA, since=900), waiter(BERT, since=900))
    before = (turn(ANNA, ago=500), turn(BERT, ago=400))

    assert goes("anna", waiting, before)
    assert not goes("bert", waiting, before)


@pytest.mark.parametrize(("asked", "there"), [(180, True), (181, False)])
def test_a_waiter_that_was_silent_for_three_periods_is_gone(*, asked: float, there: bool) -> None:
    silent = waiter(BERT, since=900, asked=asked)

    assert still_asks(silent, group(), NOW) is there
    assert goes("anna", (silent,), (turn(ANNA, ago=100),)) is not there


def test_the_period_is_the_operators() -> None:
    assert still_asks(waiter(asked=900), group(limits=limits(ask_period_seconds=300)), NOW)


@pytest.mark.parametrize(
    "facts",
    [
        {"members": (member(ANNA), member(CARL))},
        {"brakes": (brake(OTHER_NMP),)},
        {"policies": {**POLICIES, (Kind.AGENT, OTHER_NMP): Sight.ABSENT}},
        {"policies": {**POLICIES, (Kind.AGENT, OTHER_NMP): Sight.UNREAD}},
    ],
    ids=["has left the group", "is stopped by a brake", "its policy is gone", "its policy has not been read"],
)
def test_no_one_yields_to_one_who_could_not_go_anyway(facts: dict[str, object]) -> None:
    members = facts.pop("members", (member(ANNA), member(BERT), member(CARL)))
    stuck = waiter(BERT, since=900, question=ask(BERT, subject=OTHER_NMP))
    whole = group(*members, waiters=(stuck,), turns={ANNA: turn(ANNA, ago=100)}, **facts)  # type: ignore[misc] # a tuple

    assert decide(case(ask(ANNA), whole)) == Grant()


def test_a_node_does_not_yield_to_itself() -> None:
    other_question = waiter(ANNA, since=900, question=ask(ANNA, subject=OTHER_NMP))

    assert goes("anna", (other_question,), (turn(ANNA, ago=100),))


def test_a_node_whose_claim_meant_nothing_goes_behind_all_others() -> None:
    waiting = (waiter(BERT, since=10), waiter(CARL, since=10))
    before = (turn(ANNA, ago=5000, cause=Cause.UNCONFIRMED), turn(BERT, ago=20))

    assert not goes("anna", waiting, before)
    assert goes("bert", waiting, before)
    assert goes("carl", waiting, before)


def test_a_service_upgrade_waits_for_its_turn_as_well() -> None:
    facts = group(waiters=(waiter(BERT, since=900),), turns={ANNA: turn(ANNA, ago=100)})

    decision = decide(case(service_ask(ANNA), facts))

    assert isinstance(decision, Wait)
    assert [reason.code for reason in decision.reasons] == [Code.TURN]


def test_an_agent_upgrade_blocked_by_its_peers_does_not_hold_a_service_upgrade_up() -> None:
    """Bert's agent upgrade waits for peers.

    Anna's service has an agreement and was served meanwhile.
    """
    facts = group(
        member(ANNA, ago=999),
        member(BERT),
        member(CARL, ago=999),
        waiters=(waiter(BERT, since=900),),
        turns={ANNA: turn(ANNA, ago=100)},
    )

    assert decide(case(service_ask(ANNA), facts)) == Grant()
    assert NMP in facts.waiters[0].ask.claim.subject
