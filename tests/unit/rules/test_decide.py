"""May this node upgrade now? Each rule alone, what is no reason, and all of them in their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

import pytest

from agbot.rules import lease as leases
from agbot.rules.decide import Grant, Wait, decide
from agbot.rules.facts import Ask, Policy, Row, Sight
from agbot.rules.group import Group, Rollout, Traffic
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause, Code, Reason
from agbot.rules.records import Approval, Brake, Deferral
from agbot.rules.rulebook import FINAL, RULES
from agbot.rules.window import Window
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    DEPLOYMENT,
    GROUP,
    NEW,
    NMP,
    NOW,
    OTHER_NMP,
    POLICIES,
    TTL,
    ask,
    at,
    begun,
    brake,
    busy,
    case,
    claim,
    deferral,
    doubt,
    ended,
    group,
    held,
    limits,
    member,
    policy,
    service_ask,
    status,
    suspected,
    turn,
    waiter,
    why_not,
)
from tests.unit.rules.situations import CLOSED, NOBODY, codes, everything, paused

STRANGER = NodeId("o1/stranger")
UPGRADING = member(ANNA, {NMP: status("initiated")})
APPROVAL_WANTED = limits(approval=True)


def elsewhere(where: str, revision: str = "r1") -> Brake:
    return replace(brake(revision=revision), group=GroupId(where))


def overlapping(name: NodeId, ago: float = 10) -> Group:
    """Put a group of which one member is in a service upgrade that no one could stop."""
    one = Deferral(group=GROUP, node=name, subject=DEPLOYMENT, since=NOW.wall, status="no agreement", kind=Kind.SERVICE)
    return group(member(ANNA), member(BERT), member(name, ago=ago), deferrals={name: one})


def row(node: NodeId, kind: Kind = Kind.SERVICE, subject: PolicyId = OTHER_NMP) -> Row:
    return Row(kind=kind, group=GROUP, node=node, subject=subject)


UNKNOWN = Reason(code=Code.AGBOT_UNAVAILABLE, text="it hangs")


def approval(scope: str, ago: float = 10) -> Approval:
    return Approval(scope=scope, kind=Kind.AGENT, subject=NMP, since=at(ago), by="ada", why="tested")


def revised(ago: float) -> dict[tuple[Kind, PolicyId], Policy | Sight]:
    return {(Kind.AGENT, NMP): policy(NMP, revised_at=at(ago))}


def rolled(*, unfinished: bool) -> dict[tuple[Kind, PolicyId], Rollout]:
    canary = GroupId("o1/canary")
    return {(Kind.AGENT, NMP): Rollout(started=frozenset({canary}), unfinished={canary: "rests"} if unfinished else {})}


def with_policy(question: Ask, found: object) -> Group:
    return group(policies={**POLICIES, question.subject: found})


# Each situation breaks one rule and no other: what is asked, of which group, and the code of the
# only reason.
ONE_REASON = {
    "the store cannot be trusted": (ask(), group(doubts=(doubt(),)), Code.STORE_UNAVAILABLE),
    "not a member": (ask(STRANGER), group(), Code.NOT_A_MEMBER),
    "another upgrade to finish first": (
        ask(ANNA, subject=OTHER_NMP),
        group(member(ANNA), member(BERT), deferrals={ANNA: deferral()}),
        Code.DEFERRED,
    ),
    "no such policy": (ask(), with_policy(ask(), Sight.ABSENT), Code.UNKNOWN_POLICY),
    "no such deployment policy": (service_ask(), with_policy(service_ask(), Sight.ABSENT), Code.UNKNOWN_POLICY),
    "policy disabled": (ask(), with_policy(ask(), policy(enabled=False)), Code.POLICY_DISABLED),
    "policy not read": (ask(), with_policy(ask(), Sight.UNREAD), Code.VIEW_STALE),
    "policy never heard of": (ask(), group(policies={}), Code.VIEW_STALE),
    "lease held by an agent upgrade": (ask(), group(lease=held()), Code.LEASE_HELD),
    "lease held by a service upgrade": (ask(), group(lease=held(claim(kind=Kind.SERVICE))), Code.LEASE_HELD),
    "lease held by the same node for something else": (
        ask(),
        group(lease=held(claim(BERT, subject=OTHER_NMP))),
        Code.LEASE_HELD,
    ),
    "a service asks while a member upgrades its agent": (service_ask(), group(lease=held()), Code.LEASE_HELD),
    "a service upgrade that nobody asked for is under way": (ask(), overlapping(CARL), Code.OVERLAP),
    "the same for a service": (service_ask(), overlapping(CARL), Code.OVERLAP),
    "the agbot lists an upgrade of another member": (ask(), group(rows=(row(CARL),)), Code.OVERLAP),
    "the agbot lists one while a service asks": (service_ask(), group(rows=(row(CARL),)), Code.OVERLAP),
    "the agbot lists another upgrade of the asker": (ask(), group(rows=(row(BERT),)), Code.OVERLAP),
    "the agbot lists the upgrade of somebody unknown": (ask(), group(rows=(row(STRANGER),)), Code.OVERLAP),
    "nobody knows what the agbot has begun": (ask(), group(agbot_doubt=UNKNOWN), Code.AGBOT_UNAVAILABLE),
    "lease suspect": (ask(), group(lease=suspected()), Code.LEASE_SUSPECT),
    "lease suspect and its holder offline": (
        ask(),
        group(member(ANNA, ago=900), member(BERT), member(CARL), lease=suspected()),
        Code.LEASE_SUSPECT,
    ),
    "a service asks, lease suspect, its holder alive": (service_ask(), group(lease=suspected()), Code.LEASE_SUSPECT),
    "a service asks, lease suspect, its holder not seen": (
        service_ask(),
        group(member(BERT), member(CARL), lease=suspected()),
        Code.LEASE_SUSPECT,
    ),
    "a service asks, the suspect lease is its own node's, which is offline": (
        service_ask(ANNA),
        group(member(ANNA, ago=900), member(BERT), member(CARL), lease=suspected()),
        Code.LEASE_SUSPECT,
    ),
    "a service without agreement asks, lease suspect": (
        service_ask(bound=False),
        group(member(ANNA, ago=900), member(BERT), member(CARL), lease=suspected()),
        Code.LEASE_SUSPECT,
    ),
    "the group rests after an agent upgrade": (
        ask(),
        group(lease=ended(ago=30), limits=limits(agent_soak_seconds=31)),
        Code.SOAKING,
    ),
    "the group rests after a service upgrade": (
        ask(),
        group(lease=ended(ago=59, by=claim(kind=Kind.SERVICE))),
        Code.SOAKING,
    ),
    "the upgraded member has sent no heartbeat since": (
        ask(),
        group(member(ANNA, ago=31), member(BERT), member(CARL), lease=ended(ago=30)),
        Code.SOAKING,
    ),
    "brake": (ask(), group(brakes=(brake(),)), Code.BRAKE),
    "brake on a service": (service_ask(), group(brakes=(brake(DEPLOYMENT, Kind.SERVICE),)), Code.BRAKE),
    "three groups of the organisation failed": (
        ask(),
        group(org_brakes=(elsewhere("o1/a"), elsewhere("o1/b"), elsewhere("o1/c")), org_groups=40),
        Code.ORG_BRAKE,
    ),
    "a tenth of the organisation's groups failed": (
        ask(),
        group(
            org_brakes=(elsewhere("o1/a"), elsewhere("o1/b")),
            org_groups=20,
            limits=limits(org_brake_groups=0, org_brake_percent=10.0),
        ),
        Code.ORG_BRAKE,
    ),
    "nobody has approved it": (ask(), group(limits=APPROVAL_WANTED), Code.NOT_APPROVED),
    "another group is approved": (
        ask(),
        group(limits=APPROVAL_WANTED, approvals=(approval("o1/fans"),)),
        Code.NOT_APPROVED,
    ),
    "an earlier revision is approved": (
        ask(),
        group(limits=APPROVAL_WANTED, approvals=(approval("*", ago=61),), policies=revised(ago=60)),
        Code.NOT_APPROVED,
    ),
    "the canary has not finished": (
        ask(),
        group(limits=limits(canary_percent=5.0), org_groups=20, rollouts=rolled(unfinished=True)),
        Code.CANARY,
    ),
    "the organisation is busy": (
        ask(),
        group(limits=limits(max_groups_in_org=2), traffic=Traffic(busy_in_org=2, busy_in_fleet=2)),
        Code.PACED,
    ),
    "the fleet is busy": (
        ask(),
        group(limits=limits(max_groups_in_fleet=3), traffic=Traffic(busy_in_org=0, busy_in_fleet=3)),
        Code.PACED,
    ),
    "the node is paused": (ask(), group(holds=(paused(f"node:{BERT}"),)), Code.PAUSED),
    "half of the group must stay": (
        ask(ANNA),
        group(member(ANNA), member(BERT), member(CARL, ago=301), limits=limits(min_available_percent=50.0)),
        Code.PEERS_UNAVAILABLE,
    ),
    "the fleet is paused": (ask(), group(holds=(paused(),)), Code.PAUSED),
    "the organisation is paused": (ask(), group(holds=(paused("o1"),)), Code.PAUSED),
    "the group is paused": (ask(), group(holds=(paused(GROUP, until=1),)), Code.PAUSED),
    "its workload is busy": (ask(), group(busy={BERT: busy(BERT)}), Code.NODE_BUSY),
    "outside the window": (ask(), group(limits=limits(windows=CLOSED)), Code.OUTSIDE_WINDOW),
    "peers offline": (ask(ANNA), NOBODY, Code.PEERS_UNAVAILABLE),
    "a service without agreement, peers offline": (
        ask(ANNA, Kind.SERVICE, bound=False),
        NOBODY,
        Code.PEERS_UNAVAILABLE,
    ),
    "an agent upgrade is never agreement-bound": (ask(ANNA, bound=True), NOBODY, Code.PEERS_UNAVAILABLE),
    "the only peer is past the gate without the lease": (
        ask(),
        group(UPGRADING, member(BERT)),
        Code.PEERS_UNAVAILABLE,
    ),
    "two others wanted, one there": (
        ask(ANNA),
        group(member(ANNA), member(BERT), member(CARL, ago=301), limits=limits(min_available=2)),
        Code.PEERS_UNAVAILABLE,
    ),
    "somebody's turn": (ask(), group(waiters=(waiter(CARL),), turns={BERT: turn(BERT, ago=200)}), Code.TURN),
}


# Situations that look like a reason and are none.
NO_REASON = {
    "everybody is healthy": (ask(), group()),
    "a group of one": (ask(ANNA), group(member(ANNA))),
    "a group of one wants peers": (ask(ANNA), group(member(ANNA), limits=limits(min_available=3))),
    "another subject is braked": (ask(), group(brakes=(brake(OTHER_NMP),))),
    "a deployment policy of the same name is braked": (ask(), group(brakes=(brake(NMP, Kind.SERVICE),))),
    "an earlier revision is braked": (ask(), group(brakes=(brake(revision="r0"),))),
    "two groups of the organisation failed": (
        ask(),
        group(org_brakes=(elsewhere("o1/a"), elsewhere("o1/b")), org_groups=40),
    ),
    "three groups failed with an earlier revision": (
        ask(),
        group(org_brakes=tuple(elsewhere(f"o1/{each}", revision="r0") for each in "abc"), org_groups=40),
    ),
    "no number of failed groups stops it": (
        ask(),
        group(
            org_brakes=tuple(elsewhere(f"o1/{each}") for each in "abcd"),
            org_groups=4,
            limits=limits(org_brake_groups=0),
        ),
    ),
    "the organisation is approved": (
        ask(),
        group(limits=APPROVAL_WANTED, approvals=(approval("o1"),), policies=revised(ago=60)),
    ),
    "approved after it was published": (
        ask(),
        group(limits=APPROVAL_WANTED, approvals=(approval(GROUP, ago=59),), policies=revised(ago=60)),
    ),
    "the first member has begun it": (
        ask(),
        group(limits=APPROVAL_WANTED, rollouts={(Kind.AGENT, NMP): Rollout(started=frozenset({GROUP}))}),
    ),
    "the canary has finished": (
        ask(),
        group(limits=limits(canary_percent=5.0), org_groups=20, rollouts=rolled(unfinished=False)),
    ),
    "this group is a canary": (
        ask(),
        group(limits=limits(canary_percent=10.0), org_groups=20, rollouts=rolled(unfinished=True)),
    ),
    "one group less than may be busy": (
        ask(),
        group(
            limits=limits(max_groups_in_org=3, max_groups_in_fleet=3), traffic=Traffic(busy_in_org=2, busy_in_fleet=2)
        ),
    ),
    "another node is paused": (ask(), group(holds=(paused(f"node:{ANNA}"),))),
    "another group is paused": (ask(), group(holds=(paused("o1/fans"),))),
    "another organisation is paused": (ask(), group(holds=(paused("o2"),))),
    "the pause is over": (ask(), group(holds=(paused(until=0),))),
    "one of two windows is open": (
        ask(),
        group(limits=limits(windows=(*CLOSED, Window(weekdays=frozenset({2}), opens=time(12), closes=time(13))))),
    ),
    "a service under agreement, all peers offline": (service_ask(ANNA), NOBODY),
    "a service under agreement, lease suspect, its holder offline": (
        service_ask(),
        group(member(ANNA, ago=900), member(BERT), member(CARL), lease=suspected()),
    ),
    "the rest is over and the member is back": (ask(), group(lease=ended(ago=90, by=claim(kind=Kind.SERVICE)))),
    "the rest is over and the member has left": (ask(), group(member(BERT), member(CARL), lease=ended(ago=30))),
    "nobody waits for the upgraded member for ever": (
        ask(),
        group(member(ANNA, ago=901), member(BERT), member(CARL), lease=ended(ago=900)),
    ),
    "a report of a peer's upgrade that is older than any upgrade": (
        ask(),
        group(member(ANNA, {NMP: status("initiated", ago=7201)}), member(BERT)),
    ),
    "a peer already runs what its old report asks for": (
        ask(),
        group(member(ANNA, {NMP: status("initiated")}, agent_version=NEW), member(BERT)),
    ),
    "one offline peer of two": (ask(ANNA), group(member(ANNA), member(BERT, ago=None), member(CARL))),
    "nobody else waits": (ask(), group(waiters=(waiter(BERT),), turns={BERT: turn(BERT, ago=200)})),
}


@pytest.mark.parametrize(("question", "facts", "code"), ONE_REASON.values(), ids=ONE_REASON)
def test_each_rule_alone_is_the_only_reason(question: Ask, facts: Group, code: Code) -> None:
    assert codes(decide(case(question, facts))) == [code]


@pytest.mark.parametrize(("question", "facts"), NO_REASON.values(), ids=NO_REASON)
def test_what_is_no_reason_is_granted(question: Ask, facts: Group) -> None:
    assert decide(case(question, facts)) == Grant()


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.SUCCEEDED])
def test_a_group_rests_after_success_alone(cause: Cause) -> None:
    facts = group(lease=ended(cause, ago=1), limits=limits(agent_soak_seconds=900))

    assert decide(case(ask(), facts)) == Grant()


def test_every_rule_has_a_situation_of_its_own() -> None:
    spoken = {
        rule.name for rule in RULES for question, facts, _ in ONE_REASON.values() if rule.check(case(question, facts))
    }

    assert spoken == {rule.name for rule in RULES}


def test_a_row_of_the_asker_s_own_upgrade_and_of_the_one_that_holds_the_lease_says_nothing_more() -> None:
    own = group(rows=(row(BERT, Kind.AGENT, NMP),))
    held_by_row = group(lease=held(), rows=(row(ANNA, Kind.AGENT, NMP),))

    assert decide(case(ask(BERT), own)) == Grant()
    assert codes(decide(case(ask(BERT), held_by_row))) == [Code.LEASE_HELD]


def test_an_agbot_that_hangs_keeps_no_service_waiting() -> None:
    assert decide(case(service_ask(), group(agbot_doubt=UNKNOWN))) == Grant()


def test_a_row_of_an_offline_member_keeps_no_running_service_waiting() -> None:
    listed = group(member(ANNA), member(BERT), member(CARL, ago=900), rows=(row(CARL),))

    assert decide(case(service_ask(), listed)) == Grant()
    assert Code.OVERLAP in codes(decide(case(ask(), listed)))


def test_an_overlap_on_an_offline_member_keeps_no_running_service_waiting() -> None:
    """P6; its agent may still be in the middle of it, so another agent's upgrade waits."""
    offline = overlapping(CARL, ago=900)

    assert decide(case(service_ask(), offline)) == Grant()
    assert isinstance(decide(case(ask(), offline)), Wait)


