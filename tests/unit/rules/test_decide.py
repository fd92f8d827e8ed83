"""May this node upgrade now? Each rule alone, all of them together, and the answers that are not a plain yes or no."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta

import pytest

from agbot.rules import decide as rules
from agbot.rules.decide import RULES, Decision, Grant, Wait, decide, why_not
from agbot.rules.facts import (
    Approval,
    Ask,
    Brake,
    Deferral,
    Group,
    NodeType,
    Pause,
    Policy,
    Rollout,
    Row,
    Sight,
    Traffic,
)
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import End, Kind
from agbot.rules.reasons import NEVER_REMEMBERED, Cause, Code, Reason
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
    OLD,
    OTHER_NMP,
    POLICIES,
    ask,
    at,
    brake,
    claim,
    deferral,
    doubt,
    ended,
    group,
    held,
    limits,
    member,
    policy,
    served,
    service_ask,
    status,
    suspected,
    under_way,
    waiter,
)

STRANGER = NodeId("o1/stranger")
CLOSED = (Window(weekdays=frozenset({2}), opens=time(13), closes=time(14)),)
NOBODY = group(member(ANNA), member(BERT, ago=9000), member(CARL, ago=None))
UPGRADING = member(ANNA, {NMP: status("initiated")})


def paused(scope: str = "*", until: float | None = None) -> Pause:
    return Pause(scope=scope, since=at(900), by="eva", why="fair", until=None if until is None else at(-until))


APPROVAL_WANTED = limits(approval=True)


def fallen(name: NodeId, cause: Cause = Cause.SUPERSEDED, revision: str = "r1") -> End:
    """Build the end of a service upgrade of this release, before the present hold."""
    return End(claim=claim(name, Kind.SERVICE), token=6, cause=cause, at=at(1000), revision=revision)


def elsewhere(where: str, revision: str = "r1") -> Brake:
    return replace(brake(revision=revision), group=GroupId(where))


def overlapping(name: NodeId, ago: float = 10) -> Group:
    """Put a group of which one member is in a service upgrade that nobody could stop."""
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


# Each situation breaks one rule and no other: what is asked, of which group, and the code of the only reason.
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
    "the node is paused": (ask(), group(pauses=(paused(f"node:{BERT}"),)), Code.PAUSED),
    "half of the group must stay": (
        ask(ANNA),
        group(member(ANNA), member(BERT), member(CARL, ago=301), limits=limits(min_available_percent=50.0)),
        Code.PEERS_UNAVAILABLE,
    ),
    "the fleet is paused": (ask(), group(pauses=(paused(),)), Code.PAUSED),
    "the organisation is paused": (ask(), group(pauses=(paused("o1"),)), Code.PAUSED),
    "the group is paused": (ask(), group(pauses=(paused(GROUP, until=1),)), Code.PAUSED),
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
    "somebody's turn": (ask(), group(waiters=(waiter(CARL),), served={BERT: served(BERT, ago=200)}), Code.TURN),
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
    "another node is paused": (ask(), group(pauses=(paused(f"node:{ANNA}"),))),
    "another group is paused": (ask(), group(pauses=(paused("o1/fans"),))),
    "another organisation is paused": (ask(), group(pauses=(paused("o2"),))),
    "the pause is over": (ask(), group(pauses=(paused(until=0),))),
    "one of two windows is open": (
        ask(),
        group(limits=limits(windows=(*CLOSED, Window(weekdays=frozenset({2}), opens=time(12), closes=time(13))))),
    ),
    "a service under agreement, all peers offline": (service_ask(ANNA), NOBODY),
    "a service under agreement, lease suspect, its holder offline": (
        service_ask(),
        group(member(ANNA, ago=900), member(BERT), member(CARL), lease=suspected()),
    ),
    "the rest is over and the member is back": (ask(), group(lease=ended(ago=60, by=claim(kind=Kind.SERVICE)))),
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
    "nobody else waits": (ask(), group(waiters=(waiter(BERT),), served={BERT: served(BERT, ago=200)})),
}


def codes(decision: Decision) -> list[Code]:
    assert isinstance(decision, Wait)
    return [reason.code for reason in decision.reasons]


@pytest.mark.parametrize(("question", "facts", "code"), ONE_REASON.values(), ids=ONE_REASON)
def test_each_rule_alone_is_the_only_reason(question: Ask, facts: Group, code: Code) -> None:
    assert codes(decide(question, facts, NOW)) == [code]


@pytest.mark.parametrize(("question", "facts"), NO_REASON.values(), ids=NO_REASON)
def test_what_is_no_reason_is_granted(question: Ask, facts: Group) -> None:
    assert decide(question, facts, NOW) == Grant()


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.SUCCEEDED])
def test_a_group_rests_after_success_alone(cause: Cause) -> None:
    facts = group(lease=ended(cause, ago=1), limits=limits(agent_soak_seconds=900))

    assert decide(ask(), facts, NOW) == Grant()


def test_every_rule_has_a_situation_of_its_own() -> None:
    spoken = {
        rule.__name__ for rule in RULES for question, facts, _ in ONE_REASON.values() if rule(question, facts, NOW)
    }

    assert spoken == {rule.__name__ for rule in RULES}


def test_a_row_of_the_asker_s_own_upgrade_and_of_the_one_that_holds_the_lease_says_nothing_more() -> None:
    own = group(rows=(row(BERT, Kind.AGENT, NMP),))
    held_by_row = group(lease=held(), rows=(row(ANNA, Kind.AGENT, NMP),))

    assert decide(ask(BERT), own, NOW) == Grant()
    assert codes(decide(ask(BERT), held_by_row, NOW)) == [Code.LEASE_HELD]


def test_an_agbot_that_hangs_keeps_no_service_waiting() -> None:
    assert decide(service_ask(), group(agbot_doubt=UNKNOWN), NOW) == Grant()


def test_a_row_of_an_offline_member_keeps_no_running_service_waiting() -> None:
    listed = group(member(ANNA), member(BERT), member(CARL, ago=900), rows=(row(CARL),))

    assert decide(service_ask(), listed, NOW) == Grant()
    assert Code.OVERLAP in codes(decide(ask(), listed, NOW))


def test_an_overlap_on_an_offline_member_keeps_no_running_service_waiting() -> None:
    """P6; its agent may still be in the middle of it, so another agent's upgrade waits."""
    offline = overlapping(CARL, ago=900)

    assert decide(service_ask(), offline, NOW) == Grant()
    assert isinstance(decide(ask(), offline, NOW), Wait)


