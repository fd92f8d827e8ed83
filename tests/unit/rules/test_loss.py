"""What a lost agreement shows, and what a member's agreements show of an upgrade that no record is left of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.rules import loss
from agbot.rules.facts import Agreement, Policy, Sight
from agbot.rules.ids import NodeId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.loss import Loss
from agbot.rules.reasons import Cause
from tests.support.values import (
    ANNA,
    BERT,
    LIMITS,
    NOW,
    SERVICE,
    agreement,
    at,
    begun,
    claim,
    deployment,
    ended,
    held,
    member,
)

NONE_REPORTED = replace(agreement("new", ago=60), containers=())
LONG_SILENT = replace(agreement("old", ago=2000), containers=())
SINCE = at(900)
RUNS = agreement("runs", ago=60)


@pytest.mark.parametrize(
    ("agreements", "common", "found"),
    [
        ((RUNS,), {SERVICE}, None),
        ((LONG_SILENT,), {SERVICE}, None),
        ((agreement("old", "1.0.0", "exited", ago=2000),), {SERVICE}, None),
        ((), set(), None),
        (Sight.UNREAD, {SERVICE}, None),
        ((), {SERVICE}, SERVICE),
        ((RUNS,), {SERVICE, "o1/other"}, "o1/other"),
        ((NONE_REPORTED,), {SERVICE}, SERVICE),
        ((replace(NONE_REPORTED, updated_at=None),), {SERVICE}, SERVICE),
        ((agreement("new", "1.0.0", "running", "creating", ago=60),), {SERVICE}, SERVICE),
    ],
)
def test_a_service_may_be_in_an_upgrade_that_does_not_run_or_is_lacking_or_has_just_got_its_agreement(
    agreements: tuple[Agreement, ...] | Sight, common: set[str], found: str | None
) -> None:
    shown = loss.under_way(member(agreements=agreements), common, SINCE, NOW)
    assert (shown[0] if shown is not None else None) == found


def test_the_agreement_of_that_upgrade_is_not_among_those_from_before_it() -> None:
    shown = loss.under_way(member(agreements=(NONE_REPORTED,)), (), SINCE, NOW)
    assert shown is not None
    assert NONE_REPORTED.updated_at is not None
    assert shown[1].at <= NONE_REPORTED.updated_at


RUNNING = agreement("a1")


@pytest.mark.parametrize(
    ("before", "now", "down"),
    [
        ((RUNNING,), (), [SERVICE]),
        ((RUNNING,), (RUNNING,), []),
        ((RUNNING,), (agreement("a2"),), []),
        ((RUNNING,), (agreement("a2", "1.1.0", "created"),), [SERVICE]),
        ((RUNNING,), (agreement("a2", finalized=False),), [SERVICE]),
        ((agreement("a1", "1.0.0", "created", finalized=False),), (), []),
        ((agreement("a1", "1.0.0", "created"),), (), [SERVICE]),
        ((agreement("a1", finalized=False),), (), [SERVICE]),
        (Sight.UNREAD, (), [SERVICE, "o1/pump"]),
        (Sight.UNREAD, (RUNNING,), ["o1/pump"]),
    ],
    ids=[
        "gone",
        "still there",
        "replaced",
        "its successor does not run",
        "its successor is not final",
        "a proposal that never ran",
        "it was final",
        "it ran",
        "nothing was known of the node",
        "one of those of its group is there",
    ],
)
def test_a_lost_agreement_takes_down_what_no_other_one_runs(
    before: tuple[Agreement, ...] | Sight, now: tuple[Agreement, ...], down: list[str]
) -> None:
    assert loss.services_down(Loss(at=NOW.wall, before=before), now, {SERVICE, "o1/pump"}) == down


def after(cause: Cause = Cause.SUCCEEDED, *, ago: float = 30, by: Claim | None = None) -> Lease:
    return ended(cause, ago=ago, by=by or claim(ANNA, Kind.SERVICE))


LONGEST = LIMITS.service_soak_seconds + LIMITS.rest_proof_seconds


@pytest.mark.parametrize(
    ("lease", "of_whom"),
    [
        (after(), [ANNA]),
        (after(ago=LONGEST), [ANNA]),
        (after(ago=LONGEST + 1), []),
        (after(Cause.FAILED), []),
        (after(by=claim(BERT, Kind.SERVICE)), []),
        (after(by=claim(ANNA)), []),
        (held(claim(BERT, Kind.SERVICE)), [ANNA]),
        (held(claim(ANNA, Kind.SERVICE)), []),
        (held(claim(BERT)), []),
    ],
    ids=[
        "it has just got it",
        "within the proof of the rest",
        "long ago",
        "that failed already",
        "a peer got it",
        "its agent's upgrade",
        "a peer is getting it",
        "it is getting it",
        "a peer's agent",
    ],
)
def test_the_release_that_a_node_or_its_peer_has_just_got_may_have_crashed(lease: Lease, of_whom: list[NodeId]) -> None:
    assert [end.claim.holder for end in loss.may_have_crashed(lease, ANNA, LIMITS, NOW)] == of_whom


def test_what_may_have_crashed_beside_the_holder_is_its_release() -> None:
    progress = begun(service=SERVICE, top_version="2.0.0")

    (end,) = loss.may_have_crashed(held(claim(BERT, Kind.SERVICE), progress=progress), ANNA, LIMITS, NOW)

    assert (end.claim, end.service, end.top_version, end.revision) == (
        claim(ANNA, Kind.SERVICE),
        SERVICE,
        "2.0.0",
        "r1",
    )


NEWEST = agreement("a9", "2.0.0")


@pytest.mark.parametrize(
    ("before", "now", "policy", "gone"),
    [
        ((NEWEST,), (), deployment("2.0.0"), NEWEST),
        ((NEWEST,), (NEWEST,), deployment("2.0.0"), None),
        ((RUNNING,), (), deployment("2.0.0"), None),
        ((replace(NEWEST, service="o1/pump"),), (), deployment("2.0.0"), None),
        ((replace(NEWEST, version=""),), (), deployment(""), None),
        ((NEWEST,), (), Sight.UNREAD, None),
        (Sight.UNREAD, (), deployment("2.0.0"), None),
    ],
    ids=["at the top version", "still there", "an older one", "another service", "no version", "unread", "unknown"],
)
def test_an_agreement_at_the_top_version_that_is_lost_has_crashed(
    before: tuple[Agreement, ...] | Sight,
    now: tuple[Agreement, ...],
    policy: Policy | Sight,
    gone: Agreement | None,
) -> None:
    assert loss.crashed(Loss(at=NOW.wall, before=before), now, policy) == gone


@pytest.mark.parametrize(
    ("found", "is_over", "runs"),
    [
        (agreement("a2"), False, True),
        (agreement("a1"), False, False),
        (replace(agreement("a2"), service="o1/pump"), False, False),
        (agreement("a2", "1.0.0", "created"), False, False),
        (agreement("a2", finalized=False), False, False),
        (agreement("a2", finalized=False), True, True),
    ],
    ids=["a new one", "the old one", "another service", "it does not run", "not final", "the agbot is done"],
)
def test_a_service_runs_again_under_a_new_agreement(found: Agreement, is_over: bool, runs: bool) -> None:
    assert bool(loss.why_runs_again(SERVICE, ("a1",), (found,), is_over=is_over)) is runs