def test_all_reasons_are_given_in_the_order_of_the_rules() -> None:
    question, facts = everything()

    assert codes(decide(case(question, facts))) == [
        Code.STORE_UNAVAILABLE,
        Code.DEFERRED,
        Code.LEASE_HELD,
        Code.SOAKING,
        Code.BRAKE,
        Code.PAUSED,
        Code.OUTSIDE_WINDOW,
        Code.PEERS_UNAVAILABLE,
    ]


def test_the_order_of_the_rules_is_the_documented_one() -> None:
    assert [rule.name for rule in RULES] == [
        "trust",
        "member",
        "no-other-upgrade",
        "policy",
        "lease-free",
        "no-overlap",
        "agbot-known",
        "lease-certain",
        "rested",
        "no-brake",
        "no-org-brake",
        "not-paused",
        "window-open",
        "not-busy",
        "approved",
        "canary",
        "pace",
        "peers",
        "turn",
    ]


@pytest.mark.parametrize(("question", "facts", "code"), ONE_REASON.values(), ids=ONE_REASON)
def test_a_question_that_makes_no_sense_makes_no_one_a_waiter(question: Ask, facts: Group, code: Code) -> None:
    decision = decide(case(question, facts))

    assert isinstance(decision, Wait)
    assert decision.is_remembered is (code not in FINAL)


