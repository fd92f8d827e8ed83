"""What a deferral means for the node's own questions and for those of its peers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from agbot.rules.decide import Decision, Grant, Wait, decide
from agbot.rules.facts import Agreement, Member, Sight
from agbot.rules.group import Group
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause, Code
from agbot.rules.records import Deferral, Turn
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    DEPLOYMENT,
    GROUP,
    NMP,
    POLICIES,
    agreement,
    ask,
    at,
    case,
    claim,
    deferral,
    group,
    held,
    member,
    seen_at,
    service_ask,
    service_deferral,
    status,
)

OTHER_SERVICE = replace(agreement("a2"), service="o1/else")


def codes(decision: Decision) -> list[Code]:
    return [reason.code for reason in decision.reasons] if isinstance(decision, Wait) else []


def with_service_down(agreements: tuple[Agreement, ...] | Sight) -> Group:
    """Anna has joined with her service down, while Carl upgrades."""
    return group(
        member(ANNA, agreements=agreements),
        member(BERT),
        member(CARL),
        deferrals={ANNA: service_deferral()},
        lease=held(claim(CARL)),
    )


@pytest.mark.parametrize(
    "agreements",
    [(), (OTHER_SERVICE,), (agreement("a1", "2.0.0", "created"),), (agreement("a1"),), Sight.UNREAD],
    ids=["no agreement", "another service's", "starting", "running", "unread"],
)
@pytest.mark.parametrize("bound", [True, False])
def test_no_service_upgrade_begins_before_the_one_with_which_the_node_came_has_ended(
    agreements: tuple[Agreement, ...] | Sight,
    bound: bool,
) -> None:
    """Which policy takes the service down cannot be seen: the next release would slip through without the lease."""
    found = codes(decide(case(service_ask(ANNA, bound=bound), with_service_down(agreements))))

    assert found == [Code.DEFERRED, Code.LEASE_HELD]


def test_of_a_policy_that_is_not_known_no_one_knows_what_it_takes_down() -> None:
    facts = structs.replace(with_service_down(()), policies={(Kind.SERVICE, DEPLOYMENT): Sight.UNREAD})

    assert Code.DEFERRED in codes(decide(case(service_ask(ANNA), facts)))


def test_its_agent_is_not_upgraded_before_its_service_runs() -> None:
    facts = group(member(ANNA, agreements=()), member(BERT), deferrals={ANNA: service_deferral()})

    decision = decide(case(ask(ANNA), facts))

    assert isinstance(decision, Wait)
    assert [reason.text for reason in decision.reasons] == [
        "o1/anna has to finish the upgrade of its service first, which was under way when it joined"
    ]


@pytest.mark.parametrize("other", [deferral(BERT), service_deferral(BERT)], ids=["agent", "service"])
def test_a_deferred_member_is_no_available_peer(other: Deferral) -> None:
    facts = group(member(ANNA), member(BERT, {NMP: status("failed")}), deferrals={BERT: other})

    assert codes(decide(case(ask(ANNA), facts))) == [Code.PEERS_UNAVAILABLE]
    assert codes(decide(case(ask(ANNA), structs.replace(facts, deferrals={})))) == []


def test_nor_is_one_whose_agent_is_not_registered() -> None:
    facts = group(member(ANNA), member(BERT, registered=False))

    assert codes(decide(case(ask(ANNA), facts))) == [Code.PEERS_UNAVAILABLE]


@pytest.mark.parametrize(
    "peer", [member(BERT, registered=False), member(BERT, agreements=())], ids=["unregistered", "deferred"]
)
def test_neither_blocks_a_service_with_a_current_agreement(peer: Member) -> None:
    facts = group(member(ANNA), peer, deferrals={BERT: service_deferral(BERT)}, policies=POLICIES)

    assert isinstance(decide(case(service_ask(ANNA), facts)), Grant)


def test_who_lost_the_lease_with_its_report_stands_before_the_gate_when_it_asks_again() -> None:
    """The report may be that of a backup, from which the Exchange was restored."""
    judged = Turn(group=GROUP, node=ANNA, until=seen_at(300), cause=Cause.FAILED)
    facts = {"deferrals": {ANNA: deferral()}, "lease": held(claim(CARL))}

    came = decide(case(ask(ANNA), group(member(ANNA), member(BERT), member(CARL), **facts)))
    lost = decide(case(ask(ANNA), group(member(ANNA), member(BERT), member(CARL), turns={ANNA: judged}, **facts)))
    came_back = group(member(ANNA, joined_at=at(100)), member(BERT), member(CARL), turns={ANNA: judged}, **facts)

    assert isinstance(came, Grant)
    assert codes(lost) == [Code.LEASE_HELD]
    assert isinstance(decide(case(ask(ANNA), came_back)), Grant)
