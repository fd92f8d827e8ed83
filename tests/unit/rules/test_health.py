"""Who counts as available, to the second."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from agbot.rules import health
from agbot.rules.facts import Agreement, Member, Sight
from agbot.rules.ids import NodeId
from agbot.rules.peers import Peers, peers_unavailable
from agbot.rules.statuses import PHASES, Phase, Status
from tests.support.values import (
    ANNA,
    BERT,
    CARL,
    LIMITS,
    NEW,
    NMP,
    NOW,
    OLD,
    OTHER_NMP,
    SERVICE,
    agreement,
    ask,
    at,
    case,
    deferral,
    group,
    limits,
    member,
    node,
    status,
)

PAST_THE_GATE = {"downloaded", "initiated", "rollback started"}


@pytest.mark.parametrize(
    ("ago", "interval", "alive"),
    [
        (0, 0, True),
        (-5, 0, True),
        (300, 0, True),
        (301, 0, False),
        (301, 150, False),
        (300, 150, True),
        (301, 151, True),
        (302, 151, True),
        (303, 151, False),
        (7200, 3600, True),
        (7201, 3600, False),
        (None, 0, False),
        (None, 9999, False),
    ],
)
def test_a_heartbeat_is_fresh_against_the_limit_or_twice_the_nodes_own_interval(
    *, ago: float | None, interval: float, alive: bool
) -> None:
    found = health.why_offline(node(ago=ago, heartbeat_interval_seconds=interval), LIMITS, NOW)

    assert (found is None) is alive


@pytest.mark.parametrize(
    ("ago", "interval", "dead"),
    [
        (1800, 0, False),
        (1801, 0, True),
        (1801, 900, True),
        (1801, 901, False),
        (7200, 3600, False),
        (7201, 3600, True),
        (None, 0, True),
    ],
)
def test_a_node_is_dead_only_after_both_limits(*, ago: float | None, interval: float, dead: bool) -> None:
    assert health.is_dead(node(ago=ago, heartbeat_interval_seconds=interval), LIMITS, NOW) is dead


@pytest.mark.parametrize("interval", [86_400, 31_536_000])
def test_a_node_that_claims_to_be_received_once_a_day_or_a_year_is_missed_after_two_hours_all_the_same(
    interval: float,
) -> None:
    silent = member(ANNA, ago=7201, heartbeat_interval_seconds=interval)

    assert health.why_unavailable(silent, LIMITS, NOW) == "last heartbeat 2 hours ago"
    assert health.is_dead(silent.node, LIMITS, NOW)


def test_after_a_blindness_such_a_node_is_not_waited_for_longer_than_that_either() -> None:
    just_clear = structs.replace(NOW, clear_since=NOW.seen - timedelta(seconds=3600))
    silent = node(ago=20_000, heartbeat_interval_seconds=31_536_000)

    assert health.is_dead(silent, LIMITS, just_clear)


def test_an_operator_whose_nodes_are_received_rarely_raises_how_long_a_node_is_waited_for() -> None:
    rare = node(ago=20_000, heartbeat_interval_seconds=10_800)

    assert health.why_offline(rare, LIMITS, NOW) == "last heartbeat 5 hours ago"
    assert health.why_offline(rare, limits(dead_after_seconds=7200), NOW) is None


def test_the_reasons_are_readable() -> None:
    assert health.why_offline(node(ago=None), LIMITS, NOW) == "has never sent a heartbeat"
    assert health.why_offline(node(ago=400.9), LIMITS, NOW) == "last heartbeat 6 minutes ago"
    busy = member(ANNA, {NMP: status("initiated")})
    assert health.why_unavailable(busy, LIMITS, NOW) == f"its own upgrade {NMP} is initiated"


@pytest.mark.parametrize("value", [*PHASES, "unknown"])
def test_only_an_upgrade_past_the_gate_makes_a_live_member_unavailable(value: str) -> None:
    busy = member(ANNA, {NMP: status(value)})

    assert (health.why_unavailable(busy, LIMITS, NOW) is not None) is (value in PAST_THE_GATE)


def test_the_phases_past_the_gate_are_exactly_these() -> None:
    assert {value for value, phase in PHASES.items() if phase is Phase.UNDER_WAY} == PAST_THE_GATE


@pytest.mark.parametrize(
    ("report", "version", "under_way"),
    [
        (status("initiated", ago=7200), OLD, True),
        (status("initiated", ago=7201), OLD, False),
        (status("initiated"), NEW, False),
        (status("downloaded"), NEW, False),
        (status("rollback started"), NEW, True),
        (status("rollback started", ago=7201), NEW, False),
        (status("initiated", target_version=""), "", True),
        (status("successful"), OLD, False),
    ],
)
def test_a_report_is_over_when_its_version_runs_or_when_it_has_outlived_every_upgrade(
    *, report: Status, version: str, under_way: bool
) -> None:
    assert health.is_under_way(report, member(ANNA, agent_version=version), LIMITS, NOW) is under_way


def test_any_of_a_members_upgrades_counts_in_whatever_order_they_are_read() -> None:
    done, busy = status("initiated", target_version=OLD), status("initiated")

    assert health.upgrading(member(ANNA, {NMP: done, OTHER_NMP: busy}), LIMITS, NOW) == OTHER_NMP
    assert health.upgrading(member(ANNA, {OTHER_NMP: busy, NMP: done}), LIMITS, NOW) == OTHER_NMP
    assert health.upgrading(member(ANNA, {OTHER_NMP: busy, NMP: busy}), LIMITS, NOW) == NMP
    assert health.upgrading(member(ANNA, {NMP: busy, OTHER_NMP: busy}), LIMITS, NOW) == NMP


def test_a_dead_node_in_the_middle_of_an_upgrade_is_offline_first() -> None:
    why = health.why_unavailable(member(ANNA, {NMP: status("initiated")}, ago=9000), LIMITS, NOW)

    assert why == "last heartbeat 2 hours ago"


def test_all_that_are_missing_are_reported_and_no_one_else() -> None:
    members = [member(ANNA), member(BERT, ago=301), member(CARL, {NMP: status("downloaded")})]

    def missing(**facts: Any) -> set[NodeId]:
        asker = NodeId("o1/dora")
        return set(Peers(case(ask(asker), group(member(asker), *members, **facts))).missing())

    assert missing() == {BERT, CARL}
    assert missing(limits=limits(heartbeat_stale_seconds=301)) == {CARL}
    assert missing(deferrals={ANNA: deferral()}) == {ANNA, BERT, CARL}


STOPPED = agreement("a1", "2.0.0", "running", "exited")
RUNNING = agreement("a1", "2.0.0")
UNREPORTED = Agreement(id="a1", service=SERVICE, finalized=True)
ELSEWHERE = Agreement(id="a2", service="o1/else", finalized=True, containers=("exited",))


@pytest.mark.parametrize(
    ("agreements", "why"),
    [
        ((RUNNING,), None),
        ((UNREPORTED,), None),
        ((), None),
        (Sight.UNREAD, None),
        ((STOPPED,), f"its service {SERVICE} 2.0.0 is running, exited"),
        ((RUNNING, ELSEWHERE), "its service o1/else  is exited"),
    ],
)
def test_a_member_that_reports_containers_which_do_not_run_is_unavailable(
    *, agreements: tuple[Agreement, ...] | Sight, why: str | None
) -> None:
    reporting = member(ANNA, agreements=agreements)

    assert health.why_unavailable(reporting, LIMITS, NOW) == why
    assert health.why_unavailable(reporting, limits(services_must_run=False), NOW) is None


@pytest.mark.parametrize(
    ("ended", "agreements", "is_down"),
    [
        (30, (), True),
        (600, (), True),
        (601, (), False),
        (30, (agreement("old", ago=31),), True),
        (30, (agreement("new", ago=30),), False),
        (30, (agreement("new", "2.0.0", "not started", ago=10),), True),
        (30, (agreement("new", finalized=False, ago=10),), True),
        (30, (replace(UNREPORTED, updated_at=at(10)),), False),
        (30, Sight.UNREAD, False),
    ],
)
def test_a_member_whose_agreement_has_ended_is_unavailable_until_a_new_one_runs_or_a_lease_has_passed(
    *, ended: float, agreements: tuple[Agreement, ...] | Sight, is_down: bool
) -> None:
    lost = member(ANNA, agreements=agreements, agreement_ended_at=at(ended))

    assert (health.why_unavailable(lost, LIMITS, NOW) is not None) is is_down


def test_a_service_that_is_down_counts_only_for_those_who_run_it() -> None:
    """Where the release is bad on every member, no one takes anything away by going down."""
    down = member(BERT, agreements=(STOPPED,))
    serving, without, bad = (member(ANNA, agreements=each) for each in ((RUNNING,), (), (STOPPED,)))
    unknown = member(ANNA)

    assert [peers(ANNA, each, down) for each in (serving, unknown)] == [
        f"the only other member is not available, 1 must be (min_available 1): {BERT} (its service {SERVICE} 2.0.0 is running, exited)"
    ] * 2
    assert [peers(ANNA, each, down) for each in (without, bad)] == [None, None]


def test_after_an_end_each_service_at_stake_has_to_run_and_no_other() -> None:
    """Several agreements may end at once, and one that flaps may be no one's business."""
    meter, camera = (replace(RUNNING, id=name, service=f"o1/{name}", updated_at=at(10)) for name in ("meter", "camera"))
    asker = member(ANNA, agreements=(meter, camera))

    def peer(*back: Agreement) -> str | None:
        return peers(ANNA, asker, member(BERT, agreements=back, agreement_ended_at=at(30)))

    assert (peer(meter) or "").endswith("one of its agreements ended 30 s ago and o1/camera does not run)")
    assert peer(meter, camera) is None
    assert (
        peers(ANNA, member(ANNA, agreements=(meter,)), member(BERT, agreements=(meter,), agreement_ended_at=at(1)))
        is None
    )