def test_the_holder_of_a_suspect_lease_is_not_refused_because_of_it() -> None:
    assert why_not(ask(BERT), group(lease=suspected(claim(BERT)))) == ()


def two_fell_silent(before: Cause, *, was_offline: str = "") -> Group:
    """Put a group in which Carl's service upgrade ended like this, and Anna's lease for the same is suspect."""
    by_carl, by_anna = (begun(900, was_offline=was_offline == name) for name in ("carl", "anna"))
    first = leases.release(held(claim(CARL, Kind.SERVICE), progress=by_carl), before, NOW)
    second = leases.grant(first, claim(ANNA, Kind.SERVICE), NOW, TTL, by_anna)
    return group(member(ANNA, ago=900), member(BERT), member(CARL, ago=900), lease=leases.suspect(second))


@pytest.mark.parametrize("before", [Cause.EXPIRED, Cause.SUPERSEDED])
def test_no_third_member_begins_a_release_in_which_two_have_fallen_silent(before: Cause) -> None:
    (reason,) = why_not(service_ask(), two_fell_silent(before))

    assert reason.code is Code.LEASE_SUSPECT
    assert reason.text.endswith(f"it is not known how that upgrade ended, as with {CARL} before it")


@pytest.mark.parametrize(
    "facts",
    [
        two_fell_silent(Cause.FORCED),
        two_fell_silent(Cause.EXPIRED, was_offline="carl"),
        two_fell_silent(Cause.EXPIRED, was_offline="anna"),
    ],
    ids=["a person had ended the first", "the first had been offline", "the second had been offline"],
)
def test_one_silent_member_alone_keeps_no_service_from_its_peers(facts: Group) -> None:
    assert why_not(service_ask(), facts) == ()


def test_a_suspect_lease_of_one_member_alone_names_no_other() -> None:
    (reason,) = why_not(service_ask(), group(lease=two_fell_silent(Cause.FORCED).lease))

    assert reason.text.endswith("it is not known how that upgrade ended")
