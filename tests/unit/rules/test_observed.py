"""Which policy has taken a service down, if one has: the end of an agreement alone does not tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.rules.facts import Agreement, NodeType, Policy, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.observed import Loss, is_changing, progress_of, upgrade_of
from tests.support.values import GROUP, LIMITS, NOW, agreement, at, claim, deployment, ended, held, member

CHANGED = replace(deployment(), versions=("2.0.0",), versions_at=at(60))
OTHER = Policy(id=PolicyId("o1/other"), service="o1/else", top_version="9.0.0", versions_at=at(30))
OLD = agreement("old1", "1.0.0", ago=9000)
ELSE = Agreement(
    id="else1", service="o1/else", finalized=True, version="8.0.0", containers=("running",), updated_at=at(9000)
)
NEW = agreement("new1", "", "", finalized=False, ago=5)
RUNNING = agreement("new1", "2.0.0", ago=5)
LOSS = Loss(at=at(10))


def loss(*before: Agreement) -> Loss:
    return replace(LOSS, before=before)


SEEN: dict[str, tuple[Loss, tuple[Agreement, ...] | Sight, Policy | None]] = {
    "nothing is left of it": (LOSS, (), CHANGED),
    "a new agreement is being made": (LOSS, (NEW,), CHANGED),
    "the old agreement stands": (LOSS, (OLD,), None),
    "the new one runs already": (LOSS, (RUNNING,), None),
    "its agreements were not read": (LOSS, Sight.UNREAD, None),
    "what has ended was known": (loss(OLD), (), CHANGED),
    "another service has ended": (loss(ELSE), (), None),
    "what has ended was at the first version": (loss(replace(OLD, version="2.0.0")), (), None),
    "what has ended never reported its version": (loss(replace(OLD, version="", containers=())), (), CHANGED),
    "what was known is all there": (loss(ELSE), (ELSE,), CHANGED),
    "the policy was changed later": (replace(LOSS, at=at(61)), (), None),
}


@pytest.mark.parametrize(("lost", "agreements", "policy"), SEEN.values(), ids=SEEN)
def test_a_service_upgrade_is_told_by_what_has_ended_and_what_is_there(
    lost: Loss, agreements: tuple[Agreement, ...] | Sight, policy: Policy | None
) -> None:
    assert upgrade_of(lost, member(agreements=agreements), [CHANGED]) == policy


def test_a_node_that_has_unregistered_or_is_a_cluster_is_in_no_upgrade() -> None:
    assert upgrade_of(LOSS, member(agreements=(), registered=False), [CHANGED]) is None
    assert upgrade_of(LOSS, member(agreements=(), node_type=NodeType.CLUSTER), [CHANGED]) is None


def test_of_several_policies_the_one_with_a_new_agreement_counts_then_what_peers_serve_then_the_latest() -> None:
    assert upgrade_of(LOSS, member(agreements=(NEW,)), [CHANGED, OTHER]) == CHANGED
    assert upgrade_of(LOSS, member(agreements=()), [CHANGED, OTHER], {CHANGED.service}) == CHANGED
    assert upgrade_of(LOSS, member(agreements=()), [CHANGED, OTHER]) == OTHER


def test_what_was_there_before_can_never_be_the_end() -> None:
    """Also an agreement that was not read before, but is older than the loss."""
    progress = progress_of(loss(OLD), CHANGED, member(agreements=(ELSE, NEW)), NOW)

    assert progress.agreements_before == ("else1", "old1")
    assert (progress.observed, progress.service, progress.target_version) == (True, CHANGED.service, "2.0.0")


def test_a_policy_changes_for_the_longest_upgrade_after_its_versions_did_or_a_member_went() -> None:
    old = replace(CHANGED, versions_at=at(LIMITS.max_upgrade_seconds + 1))
    going = held(claim(kind=Kind.SERVICE), ago=60)
    went = ended(by=claim(kind=Kind.SERVICE))

    assert is_changing(CHANGED, Lease(group=GROUP), LIMITS, NOW)
    assert not is_changing(old, Lease(group=GROUP), LIMITS, NOW)
    assert is_changing(old, going, LIMITS, NOW)
    assert is_changing(old, went, LIMITS, NOW)
    assert not is_changing(replace(old, id=PolicyId("o1/other")), went, LIMITS, NOW)
