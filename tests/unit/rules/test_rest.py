"""The rest after a success: how long it lasts, what proves that the member is well, and what shows that it crashed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.rules import rest as rests
from agbot.rules.facts import Agreement, Member, Sight
from agbot.rules.lease import End, Kind
from agbot.rules.limits import Limits
from agbot.rules.reasons import RESTING, Cause
from agbot.rules.rest import Rest
from tests.support.values import ANNA, LIMITS, NMP, NOW, SERVICE, agreement, at, claim, limits, member, seen_at, status

ENDED = 100
"""Seconds since the end of the upgrade: a service has then rested for 40 s more than its minute."""


def end(kind: Kind = Kind.SERVICE, cause: Cause = Cause.SUCCEEDED, service: str = SERVICE) -> End:
    return End(
        claim=claim(ANNA, kind), token=7, cause=cause, at=at(ENDED), service=service if kind is Kind.SERVICE else ""
    )


def rest(kind: Kind = Kind.SERVICE, service: str = SERVICE) -> rests.Rest:
    found = rests.rest_after(end(kind, service=service), LIMITS)
    assert found is not None
    return found


@pytest.mark.parametrize("cause", Cause)
def test_only_success_begins_a_rest(cause: Cause) -> None:
    assert (rests.rest_after(end(cause=cause), LIMITS) is not None) is (cause in RESTING)
    assert rests.rest_after(None, LIMITS) is None


@pytest.mark.parametrize(("kind", "seconds"), [(Kind.AGENT, 0), (Kind.SERVICE, 90)])
def test_each_kind_rests_for_its_own_time_and_waits_for_a_proof_after_it(kind: Kind, seconds: float) -> None:
    assert rest(kind).until == seen_at(ENDED) + timedelta(seconds=seconds)
    assert rest(kind).proof_until == rest(kind).until + timedelta(seconds=900)


def is_proven(facts: Rest, upgraded: Member, measures: Limits = LIMITS) -> bool:
    return rests.why_unproven(facts, upgraded, measures, NOW) is None


@pytest.mark.parametrize(("ago", "proven"), [(ENDED - 1, True), (ENDED, False), (ENDED + 1, False), (None, False)])
def test_an_agents_proof_is_a_heartbeat_after_the_end(*, ago: float | None, proven: bool) -> None:
    read_since = member(ANNA, ago=ago, agreements=(), agreements_read_at=seen_at(1))

    assert is_proven(rest(Kind.AGENT), read_since) is proven
    assert is_proven(rest(Kind.AGENT), member(ANNA, ago=ago), limits(services_must_run=False)) is proven


def test_a_member_in_the_middle_of_another_upgrade_proves_nothing() -> None:
    busy = member(ANNA, {NMP: status("initiated")}, ago=1, agreements=(), agreements_read_at=seen_at(1))

    assert not is_proven(rest(Kind.AGENT), busy)


RUNNING, FINAL_ONLY = agreement("new1", "2.0.0"), Agreement(id="new1", service=SERVICE, finalized=True)
CRASHED, PROPOSED = agreement("new1", "2.0.0", "running", "exited"), agreement("new1", "2.0.0", finalized=False)
ELSEWHERE = Agreement(id="new1", service="o1/else", finalized=True, containers=("running",))


@pytest.mark.parametrize(
    ("agreements", "read_ago", "ago", "proven"),
    [
        ((RUNNING,), 10, 1, True),
        ((RUNNING,), 11, 1, False),
        ((RUNNING,), None, 1, False),
        ((RUNNING,), 1, ENDED, False),
        ((FINAL_ONLY,), 1, 1, True),
        ((CRASHED,), 1, 1, False),
        ((PROPOSED,), 1, 1, False),
        ((ELSEWHERE,), 1, 1, False),
        ((ELSEWHERE, RUNNING), 1, 1, True),
        ((), 1, 1, False),
        (Sight.UNREAD, 1, 1, False),
    ],
)
def test_a_services_proof_is_read_at_the_end_of_its_time(
    *, agreements: tuple[Agreement, ...] | Sight, read_ago: float | None, ago: float, proven: bool
) -> None:
    read_at = None if read_ago is None else seen_at(read_ago)
    upgraded = member(ANNA, ago=ago, agreements=agreements, agreements_read_at=read_at)

    assert is_proven(rest(), upgraded) is proven


def test_a_service_of_which_nothing_is_known_is_proven_by_the_heartbeat() -> None:
    assert is_proven(rest(service=""), member(ANNA, ago=1))


@pytest.mark.parametrize(
    ("agreements", "read_ago", "why"),
    [
        ((RUNNING,), ENDED, None),
        ((RUNNING,), ENDED + 1, "its services have not been read since"),
        ((RUNNING, CRASHED), 1, f"its service {SERVICE} 2.0.0 is running, exited"),
        ((FINAL_ONLY,), 1, None),
        ((), 1, None),
    ],
)
def test_an_agents_proof_is_also_in_the_services_it_reports(
    *, agreements: tuple[Agreement, ...], read_ago: float, why: str | None
) -> None:
    upgraded = member(ANNA, ago=1, agreements=agreements, agreements_read_at=seen_at(read_ago))

    assert rests.why_unproven(rest(Kind.AGENT), upgraded, LIMITS, NOW) == why


def test_another_service_of_the_member_does_not_disprove_a_services_upgrade() -> None:
    other = Agreement(id="other", service="o1/else", finalized=True, containers=("exited",))
    upgraded = member(ANNA, ago=1, agreements=(RUNNING, other), agreements_read_at=seen_at(1))

    assert is_proven(rest(), upgraded)


@pytest.mark.parametrize(
    ("agreements", "read_ago", "crashed"),
    [
        ((CRASHED,), ENDED - 1, True),
        ((RUNNING, CRASHED), 1, True),
        ((CRASHED,), ENDED, False),
        ((CRASHED,), None, False),
        ((RUNNING,), 1, False),
        ((FINAL_ONLY,), 1, False),
        ((), 1, False),
        (Sight.UNREAD, 1, False),
        ((agreement("new1", "2.0.0", "running", "Running"),), 1, False),
    ],
)
def test_a_container_that_was_seen_to_have_stopped_after_the_end_is_a_crash(
    *, agreements: tuple[Agreement, ...] | Sight, read_ago: float | None, crashed: bool
) -> None:
    read_at = None if read_ago is None else seen_at(read_ago)
    why = rests.why_crashed(rest(), member(ANNA, agreements=agreements, agreements_read_at=read_at))

    assert (why is not None) is crashed
    if why is not None:
        assert why == f"{SERVICE} 2.0.0 on {ANNA}: running, exited"


def test_an_agent_upgrade_cannot_crash_a_service() -> None:
    upgraded = member(ANNA, agreements=(CRASHED,), agreements_read_at=NOW.seen)

    assert rests.why_crashed(rest(Kind.AGENT), upgraded) is None


def reported(version: str = "2.32.0", *, proof_seconds: float = 600.0) -> Rest:
    """Let an agent's upgrade have ended with this version as the installed one."""
    found = rests.rest_after(replace(end(Kind.AGENT), version=version), limits(version_proof_seconds=proof_seconds))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "runs", "is_contradicted"),
    [
        ("2.32.0", "2.32.0", False),
        ("2.32.0", "2.31.0", True),
        ("2.32.0", "2.32.0-1519", False),
        ("2.32.0-1519", "2.32.0", False),
        ("2.32.0", "2.32.0+b1", False),
        ("2.32.0", "2.32.01", True),
        ("2.32.0-1519", "2.32.0-1520", True),
        ("2.32.0", "2.3-2.32.0", True),
        ("2.32.0", "", False),
        ("", "2.31.0", False),
    ],
)
def test_a_node_contradicts_its_report_by_another_version_and_not_by_a_build_number(
    said: str, runs: str, is_contradicted: bool
) -> None:
    found = rests.why_contradicted(reported(said), member(ANNA, ago=1, agent_version=runs))

    assert (found is not None) is is_contradicted
    assert found is None or (said in found and runs in found)