def everything() -> tuple[Ask, Group]:
    """Put a question against which every rule speaks that can speak at the same time."""
    facts = group(
        member(ANNA, ago=900),
        member(BERT, ago=900),
        member(CARL, ago=900),
        doubts=(doubt(), doubt(Code.VIEW_STALE)),
        deferrals={BERT: deferral(BERT, OTHER_NMP)},
        lease=replace(held(), last_end=ended(ago=1, by=claim(CARL)).last_end),
        brakes=(brake(),),
        pauses=(paused(),),
        limits=limits(windows=CLOSED, agent_soak_seconds=60),
    )
    return ask(), facts


def test_all_reasons_are_given_in_the_order_of_the_rules() -> None:
    question, facts = everything()

    assert codes(decide(question, facts, NOW)) == [
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
    assert [rule.__name__ for rule in RULES] == [
        "doubt",
        "not_a_member",
        "deferred",
        "unknown_policy",
        "lease_held",
        "overlap",
        "agbot_unavailable",
        "lease_suspect",
        "soaking",
        "brake",
        "org_brake",
        "paused",
        "outside_window",
        "not_approved",
        "canary",
        "paced",
        "peers_unavailable",
        "turn",
    ]


@pytest.mark.parametrize(("question", "facts", "code"), ONE_REASON.values(), ids=ONE_REASON)
def test_a_question_that_makes_no_sense_makes_nobody_a_waiter(question: Ask, facts: Group, code: Code) -> None:
    decision = decide(question, facts, NOW)

    assert isinstance(decision, Wait)
    assert decision.is_remembered is (code not in NEVER_REMEMBERED)


@pytest.mark.parametrize("lease", [held(claim(BERT)), suspected(claim(BERT))], ids=["held", "suspect"])
def test_the_holder_gets_the_same_yes_again_whatever_has_come_up_since(lease: object) -> None:
    _, facts = everything()

    assert decide(ask(), replace(facts, lease=lease), NOW) == Grant(repeated=True)  # type: ignore[arg-type] # a lease


def test_a_holder_of_a_store_that_was_replaced_gets_its_yes_again_only_where_nothing_speaks_against_it() -> None:
    lease = held(claim(BERT))
    now, replaced = group(lease=lease), group(lease=lease, token_floor=lease.token)
    doubtful = Reason(code=Code.STORE_CHANGED, text="an older copy")

    assert decide(ask(), replaced, NOW) == Grant(repeated=True)
    assert codes(decide(ask(), replace(replaced, doubts=(doubtful,)), NOW)) == [Code.STORE_CHANGED]
    assert codes(decide(ask(), replace(replaced, pauses=(paused(),)), NOW)) == [Code.PAUSED]
    assert decide(ask(), replace(now, pauses=(paused(),)), NOW) == Grant(repeated=True)


@pytest.mark.parametrize(
    "facts",
    [
        group(member(ANNA), member(CARL), lease=held(claim(BERT))),
        group(lease=held(claim(BERT)), policies={(Kind.AGENT, NMP): Sight.ABSENT}),
        group(lease=held(claim(BERT)), policies={(Kind.AGENT, NMP): policy(enabled=False)}),
    ],
    ids=["left the group", "policy gone", "policy disabled"],
)
def test_a_holder_that_may_not_ask_at_all_gets_no_yes_again(facts: Group) -> None:
    assert isinstance(decide(ask(), facts, NOW), Wait)


BUSY = group(member(ANNA), member(BERT, node_type=NodeType.CLUSTER), member(CARL), lease=held(), brakes=(brake(),))


def test_a_cluster_node_goes_without_a_lease_although_another_holds_it() -> None:
    decision = decide(ask(), BUSY, NOW)

    assert isinstance(decision, Grant)
    assert decision.exempt is not None
    assert decision.exempt.code is Code.CLUSTER_NODE


def test_a_deferred_node_goes_on_with_the_upgrade_it_came_with() -> None:
    facts = group(lease=held(claim(CARL)), deferrals={ANNA: deferral()}, pauses=(paused(),))

    decision = decide(ask(ANNA), facts, NOW)

    assert isinstance(decision, Grant)
    assert decision.exempt is not None
    assert decision.exempt.code is Code.DEFERRED


def test_a_deferral_exempts_no_service_of_the_same_name() -> None:
    question = ask(ANNA, Kind.SERVICE, NMP, bound=True)
    facts = group(deferrals={ANNA: deferral()}, policies={question.subject: policy()})

    assert codes(decide(question, facts, NOW)) == [Code.DEFERRED]


@pytest.mark.parametrize(
    ("question", "facts"),
    [(ask(), BUSY), (ask(ANNA), group(deferrals={ANNA: deferral()}))],
    ids=["cluster node", "deferred"],
)
def test_nobody_is_exempt_while_the_view_cannot_be_trusted(question: Ask, facts: Group) -> None:
    """The type of a node, and its deferral, are read from that very view."""
    assert isinstance(decide(question, replace(facts, doubts=(doubt(),)), NOW), Wait)


def test_a_cluster_node_with_an_invented_policy_is_refused() -> None:
    facts = replace(BUSY, policies={(Kind.AGENT, NMP): Sight.ABSENT})

    assert Code.UNKNOWN_POLICY in codes(decide(ask(), facts, NOW))


def test_a_brake_holds_while_nobody_has_read_whether_the_policy_changed() -> None:
    facts = group(brakes=(brake(),), policies={(Kind.AGENT, NMP): Sight.UNREAD})

    assert codes(decide(ask(), facts, NOW)) == [Code.VIEW_STALE, Code.BRAKE]


def test_the_reasons_tell_when_they_end_by_themselves() -> None:
    resting = group(lease=ended(ago=20, by=claim(kind=Kind.SERVICE)))
    unproven = group(member(ANNA, ago=999), member(BERT), lease=ended(ago=20))
    shut = group(limits=limits(windows=CLOSED))
    pausing = group(pauses=(paused(until=77),))

    def until(facts: Group) -> object:
        return why_not(ask(), facts, NOW)[0].until

    assert until(resting) == at(-40)
    assert until(unproven) == at(20) + timedelta(seconds=900)
    assert until(shut) == NOW.wall + timedelta(hours=1)
    assert until(pausing) == at(-77)


def test_a_refusal_names_the_holder_its_subject_and_its_token() -> None:
    (reason,) = why_not(ask(), group(lease=held(progress=under_way("initiated"))), NOW)

    assert (ANNA in reason.text, NMP in reason.text) == (True, True)
    assert reason.facts == {"holder": ANNA, "kind": "agent", "subject": NMP, "token": 7, "status": "initiated"}


def test_a_refusal_for_missing_peers_names_each_of_them_and_why() -> None:
    (reason,) = why_not(ask(ANNA), NOBODY, NOW)

    assert "o1/bert last heartbeat 2 hours ago" in reason.text
    assert "o1/carl has never sent a heartbeat" in reason.text
    assert reason.facts == {"available": 0, "required": 1, "others": 2}


def test_a_window_that_never_opens_says_so() -> None:
    never = limits(windows=(Window(weekdays=frozenset(), opens=time(1), closes=time(2)),))

    (reason,) = why_not(ask(), group(limits=never), NOW)

    assert "no window ever opens" in reason.text


@pytest.mark.parametrize(
    ("available", "wanted", "free"), [(2, 2, True), (1, 2, False), (1, 1, True), (2, 9, True), (1, 9, False)]
)
def test_more_peers_than_there_are_cannot_be_demanded(*, available: int, wanted: int, free: bool) -> None:
    carl = member(CARL, ago=10 if available == 2 else 999)
    facts = group(member(ANNA), member(BERT), carl, limits=limits(min_available=wanted))

    assert isinstance(decide(ask(ANNA), facts, NOW), Grant) is free


def test_the_soak_of_a_member_in_its_next_upgrade_waits_for_that_too() -> None:
    busy_again = member(ANNA, {OTHER_NMP: status("initiated", target_version="9")}, agent_version=OLD)

    assert codes(decide(ask(), group(busy_again, member(BERT), member(CARL), lease=ended(ago=30)), NOW)) == [
        Code.SOAKING
    ]


def test_the_upgraded_member_itself_waits_for_the_time_and_for_no_proof() -> None:
    """It is asking: that is proof enough that its agent lives."""
    unseen = group(member(ANNA, ago=31), member(BERT), member(CARL), lease=ended(ago=30))

    assert decide(ask(ANNA), unseen, NOW) == Grant()
    assert codes(decide(ask(ANNA), replace(unseen, limits=limits(agent_soak_seconds=60)), NOW)) == [Code.SOAKING]


def test_of_several_pauses_all_have_to_end() -> None:
    fleet, own, bert = paused(until=1), paused(GROUP, until=60), paused(f"node:{BERT}")

    def wait(*pauses: Pause) -> Reason:
        reason = rules.paused(ask(), group(pauses=pauses), NOW)
        assert reason is not None
        return reason

    assert wait(fleet, own).until == own.until
    assert wait(own, fleet).text.count("paused until") == 2
    assert wait(fleet, bert).until is None


@pytest.mark.parametrize(
    ("before", "taken_over"),
    [
        (None, True),
        (fallen(CARL), False),
        (fallen(ANNA), True),
        (fallen(CARL, cause=Cause.SUCCEEDED), True),
        (fallen(CARL, revision="r0"), True),
    ],
    ids=[
        "nobody",
        "another in the same release",
        "the same node",
        "another that was done",
        "another in the release before",
    ],
)
def test_a_third_member_does_not_begin_a_release_in_which_two_fell_silent_in_a_row(
    before: End | None, *, taken_over: bool
) -> None:
    service = claim(ANNA, Kind.SERVICE)
    lease = replace(suspected(service, progress=under_way(ago=900, revision="r1")), last_end=before)
    facts = group(member(ANNA, ago=9000), member(BERT), member(CARL), lease=lease)

    answer = decide(service_ask(BERT), facts, NOW)

    assert isinstance(answer, Grant) is taken_over
    other = replace(facts, policies={**facts.policies, (Kind.SERVICE, OTHER_NMP): policy(OTHER_NMP)})
    assert isinstance(decide(ask(BERT, Kind.SERVICE, OTHER_NMP, bound=True), other, NOW), Grant), "another release may"
