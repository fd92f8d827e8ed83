"""What a failed upgrade stops, what a brake says of it, and which versions it remembers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.rules import brakes
from agbot.rules import lease as leases
from agbot.rules.group import Group
from agbot.rules.ids import GroupId
from agbot.rules.lease import Kind, Lease
from agbot.rules.reasons import BRAKING, Cause, Code
from agbot.rules.versions import NO_VERSIONS, Versions
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    GROUP,
    NOW,
    TTL,
    ask,
    begun,
    brake,
    claim,
    ended,
    group,
    held,
    limits,
    why_not,
)


def after_another_silence(before: Cause = Cause.EXPIRED) -> Lease:
    """Let Anna hold the lease for the same service upgrade in which Carl's tenure ended like this."""
    first = leases.release(held(claim(CARL, Kind.SERVICE)), before, NOW)
    return leases.grant(first, claim(ANNA, Kind.SERVICE), NOW, TTL, begun(0))


@pytest.mark.parametrize("cause", list(Cause))
def test_an_agent_upgrade_is_stopped_by_every_failure_and_by_nothing_else(cause: Cause) -> None:
    assert brakes.stops(held(), cause) is (cause in BRAKING)
    assert not brakes.stops(ended(), cause), "no one holds the lease"


@pytest.mark.parametrize(
    ("lease", "cause", "stopped"),
    [
        (held(claim(kind=Kind.SERVICE)), Cause.FAILED, True),
        (held(claim(kind=Kind.SERVICE)), Cause.EXPIRED, False),
        (after_another_silence(), Cause.EXPIRED, True),
        (after_another_silence(Cause.FAILED), Cause.EXPIRED, False),
        (held(claim(kind=Kind.SERVICE)), Cause.SUCCEEDED, False),
    ],
    ids=["it failed", "its node has died", "two have died", "the other had failed", "it succeeded"],
)
def test_a_service_upgrade_is_not_stopped_because_one_node_has_died(lease: Lease, cause: Cause, stopped: bool) -> None:
    assert brakes.stops(lease, cause) is stopped


OLDER, NEWER = Versions(software="1"), Versions(software="2")


def test_a_brake_remembers_the_last_versions_that_failed_each_once_and_no_empty_one() -> None:
    known = brake(failed=(NEWER, OLDER))

    assert brakes.added(None, NEWER) == (NEWER,)
    assert brakes.added(None, NO_VERSIONS) == ()
    assert brakes.added(known, OLDER) == (OLDER, NEWER)
    many = brake(failed=tuple(Versions(software=f"1.{number}") for number in range(8)))
    assert brakes.added(many, NEWER) == (NEWER, *many.failed[:7])


def braked(token: int = 6, cause: Cause = Cause.FAILED, version: str = "2.32.0") -> Group:
    """Put a group whose brake names token 6, after an end like this."""
    free = ended(cause)
    end = free.last_end and replace(free.last_end, token=token, version=version, detail="it runs 2.31.0")
    return group(lease=replace(free, last_end=end), brakes=(brake(),), limits=limits(version_proof_seconds=0.0))


@pytest.mark.parametrize(
    ("facts", "is_explained"),
    [
        (braked(), True),
        (braked(token=5), False),
        (braked(version=""), False),
        (group(brakes=(brake(),)), False),
    ],
    ids=["the end that set it", "another end", "no contradiction", "no end"],
)
def test_a_brake_by_a_contradiction_says_what_contradicts_it(facts: Group, is_explained: bool) -> None:
    text = next(each.text for each in why_not(ask(BERT), facts) if each.code is Code.BRAKE)

    assert ("it runs 2.31.0" in text) is is_explained
    assert "new revision" not in text


@pytest.mark.parametrize(("failed", "shown"), [(5, "(o1/g0, o1/g1, o1/g2, o1/g3, o1/g4)"), (6, "o1/g4 …)")])
def test_the_brake_of_an_organisation_names_some_of_its_groups(failed: int, shown: str) -> None:
    stopped = tuple(replace(brake(), group=GroupId(f"o1/g{number}")) for number in range(failed))

    (reason,) = why_not(ask(BERT), group(org_brakes=stopped, org_groups=40))

    assert f"failed in {failed} groups of o1 " in reason.text
    assert shown in reason.text


@pytest.mark.parametrize(
    ("count", "percent", "failed", "stopped"),
    [(3, 0, 2, False), (3, 0, 3, True), (3, 5, 2, True), (1, 10, 1, True), (0, 10, 3, False), (0, 0, 40, False)],
    ids=["too few", "enough", "by the share", "by the number", "too small a share", "no limit"],
)
def test_an_organisation_is_stopped_by_a_number_or_a_share_of_its_groups(
    count: int, percent: float, failed: int, stopped: bool
) -> None:
    stated = limits(org_brake_groups=count, org_brake_percent=percent)
    failures = tuple(replace(brake(), group=GroupId(f"o1/g{number}")) for number in range(failed))

    reasons = why_not(ask(BERT), group(org_brakes=failures, org_groups=40, limits=stated))

    assert [each.code for each in reasons] == ([Code.ORG_BRAKE] if stopped else [])
    assert GROUP not in {each.group for each in failures}
