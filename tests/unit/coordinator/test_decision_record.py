"""What is kept of a decision: how much room it takes, and what is done with one that makes no sense."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from agbot.coordinator import decision_record
from agbot.rules.decide import Grant, decide
from agbot.rules.facts import Agreement, Sight
from agbot.rules.group import Group
from agbot.rules.holder import Seen
from agbot.rules.ids import NodeId, PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.records import Brake
from agbot.rules.review import review
from agbot.rules.seen_time import Gap
from agbot.rules.verdict import Keep, Release
from agbot.rules.window import Window
from tests.support import values
from tests.support.values import ANNA, BERT, CARL, NMP, NOW, SERVICE, case, review_of

DORA = NodeId("o1/dora")
HUNDRED = [NodeId(f"o1/gateway-{number:02}") for number in range(100)]


def size(group: Group, asker: NodeId = BERT) -> int:
    return len(json.dumps(decision_record.write(case(values.ask(asker), group)), separators=(",", ":")))


def test_three_healthy_members_take_little_more_than_a_kilobyte() -> None:
    assert size(values.group(lease=values.held())) < 1_600


def test_a_hundred_members_take_one_short_row_each() -> None:
    idle = [values.member(name, {NMP: values.status("ha node waiting")}) for name in HUNDRED]
    waiters = tuple(values.waiter(name) for name in HUNDRED)
    group = values.group(*idle, lease=values.held(), waiters=waiters)

    assert size(group, HUNDRED[7]) < 14_100


def test_the_worst_of_a_hundred_members_is_bounded_too() -> None:
    """All are in the middle of something, all wait and all have been served."""
    busy = [values.member(name, {NMP: values.status("initiated")}) for name in HUNDRED]
    group = values.group(
        *busy,
        lease=values.held(),
        waiters=tuple(values.waiter(name) for name in HUNDRED),
        turns={name: values.turn(name, ago=60) for name in HUNDRED},
        deferrals={name: values.deferral(name) for name in HUNDRED},
    )

    assert size(group, HUNDRED[7]) < 80_000


def test_the_past_of_a_group_takes_no_room() -> None:
    group = values.group(lease=values.held())
    brakes = tuple(replace(values.brake(), subject=PolicyId(f"o1/old-{number}")) for number in range(50))
    policies = {(brake.kind, brake.subject): values.policy(brake.subject) for brake in brakes}

    assert size(structs.replace(group, brakes=brakes, policies={**group.policies, **policies})) == size(group)


def size_of_review(lease: Lease, seen: Seen) -> int:
    return len(json.dumps(decision_record.write_review(review_of(lease, seen)), separators=(",", ":")))


LONG_NAMES = [f"{number:064x}" for number in range(20)]
"""As agreements are named."""


def service_review(*agreements: Agreement, before: int = 1) -> tuple[Lease, Seen]:
    """Build the lease of a service's upgrade, and its holder with a new agreement and these others."""
    progress = values.under_way(service=SERVICE, agreements_before=tuple(LONG_NAMES[:before]))
    new = values.agreement("f" * 64, "2.0.0", "running", ago=5)
    seen = values.seen(policy=values.deployment(), agreements=(*agreements, new))
    return values.held(values.claim(ANNA, Kind.SERVICE), progress=progress), seen


def test_a_review_takes_little_more_than_a_kilobyte() -> None:
    report = values.status("successful", stamp="2026-03-04T12:00:00.123456789Z[UTC]")
    seen = values.seen(status=report)

    assert size_of_review(values.held(progress=values.under_way()), seen) < 1_400
    assert size_of_review(*service_review()) < 1_650
    assert size_of_review(*service_review(before=20)) < 1_650 + 19 * 67


def test_of_a_review_agreements_for_other_services_and_earlier_ends_take_no_room() -> None:
    others = [replace(values.agreement(name), service=f"o1/other-{name}") for name in LONG_NAMES]
    lease, seen = service_review(*others)
    before = replace(lease, last_end=values.ended().last_end)

    assert size_of_review(before, seen) == size_of_review(*service_review())


def test_of_an_agent_s_review_agreements_take_no_room_and_of_a_service_s_statuses_take_none() -> None:
    lease, seen = values.held(), values.seen(status=values.status("initiated"))
    loaded = replace(seen, agreements=tuple(values.agreement(name) for name in LONG_NAMES))
    assert size_of_review(lease, loaded) == size_of_review(lease, replace(seen, agreements_read_at=None))

    lease, seen = service_review()
    loaded = replace(seen, status=values.status("initiated"))
    assert size_of_review(lease, loaded) == size_of_review(lease, seen)