def test_an_agreement_that_ended_counts_only_for_those_who_run_anything() -> None:
    lost = member(BERT, agreements=(), agreement_ended_at=at(30))
    serving, idle = (member(ANNA, agreements=each) for each in ((RUNNING,), ()))

    assert peers(ANNA, serving, lost) is not None
    assert peers(ANNA, idle, lost) is None


def peers(asker: NodeId, *members: Member) -> str | None:
    found = peers_unavailable(case(ask(asker), group(*members)))
    return found.text if found else None


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (replace(member(ANNA), unreadable="its node cannot be read"), "its node cannot be read"),
        (
            member(
                ANNA, {NMP: replace(status("{"), is_garbled=True), OTHER_NMP: replace(status("["), is_garbled=True)}
            ),
            f"its report for {NMP} cannot be read: {{",
        ),
        (member(ANNA, registered=False, ago=9000), "its agent is not registered"),
    ],
    ids=["its node", "one of its reports", "it is not registered"],
)
def test_a_member_that_cannot_be_read_is_not_available_and_says_why(odd: Member, why: str) -> None:
    assert health.why_unavailable(odd, LIMITS, NOW) == why


def test_a_deferred_member_is_not_available_and_says_what_it_does() -> None:
    overlap = replace(deferral(), overlaps=True)

    assert health.why_unavailable(member(ANNA), LIMITS, NOW, deferral()) == (
        f"it joined during {NMP}, which has not ended"
    )
    assert health.why_unavailable(member(ANNA), LIMITS, NOW, overlap) == f"the agent upgrade {NMP} has not ended"