@pytest.mark.parametrize(("alive_ago", "counts"), [(ENDED - 1, True), (ENDED, False), (None, False)])
def test_its_version_contradicts_it_only_after_a_heartbeat_since_the_end(alive_ago: float | None, counts: bool) -> None:
    """Before that the Exchange still shows the former one."""
    found = rests.why_contradicted(reported(), member(ANNA, ago=alive_ago, agent_version="2.31.0"))

    assert (found is not None) is counts


def test_no_version_contradicts_where_that_is_switched_off() -> None:
    other = member(ANNA, ago=1, agent_version="2.31.0")

    assert rests.why_contradicted(reported(proof_seconds=0.0), other) is None
    assert rests.why_unproven(reported(), other, LIMITS, NOW) == rests.why_contradicted(reported(), other)


@pytest.mark.parametrize(("read_ago", "failed"), [(0, True), (40, True), (41, False), (None, False)])
def test_a_contradiction_counts_as_a_failure_by_a_read_after_its_time(read_ago: float | None, failed: bool) -> None:
    other, read_at = member(ANNA, ago=1, agent_version="2.31.0"), None if read_ago is None else seen_at(read_ago)

    assert (rests.why_failed(reported(proof_seconds=60.0), other, read_at) is not None) is failed
    assert rests.why_failed(reported(proof_seconds=0.0), other, read_at) is None


