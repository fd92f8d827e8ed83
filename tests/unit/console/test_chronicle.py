"""What the journal says of rollouts, and of the upgrades of one group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agbot.console.page import drawing, timeline
from agbot.console.page.chronicle import Chronicle
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause
from agbot.store.contract import Entry

BEGUN = datetime(2026, 3, 4, tzinfo=UTC)
GROUP, POLICY = GroupId("o1/g1"), PolicyId("o1/p")
ONE, TWO = NodeId("o1/n1"), NodeId("o1/n2")


def entry(number: int, event: str, token: int, node: NodeId = ONE, **facts: object) -> Entry:
    return Entry(
        at=BEGUN + timedelta(minutes=number),
        event=event,
        group=GROUP,
        node=node,
        subject=POLICY,
        token=token,
        facts=facts,
        id=number,
    )


def granted(number: int, token: int, node: NodeId = ONE, kind: str = "agent") -> Entry:
    return entry(number, "lease.granted", token, node, kind=kind, expires_at="2026-03-04T01:00:00Z")


def released(number: int, token: int, node: NodeId = ONE, cause: str = "succeeded") -> Entry:
    return entry(number, "lease.released", token, node, cause=cause, why="it says so", held_seconds=60.0)


def test_the_latest_end_of_each_member_is_kept() -> None:
    found = Chronicle()
    found.take([granted(1, 1), released(2, 1, cause="failed"), granted(3, 2), released(4, 2), granted(5, 3, TWO)])

    record = found.rollouts[Kind.AGENT, POLICY]
    assert {node: each.cause for node, each in record.of(GROUP).items()} == {ONE: Cause.SUCCEEDED}
    assert record.of(GROUP)[ONE].at == BEGUN + timedelta(minutes=4)
    assert [at for at, _ in record.begun] == [BEGUN + timedelta(minutes=each) for each in (1, 3, 5)]
    assert (found.last_id, record.last_at) == (5, BEGUN + timedelta(minutes=5))


def test_how_long_members_took_is_that_of_successes_of_the_present_revision() -> None:
    found = Chronicle()
    found.take([granted(1, 1), released(2, 1), granted(3, 2, TWO), released(4, 2, TWO, "failed")])
    record = found.rollouts[Kind.AGENT, POLICY]

    assert list(record.tenures(None)) == [timedelta(seconds=60)]
    assert list(record.tenures(BEGUN + timedelta(minutes=3))) == []


def test_upgrades_of_both_kinds_under_one_name_are_two_rollouts() -> None:
    found = Chronicle()
    found.take([granted(1, 1, kind="service"), released(2, 1), granted(3, 2), released(4, 2)])

    assert set(found.rollouts) == {(Kind.SERVICE, POLICY), (Kind.AGENT, POLICY)}


def test_an_end_whose_grant_is_no_longer_in_the_journal_makes_no_rollout_of_another_kind() -> None:
    """It does not name its kind: that of a service upgrade was listed as an agent upgrade."""
    found = Chronicle()
    found.take([released(1, 1), granted(2, 2, kind="service")])

    assert list(found.rollouts) == [(Kind.SERVICE, POLICY)]
    assert dict(found.rollouts[Kind.SERVICE, POLICY].of(GROUP)) == {}


def test_it_does_not_matter_in_how_many_parts_the_journal_is_read() -> None:
    entries = [granted(1, 1), released(2, 1), granted(3, 2, TWO), released(4, 2, TWO, "expired")]
    whole, parts = Chronicle(), Chronicle()
    whole.take(entries)
    for each in entries:
        parts.take([each])

    assert whole.rollouts == parts.rollouts


def test_an_entry_that_this_program_cannot_read_is_passed_over() -> None:
    found = Chronicle()
    found.take([entry(1, "lease.granted", 1, kind="flight"), entry(2, "lease.teleported", 2)])

    assert (found.rollouts, found.last_id) == ({}, 2)


def test_the_upgrades_of_a_group_have_their_ends() -> None:
    entries = [
        granted(1, 1),
        entry(2, "lease.suspected", 1, why="silent"),
        released(3, 1, cause="expired"),
        granted(4, 2, TWO),
    ]

    first, second = timeline.upgrades(reversed(entries))

    assert (first.node, first.cause, first.look) == (ONE, "expired", "bad")
    assert first.ended_at == BEGUN + timedelta(minutes=3)
    assert (second.node, second.ended_at, second.look) == (TWO, None, "running")


def test_an_upgrade_without_its_begin_is_not_drawn() -> None:
    assert timeline.upgrades([released(3, 1)]) == []


def test_the_time_line_has_a_lane_for_each_member_and_bars_within_the_drawing() -> None:
    upgrades = timeline.upgrades([granted(1, 1), released(21, 1), granted(22, 2, TWO)])

    found = timeline.timeline(upgrades, [ONE, TWO, NodeId("o1/n3")], BEGUN + timedelta(minutes=41))

    assert found is not None
    assert [lane.name for lane in found.lanes] == ["n1", "n2", "n3"]
    assert [len(lane.bars) for lane in found.lanes] == [1, 1, 0]
    first, second = (bar for lane in found.lanes for bar in lane.bars)
    assert all(bar.x >= 0 and bar.x + bar.width <= drawing.WIDTH + 0.1 for bar in (first, second))
    assert first.x + first.width <= second.x
    assert timeline.timeline([], [ONE], BEGUN) is None


def test_labels_are_at_round_times_within_the_axis() -> None:
    for minutes in (10, 55, 600, 5000, 50_000):
        over = drawing.axis(BEGUN, BEGUN + timedelta(minutes=minutes, seconds=7))
        ticks = over.ticks()

        assert 1 <= len(ticks) <= 7, minutes
        assert [each.x for each in ticks] == sorted({each.x for each in ticks})


def test_the_curve_ends_at_the_number_of_groups_that_are_done() -> None:
    over = drawing.axis(BEGUN, BEGUN + timedelta(hours=1))
    ends = [BEGUN + timedelta(minutes=each) for each in (15, 30, 30)]

    found = drawing.curve(ends, ends, [BEGUN], groups=4, known_before=1, over=over)

    assert found.line == "0,135 250,135 250,90 500,90 500,0 1000,0"
    assert found.failures == [0.0]


def test_a_long_curve_has_few_points() -> None:
    over = drawing.axis(BEGUN, BEGUN + timedelta(hours=1))
    ends = [BEGUN + timedelta(seconds=each / 10) for each in range(36_000)]

    found = drawing.curve(ends, ends, ends, groups=36_000, known_before=0, over=over)

    assert len(found.line) < 40_000
    assert len(found.failures) <= 201, "marks at the same place are one"
