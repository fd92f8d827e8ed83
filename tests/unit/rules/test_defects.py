"""The defects of the agbot's own mechanism that pure rules answer, by their numbers in `reference/agbot-ha.md` 5.4 and 5.5.

A to the agent's upgrades, W to those of services. What needs a store, a feed or a listener to show
is tested there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from agbot.rules import deferral
from agbot.rules import lease as leases
from agbot.rules.decide import Decision, Grant, Wait, decide
from agbot.rules.facts import Sight
from agbot.rules.holder import Seen
from agbot.rules.lease import Kind, Lease, State
from agbot.rules.reasons import Cause, Code
from agbot.rules.review import review
from agbot.rules.statuses import Status
from agbot.rules.verdict import Keep, Release, Renew, Suspect, Verdict
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    DEPLOYMENT,
    GROUP,
    LIMITS,
    NEW,
    NMP,
    NOW,
    OLD,
    OTHER_NMP,
    POLICIES,
    TTL,
    agreement,
    ask,
    begun,
    brake,
    case,
    claim,
    deployment,
    ended,
    group,
    held,
    limits,
    member,
    node,
    policy,
    review_of,
    seen,
    seen_at,
    service_ask,
    status,
    suspected,
    turn,
    under_way,
    waiter,
)

INSTALLING = under_way("initiated", ago=300)
SERVICE_CLAIM = claim(kind=Kind.SERVICE)


def codes(decision: Decision) -> list[Code]:
    assert isinstance(decision, Wait)
    return [reason.code for reason in decision.reasons]


def carried_out(lease: Lease, verdict: Verdict) -> Lease:
    """Do what the coordinator does with a verdict."""
    match verdict:
        case Renew(progress=progress, evidence_at=evidence_at):
            return leases.renew(lease, evidence_at or NOW.seen, TTL, progress)
        case Release(cause=cause):
            return leases.release(lease, cause, NOW)
        case Suspect():
            return leases.suspect(lease)
        case Keep():
            return lease


def cause_of(verdict: Verdict) -> Cause:
    assert isinstance(verdict, Release)
    return verdict.cause


def service_lease(*, ago: float = 60, **fields: object) -> Lease:
    default = {"agreements_before": ("old1",), "status": "no agreement", "confirmed": True}
    return held(SERVICE_CLAIM, ago=ago, progress=begun(ago, **(default | fields)))


def sight_of_service(*agreements: object, **fields: object) -> Seen:
    return seen(**{"policy": deployment(), "agreements": agreements, **fields})


def test_a1_a_holder_that_died_in_its_upgrade_does_not_hold_the_group_forever() -> None:
    lease = held(ago=700, progress=under_way("initiated", ago=700))
    silent = seen(node=node(ago=1801), status=status("initiated", ago=700, stamp="s1"))

    doubted = carried_out(lease, review(review_of(lease, silent)))
    assert doubted.state is State.SUSPECT

    assert cause_of(review(review_of(doubted, silent))) is Cause.EXPIRED


def test_a1_a_live_holder_whose_upgrade_hangs_becomes_suspect_as_well() -> None:
    lease = held(ago=7200 + 600, progress=under_way("initiated", ago=7200 + 600))
    hung = seen(node=node(ago=5), status=status("initiated", ago=7800, stamp="s1"))

    assert isinstance(review(review_of(lease, hung)), Suspect)


def test_a2_a_deleted_holder_frees_the_group_at_once() -> None:
    assert cause_of(review(review_of(held(progress=INSTALLING), seen(node=Sight.ABSENT)))) is Cause.NODE_DELETED


def test_a2_a_holder_that_was_made_again_under_its_name_is_another_node() -> None:
    lease = held(progress=INSTALLING)

    assert cause_of(review(review_of(lease, seen(recreated=True)))) is Cause.NODE_DELETED


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"policy": Sight.ABSENT}, Cause.POLICY_DELETED),
        ({"policy": policy(enabled=False)}, Cause.POLICY_DELETED),
        ({"node": node(registered=False)}, Cause.UNREGISTERED),
    ],
    ids=["policy deleted", "policy disabled", "node unregistered"],
)
def test_a3_a_status_that_disappeared_with_its_reason_frees_the_group(fields: dict[str, object], cause: Cause) -> None:
    lease = held(progress=INSTALLING)

    assert cause_of(review(review_of(lease, seen(status=Sight.ABSENT, **fields)))) is cause


def test_a3_a_status_that_disappeared_without_any_reason_ends_in_a_suspicion_and_not_in_silence() -> None:
    """The policy may no longer match the node, or the Exchange may have lost it: a person is reported."""
    lease = held(ago=700, progress=under_way("downloaded", ago=700))

    assert isinstance(review(review_of(lease, seen(node=node(ago=650)))), Suspect)


def test_a4_a_late_release_belongs_to_the_token_it_was_decided_for() -> None:
    """Two agbots read the same row; while the second hesitates, the lease is released and given on."""
    read_by_both = held(token=7)
    given_on = leases.grant(leases.release(read_by_both, Cause.SUCCEEDED, NOW), claim(BERT), NOW, TTL)

    late = leases.release(read_by_both, Cause.SUCCEEDED, NOW)

    assert (late.token, given_on.token) == (7, 8)
    assert late.last_end is not None
    assert late.last_end.token == 7
    assert given_on.is_held_for(claim(BERT))


def test_a5_a_change_of_the_group_does_not_touch_the_lease_of_one_who_is_still_a_member() -> None:
    lease = held(progress=INSTALLING)
    grown = group(member(ANNA), member(BERT), member(CARL), lease=lease)

    verdict = review(review_of(lease, seen(status=status("initiated", ago=60, stamp="s1"))))

    assert not isinstance(verdict, Release)
    assert codes(decide(case(ask(CARL), grown))) == [Code.LEASE_HELD]


def test_a5_a_holder_that_left_the_group_frees_it() -> None:
    assert cause_of(review(review_of(held(progress=INSTALLING), seen(node=node(group=None))))) is Cause.LEFT_GROUP


def test_a6_failed_before_rollback_started_keeps_the_lease() -> None:
    lease = held(progress=INSTALLING)
    for value in ("failed", "rollback started"):
        verdict = review(review_of(lease, seen(status=status(value))))
        assert isinstance(verdict, Renew)
        lease = carried_out(lease, verdict)

    assert cause_of(review(review_of(lease, seen(status=status("rollback successful"))))) is Cause.FAILED


def test_a6_failed_for_good_frees_the_group_after_a_while() -> None:
    lease = held(progress=INSTALLING)
    lease = carried_out(lease, review(review_of(lease, seen(status=status("failed")))))

    two_minutes_on = NOW + timedelta(seconds=120)
    alive = seen(node=node(ago=-120), status=status("failed", ago=5), status_read_at=two_minutes_on.seen)
    later = review(review_of(lease, alive, now=two_minutes_on))

    assert cause_of(later) is Cause.FAILED


def test_a6_a_node_that_failed_and_fell_silent_may_still_come_back_and_roll_back() -> None:
    lease = held(progress=INSTALLING)
    lease = carried_out(lease, review(review_of(lease, seen(status=status("failed")))))

    two_minutes_on = NOW + timedelta(seconds=120)
    silent = seen(node=node(ago=1), status=status("failed", ago=5), status_read_at=two_minutes_on.seen)

    assert isinstance(review(review_of(lease, silent, now=two_minutes_on)), Keep)


def test_a6_failed_on_the_backup_before_initiated_keeps_the_lease() -> None:
    lease = held(progress=under_way("downloaded"))
    lease = carried_out(lease, review(review_of(lease, seen(status=status("failed")))))

    assert isinstance(review(review_of(lease, seen(status=status("initiated")))), Renew)


@pytest.mark.parametrize("value", ["reset", "waiting"])
def test_a6_a_reset_while_the_script_may_still_run_keeps_the_lease(value: str) -> None:
    verdict = review(review_of(held(progress=INSTALLING), seen(status=status(value))))

    assert isinstance(verdict, Renew)
    assert verdict.progress.pending_since == NOW.seen


def test_a7_a_lost_final_status_is_replaced_by_the_version_that_runs() -> None:
    report = status("initiated", ago=900, stamp="s1", target_version=NEW)
    lease = suspected(progress=under_way("initiated", ago=900, target_version=NEW, version_before=OLD))

    assert cause_of(review(review_of(lease, seen(node=node(agent_version=NEW), status=report)))) is Cause.SUCCEEDED


def test_a7_a_lost_final_status_does_not_count_the_member_as_missing_forever() -> None:
    reached = member(ANNA, {NMP: status("initiated")}, agent_version=NEW)

    assert decide(case(ask(), group(reached, member(BERT)))) == Grant()


def test_a8_an_invented_policy_is_refused_and_leaves_nothing_behind() -> None:
    decision = decide(case(ask(), group(policies={(Kind.AGENT, NMP): Sight.ABSENT})))

    assert codes(decision) == [Code.UNKNOWN_POLICY]
    assert isinstance(decision, Wait)
    assert not decision.is_remembered


@pytest.mark.parametrize("report", [Sight.ABSENT, status("successful", ago=9000), status("waiting", ago=9000)])
def test_a8_a_claim_that_the_nodes_own_status_never_confirms_is_taken_back(report: Status | Sight) -> None:
    assert cause_of(review(review_of(held(ago=180), seen(status=report)))) is Cause.UNCONFIRMED


def test_a8_whoever_claimed_without_meaning_it_goes_behind_the_others() -> None:
    facts = group(waiters=(waiter(BERT),), turns={ANNA: turn(ANNA, ago=1, cause=Cause.UNCONFIRMED)})

    assert codes(decide(case(ask(ANNA), facts))) == [Code.TURN]


def test_a9_a_node_already_upgrading_when_it_joins_is_seen_and_counts_as_missing() -> None:
    joined = member(ANNA, {NMP: status("initiated")}, joined_at=NOW.wall)
    begun_deferral = deferral.begin(GROUP, joined, Lease(group=GROUP), LIMITS, NOW)
    assert begun_deferral is not None

    facts = group(joined, member(BERT), deferrals={ANNA: begun_deferral})

    assert codes(decide(case(ask(), facts))) == [Code.PEERS_UNAVAILABLE]
    own = decide(case(ask(ANNA), facts))
    assert isinstance(own, Grant)
    assert own.exempt is not None


def test_a10_agent_and_service_upgrades_share_one_lease() -> None:
    assert codes(decide(case(ask(), group(lease=held(SERVICE_CLAIM))))) == [Code.LEASE_HELD]
    assert codes(decide(case(service_ask(), group(lease=held())))) == [Code.LEASE_HELD]
    assert codes(decide(case(service_ask(ANNA), group(lease=held())))) == [Code.LEASE_HELD]


def test_a11_no_agent_upgrade_while_no_one_else_is_there() -> None:
    alone = group(member(ANNA), member(BERT, ago=9000), member(CARL, ago=9000))

    assert codes(decide(case(ask(ANNA), alone))) == [Code.PEERS_UNAVAILABLE]


def test_a11_after_success_the_member_must_be_seen_healthy_before_the_next_goes() -> None:
    read: dict[str, Any] = {"agreements": (), "agreements_read_at": seen_at(10)}
    unseen = group(member(ANNA, ago=40, **read), member(BERT), member(CARL), lease=ended(ago=30))
    back = group(member(ANNA, ago=20, **read), member(BERT), member(CARL), lease=ended(ago=30))

    assert codes(decide(case(ask(), unseen))) == [Code.SOAKING]
    assert decide(case(ask(), back)) == Grant()


def test_a12_no_one_is_served_twice_while_another_waits() -> None:
    facts = group(waiters=(waiter(BERT, since=600),), turns={ANNA: turn(ANNA, ago=10)})

    assert codes(decide(case(ask(ANNA, subject=OTHER_NMP), facts))) == [Code.TURN]
    assert decide(case(ask(BERT), facts)) == Grant()


def test_a14_a_node_that_has_left_is_refused_whatever_lease_it_once_had() -> None:
    left = group(member(BERT), member(CARL))

    assert codes(decide(case(ask(ANNA), left))) == [Code.NOT_A_MEMBER]
    assert codes(decide(case(ask(ANNA), structs.replace(left, lease=held())))) == [Code.NOT_A_MEMBER]


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"status": status("successful", ago=50_000)}, Cause.SUCCEEDED),
        ({"status": status("rollback successful", ago=50_000)}, Cause.FAILED),
        ({"node": Sight.ABSENT}, Cause.NODE_DELETED),
    ],
)
def test_a17_a_lease_that_outlived_a_day_of_downtime_is_judged_by_what_is_true_now(
    fields: dict[str, object], cause: Cause
) -> None:
    lease = held(ago=90_000, progress=under_way("initiated", ago=90_000))

    assert cause_of(review(review_of(lease, seen(**fields)))) is cause


def test_w1_a_node_that_dies_in_its_service_upgrade_does_not_block_the_group() -> None:
    lease = leases.renew(service_lease(ago=800), seen_at(700), TTL)
    dead = sight_of_service(node=node(ago=750))
    doubted = carried_out(lease, review(review_of(lease, dead)))
    facts = group(member(ANNA, ago=750), member(BERT), member(CARL), lease=doubted)

    assert decide(case(service_ask(BERT), facts)) == Grant()
    taken = leases.grant(doubted, service_ask(BERT).claim, NOW, TTL)
    assert taken.token == lease.token + 1


def test_w1_a_live_holder_is_not_jumped() -> None:
    suspect = leases.suspect(service_lease(ago=800))

    assert codes(decide(case(service_ask(BERT), group(lease=service_lease())))) == [Code.LEASE_HELD]
    assert codes(decide(case(service_ask(BERT), group(lease=suspect)))) == [Code.LEASE_SUSPECT]


def test_w2_a_second_publish_while_the_upgrade_runs_does_not_lock_the_holder_out() -> None:
    """The holder comes up at the version of the first publish, and asks again for the second."""
    lease = service_lease()
    republished = replace(deployment("3.0.0"), revision="r2")
    verdict = review(review_of(lease, sight_of_service(agreement("new1", "2.0.0"), policy=republished)))
    assert cause_of(verdict) is Cause.FAILED

    stopped = (brake(DEPLOYMENT, Kind.SERVICE, revision="r1"),)
    policies = {**POLICIES, (Kind.SERVICE, DEPLOYMENT): republished}
    facts = group(lease=carried_out(lease, verdict), brakes=stopped, policies=policies)

    assert decide(case(service_ask(ANNA), facts)) == Grant()


def test_w2_the_holder_that_asks_again_gets_the_same_answer() -> None:
    assert decide(case(service_ask(ANNA), group(lease=service_lease()))) == Grant(repeated=True)


def test_w3_a_rollback_to_another_version_ends_the_upgrade_and_stops_the_release() -> None:
    lease = service_lease()

    verdict = review(review_of(lease, sight_of_service(agreement("new1", "1.0.0"))))

    assert cause_of(verdict) is Cause.FAILED
    stopped = group(lease=carried_out(lease, verdict), brakes=(brake(DEPLOYMENT, Kind.SERVICE),))
    assert codes(decide(case(service_ask(), stopped))) == [Code.BRAKE]


def test_w4_a_claim_whose_upgrade_never_began_is_taken_back() -> None:
    lease = service_lease(ago=180, status="old1 final 1.0.0 running", confirmed=False)

    verdict = review(review_of(lease, sight_of_service(agreement("old1", "1.0.0"))))

    assert cause_of(verdict) is Cause.UNCONFIRMED


def test_w5_two_policies_of_one_group_do_not_take_two_members_down() -> None:
    other = service_ask(BERT)
    renamed = replace(other, claim=replace(other.claim, subject=OTHER_NMP))
    facts = group(lease=service_lease(), policies={**POLICIES, renamed.subject: policy()})

    assert codes(decide(case(renamed, facts))) == [Code.LEASE_HELD]


def test_w9_an_upgrade_is_judged_by_the_policy_of_now_and_by_a_final_agreement() -> None:
    proposed, final = agreement("new1", "2.0.0", finalized=False), agreement("new1", "2.0.0")

    assert isinstance(review(review_of(service_lease(), sight_of_service(proposed))), Renew)
    assert isinstance(review(review_of(service_lease(), sight_of_service(final))), Release)


def test_w11_the_old_agreement_still_final_and_running_is_not_the_end() -> None:
    verdict = review(review_of(service_lease(), sight_of_service(agreement("old1", "2.0.0"))))

    assert not isinstance(verdict, Release)


def test_w13_offline_peers_never_block_a_service_under_agreement_and_always_an_agent() -> None:
    alone = group(member(ANNA), member(BERT, ago=None), member(CARL, ago=9000))

    assert decide(case(service_ask(ANNA), alone)) == Grant()
    assert codes(decide(case(ask(ANNA), alone))) == [Code.PEERS_UNAVAILABLE]


def test_a_release_that_crashes_soon_after_its_first_running_does_not_reach_the_next_member() -> None:
    """Measured on real agents: the bad version went through all three members, two and then three down at a time."""
    crashed = member(ANNA, ago=50)
    facts = group(crashed, member(BERT), member(CARL), lease=ended(ago=20, by=SERVICE_CLAIM))

    assert codes(decide(case(service_ask(BERT), facts))) == [Code.SOAKING]
    rested = structs.replace(facts, limits=limits(service_soak_seconds=0.0))
    assert codes(decide(case(service_ask(BERT), rested))) == [Code.SOAKING]