@pytest.mark.parametrize(("ago", "long"), [(None, True), (301, True), (300, False)])
def test_a_node_has_been_silent_for_long_by_its_last_heartbeat(ago: float | None, long: bool) -> None:
    assert health.is_long_silent(node(ago=ago), LIMITS, NOW) is long


def test_it_is_known_when_a_silent_node_will_count_as_dead() -> None:
    assert health.dead_at(node(ago=300), LIMITS, NOW) == NOW.seen + timedelta(seconds=1500)
    assert health.dead_at(node(ago=None), LIMITS, NOW) is None
    just_back = structs.replace(NOW, clear_since=NOW.seen)
    assert health.dead_at(node(ago=300), LIMITS, just_back) is None, "a heartbeat may be due only now"


@pytest.mark.parametrize(
    ("heartbeat_ago", "unseen_until", "silent_before", "is_dead"),
    [
        (1801, None, 0, True),
        (1801, 1900, 0, True),
        (1801, 1801, 0, True),
        (1801, 100, 0, False),
        (1801, 100, 1701, True),
        (1801, 100, 1700, False),
        (None, 100, 0, False),
        (None, 1801, 0, True),
    ],
    ids=[
        "seen all the time",
        "a heartbeat since",
        "a heartbeat right then",
        "not to be seen until lately",
        "and silent for long before",
        "not quite",
        "it never was, but could not be seen",
        "it never was, and could be seen for long",
    ],
)
def test_silence_is_counted_while_a_heartbeat_could_be_seen(
    heartbeat_ago: float | None, unseen_until: float | None, silent_before: float, is_dead: bool
) -> None:
    silent = node(
        ago=heartbeat_ago,
        unseen_until=None if unseen_until is None else at(unseen_until),
        silent_before=timedelta(seconds=silent_before),
    )

    assert health.is_dead(silent, LIMITS, NOW) is is_dead
