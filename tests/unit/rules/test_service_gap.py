"""A node whose service was lost when it joined: what says that its upgrade goes on, and what ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agbot.rules import deferral as rule
from agbot.rules import service_gap
from agbot.rules.facts import Agreement, Member, NodeType, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.records import Deferral
from tests.support.values import (
    ANNA,
    BERT,
    GROUP,
    LIMITS,
    NMP,
    NOW,
    agreement,
    at,
    claim,
    ended,
    held,
    limits,
    member,
    seen_at,
    service_deferral,
    status,
)

LOST = 100.0
OLD_ONE = agreement("old", ago=5000)
RUNS, UNTIMED = agreement("new", "2.0.0", ago=50), agreement("new", "2.0.0")
PROPOSED = agreement("new", "2.0.0", ago=50, finalized=False)
STARTS = agreement("new", "2.0.0", "running", "created", ago=50)
SILENT = replace(RUNS, containers=(), version="")


def lost(agreements: tuple[Agreement, ...] | Sight = (), *, ago: float = LOST, **fields: object) -> Member:
    who = member(ANNA, agreements=agreements, service_lost_at=at(ago), **fields)  # type: ignore[arg-type] # the node's own
    return replace(who, agreements_read_at=who.agreements_read_at or NOW.seen)


@pytest.mark.parametrize(
    ("agreements", "over"),
    [
        ((), None),
        ((OLD_ONE,), None),
        ((PROPOSED,), None),
        ((STARTS,), None),
        ((SILENT,), None),
        ((UNTIMED,), None),
        ((RUNS, replace(STARTS, id="other")), None),
        ((RUNS,), "it runs o1/flow-meter 2.0.0"),
        ((replace(OLD_ONE, finalized=False), RUNS), "it runs o1/flow-meter 2.0.0"),
        ((replace(RUNS, updated_at=at(LOST)),), "it runs o1/flow-meter 2.0.0"),
        ((replace(RUNS, updated_at=at(LOST + 1)),), None),
        (Sight.UNREAD, None),
    ],
    ids=[
        "none",
        "one from before",
        "proposed",
        "starting",
        "no container reported",
        "of unknown age",
        "two, of which one starts",
        "running",
        "running, beside an old one that does not",
        "of the moment of the loss",
        "of the moment before it",
        "unread",
    ],
)
def test_a_lost_service_is_back_when_everything_new_runs(
    agreements: tuple[Agreement, ...] | Sight, over: str | None
) -> None:
    assert service_gap.why_over(at(LOST), lost(agreements), LIMITS, NOW) == over


@pytest.mark.parametrize(
    ("agreements", "limit"),
    [((), 600), ((OLD_ONE,), 600), ((SILENT,), 600), ((PROPOSED,), 7200), ((STARTS,), 7200)],
    ids=["none", "one from before", "no container reported", "proposed", "starting"],
)
def test_the_wait_for_it_is_bounded(agreements: tuple[Agreement, ...], limit: int) -> None:
    def over(ago: float) -> str | None:
        fresh = tuple(each if each is OLD_ONE else replace(each, updated_at=at(ago - 1)) for each in agreements)
        older = replace(OLD_ONE, updated_at=at(ago + 1))
        seen = tuple(older if each is OLD_ONE else each for each in fresh)
        return service_gap.why_over(at(ago), lost(seen), LIMITS, NOW)

    assert over(limit) is None
    assert over(limit + 1) == f"no new agreement was seen running within {limit} s"


@pytest.mark.parametrize(
    ("read_ago", "ago", "over"), [(0, 700, True), (100, 700, False), (100, 7200, False), (100, 7201, True)]
)
def test_that_no_new_agreement_runs_is_shown_by_a_read_after_that_time_alone(
    read_ago: float, ago: float, over: bool
) -> None:
    """A node that cannot be read does not get on for it, up to the longest upgrade."""
    read_at = seen_at(read_ago) if ago == 700 else seen_at(ago)

    assert (service_gap.why_over(at(ago), lost((), agreements_read_at=read_at), LIMITS, NOW) is not None) is over


def test_the_bounds_are_the_operators() -> None:
    short = limits(lease_seconds=30, max_upgrade_seconds=90)

    assert service_gap.why_over(at(31), lost(), short, NOW)
    assert service_gap.why_over(at(100), lost((STARTS,)), short, NOW)


def test_a_node_that_unregisters_is_in_the_middle_of_nothing() -> None:
    assert service_gap.why_over(at(1), lost(registered=False), LIMITS, NOW) == "the node has unregistered"


def begin(who: Member, lease: Lease | None = None) -> Deferral | None:
    return rule.begin(GROUP, who, lease or Lease(group=GROUP), LIMITS, NOW)


@pytest.mark.parametrize(("agreements", "words"), [((), "no agreement"), ((STARTS,), "not running yet")])
def test_a_node_that_joined_in_the_gap_is_deferred_since_its_loss(
    agreements: tuple[Agreement, ...], words: str
) -> None:
    assert begin(lost(agreements)) == replace(service_deferral(ago=LOST), status=words)


@pytest.mark.parametrize(
    "who",
    [
        member(ANNA, agreements=()),
        lost((RUNS,)),
        lost(ago=601),
        lost(registered=False),
        lost(node_type=NodeType.CLUSTER),
        member(ANNA, agreements=(), service_lost_at=at(LOST), ago=301),
    ],
    ids=["it lost nothing", "it is back", "long ago", "unregistered", "a cluster node", "offline"],
)
def test_no_deferral_begins_here(who: Member) -> None:
    assert begin(who) is None


def test_the_holder_of_the_lease_is_not_deferred_for_its_service() -> None:
    assert begin(lost(), held(claim(ANNA, Kind.SERVICE))) is None
    assert begin(lost(), held(claim(BERT, Kind.SERVICE))) is not None


@pytest.mark.parametrize(
    ("end", "begins"),
    [
        (ended(by=claim(ANNA, Kind.SERVICE), ago=LOST - 1), False),
        (ended(by=claim(ANNA, Kind.SERVICE), ago=LOST + 1), True),
        (ended(by=claim(ANNA), ago=LOST - 1), True),
        (ended(by=claim(BERT, Kind.SERVICE), ago=LOST - 1), True),
    ],
    ids=["its own", "its own, before", "of its agent", "another's"],
)
def test_a_service_that_went_down_under_the_members_own_lease_defers_no_one(end: Lease, begins: bool) -> None:
    """It crashed after its upgrade had ended well: no upgrade is under way, and the next release must reach it."""
    assert (begin(lost((STARTS,)), end) is not None) is begins


def test_an_agent_upgrade_under_way_comes_first() -> None:
    both = member(ANNA, {NMP: status("initiated")}, agreements=(), service_lost_at=at(LOST), joined_at=at(0))

    begun = begin(both)

    assert begun is not None
    assert (begun.kind, begun.subject) == (Kind.AGENT, NMP)


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (Sight.UNREAD, None),
        (Sight.ABSENT, "the node is gone"),
        (member(ANNA, agreements=(), group="o1/fans"), "the node has left the group"),
        (member(ANNA, agreements=(), registered=False), "the node has unregistered"),
        (member(ANNA, agreements=()), None),
        (member(ANNA, agreements=(RUNS,)), "it runs o1/flow-meter 2.0.0"),
        (member(ANNA, {NMP: status("successful")}, agreements=()), None),
    ],
    ids=["unread", "gone", "left", "unregistered", "still down", "back", "an agent upgrade ended"],
)
def test_the_deferral_of_a_service_ends_on_evidence_about_it(who: Member | Sight, why: str | None) -> None:
    assert rule.why_ended(service_deferral(), who, LIMITS, NOW) == why


def test_an_overlap_ends_on_an_agreement_for_its_own_service_alone() -> None:
    overlap = replace(service_deferral(), subject=PolicyId("o1/dp"), service="o1/camera")
    camera = replace(RUNS, service="o1/camera")

    assert rule.why_ended(overlap, member(ANNA, agreements=(RUNS,)), LIMITS, NOW) is None
    assert rule.why_ended(overlap, member(ANNA, agreements=(RUNS, camera)), LIMITS, NOW) == "it runs o1/camera 2.0.0"