@pytest.mark.parametrize("kind", [Kind.AGENT, Kind.SERVICE])  # a host reports nothing
@pytest.mark.parametrize(("blind", "verdict"), [(30, Keep), (300, Release)], ids=["blind", "seeing"])
def test_since_when_the_exchange_can_be_read_is_kept_of_a_claim_without_a_sign(
    kind: Kind, blind: float, verdict: type
) -> None:
    """A random review hardly ever hangs on it."""
    progress = values.begun(200, status="old final 1.0.0 running", agreements_before=("old",))
    lease = values.held(values.claim(ANNA, kind), ago=200, progress=progress)
    policy = values.policy() if kind is Kind.AGENT else values.deployment()
    seen = values.seen(policy=policy, agreements=(values.agreement("old"),))

    gap = Gap(values.at(blind + 900), values.at(blind))
    clear = structs.replace(values.NOW, clear_since=values.seen_at(blind), gaps=(gap,))
    read = decision_record.read_review(decision_record.write_review(review_of(lease, seen, now=clear)))

    assert read.now == clear
    assert isinstance(review(read), verdict)


def test_agreements_are_kept_of_those_who_ask_of_the_member_that_rests_and_where_one_has_stopped() -> None:
    agreements = (values.agreement("a1"), replace(values.agreement("a2"), service="o1/other"))
    stopped = values.agreement("a3", "1.0.0", "exited")
    runs = {name: (*agreements, stopped) if name == CARL else agreements for name in (ANNA, BERT, CARL, DORA)}
    members = [values.member(name, agreements=each, agreements_read_at=NOW.seen) for name, each in runs.items()]
    lease = values.ended()
    assert lease.last_end is not None
    group = values.group(*members, lease=replace(lease, last_end=replace(lease.last_end, service=SERVICE)))

    kept = decision_record.read(decision_record.write(case(values.ask(), group))).group.members

    assert kept[ANNA].agreements == (agreements[0],)
    assert kept[ANNA].agreements_read_at == NOW.seen
    assert kept[BERT].agreements == agreements
    assert kept[CARL].agreements == (stopped,)
    assert kept[DORA].agreements is Sight.UNREAD


@pytest.mark.parametrize("state", ["running", "exited"])
def test_the_proof_of_a_rest_is_kept(state: str) -> None:
    """A random group hardly ever rests for a service whose member was seen well."""
    seen = values.member(ANNA, agreements=(values.agreement("a1", "2.0.0", state),), agreements_read_at=NOW.seen)
    ended = values.ended(by=values.claim(ANNA, Kind.SERVICE), ago=200)
    assert ended.last_end is not None
    lease = replace(ended, last_end=replace(ended.last_end, service=SERVICE))
    ask, group = values.service_ask(BERT), values.group(seen, values.member(BERT), lease=lease)

    read = decision_record.read(decision_record.write(case(ask, group)))

    assert decide(case(read.ask, read.group, read.at)) == decide(case(ask, group))
    assert isinstance(decide(case(ask, group)), Grant) is (state == "running")


def test_every_limit_is_kept_because_a_default_may_change() -> None:
    kept = decision_record.write(case(values.ask(), values.group()))["group"]["limits"]
    of_review = decision_record.write_review(review_of(values.held(), values.seen()))["limits"]

    assert set(kept) == set(of_review) == set(Limits.__slots__)


def test_a_window_keeps_its_zone() -> None:
    berlin = Window(weekdays=frozenset({5, 6}), opens=time(22), closes=time(4), zone=ZoneInfo("Europe/Berlin"))
    utc = Window(weekdays=frozenset({0}), opens=time(1), closes=time(0))
    group = values.group(limits=values.limits(windows=(berlin, utc)))

    assert decision_record.read(decision_record.write(case(values.ask(), group))).group.limits.windows == (berlin, utc)


def test_what_a_later_program_adds_is_passed_over_and_what_this_one_has_added_gets_its_default() -> None:
    written = decision_record.write(case(values.ask(), values.group(brakes=(values.brake(),))))
    written["group"]["mood"] = "fair"
    del written["group"]["limits"]["rest_proof_seconds"]

    assert decision_record.read(written).group.limits == Limits()
    assert isinstance(decision_record.read(written).group.brakes[0], Brake)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("at",), "yesterday"),
        (("group", "id"), 3),
        (("group", "members", "o1/anna", "node", "node_type"), "toaster"),
        (("group", "lease", "state"), "held"),
        (
            ("group", "limits", "windows"),
            [{"weekdays": [1], "opens": "01:00:00", "closes": "02:00:00", "zone": "Mars/Utopia"}],
        ),
    ],
)
def test_facts_that_make_no_sense_are_an_error_and_never_a_guess(path: tuple[str, ...], value: object) -> None:
    written: Any = decision_record.write(case(values.ask(), values.group()))
    place = written
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    with pytest.raises(decision_record.DecisionRecordError, match="cannot be read"):
        decision_record.read(written)


@pytest.mark.parametrize(
    "value", [None, 7, "text", [], {}, decision_record.write_review(review_of(values.held(), values.seen()))]
)
def test_something_else_is_no_decision_record(value: object) -> None:
    with pytest.raises(decision_record.DecisionRecordError):
        decision_record.read(value)


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, decision_record.write(case(values.ask(), values.group()))])
def test_something_else_is_no_decision_record_of_a_review(value: object) -> None:
    with pytest.raises(decision_record.DecisionRecordError):
        decision_record.read_review(value)


def test_a_free_lease_is_not_reviewed() -> None:
    with pytest.raises(ValueError, match="is free"):
        review_of(values.ended(), values.seen())