WELL = member(ANNA, ago=1, agreements=(agreement("a1"),), agreements_read_at=seen_at(0))
UNSEEN = member(ANNA, ago=ENDED + 1)


@pytest.mark.parametrize(
    ("upgraded", "later", "rests_on"),
    [
        (WELL, -11, True),
        (WELL, 0, False),
        (UNSEEN, 0, True),
        (UNSEEN, 889, True),
        (UNSEEN, 891, False),
        (Sight.UNREAD, 889, True),
        (Sight.UNREAD, 891, False),
        (Sight.ABSENT, 0, False),
        (Sight.ABSENT, -11, True),
    ],
)
def test_a_group_rests_for_its_time_and_then_for_the_proof_for_a_while(
    upgraded: Member | Sight, later: float, rests_on: bool
) -> None:
    assert rests.is_under_way(rest(), upgraded, LIMITS, NOW + timedelta(seconds=later)) is rests_on


def test_a_contradiction_is_waited_for_without_limit() -> None:
    other = member(ANNA, ago=1, agent_version="2.31.0")

    assert rests.is_under_way(reported(), other, LIMITS, NOW + timedelta(days=9))


def test_an_operator_ends_a_rest() -> None:
    assert rests.rest_after(replace(end(), is_rested=True), LIMITS) is None


@pytest.mark.parametrize(
    ("found", "read_ago", "crashed"),
    [
        (agreement("a1", "2.0.0", "exited"), 1, True),
        (agreement("a1", "2.0.0", "exited"), ENDED, False),
        (agreement("a1", "2.0.0", "exited"), None, False),
        (agreement("a1", "2.0.0"), 1, False),
        (replace(agreement("a1", "2.0.0", "exited"), service="o1/pump"), 1, False),
    ],
    ids=["stopped", "a look from before the end", "no look", "it runs", "another service"],
)
def test_what_has_stopped_since_the_end_has_crashed(found: Agreement, read_ago: float | None, crashed: bool) -> None:
    seen = member(ANNA, agreements=(found,), agreements_read_at=None if read_ago is None else seen_at(read_ago))

    assert (rests.why_crashed(rest(), seen) is not None) is crashed
    assert rests.why_crashed(rest(service=""), seen) is None
