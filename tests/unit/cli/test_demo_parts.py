"""The demo's parts by themselves: its clock, its words, and what fits on a terminal."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console, ConsoleDimensions

from agbot.cli.demo import figures
from agbot.cli.demo.clock import PATIENCE_SECONDS, DemoClock
from agbot.cli.demo.figures import Played
from agbot.cli.demo.stories import Outcome
from agbot.cli.demo.view import Moment, Output, render
from agbot.cli.demo.words import in_words
from agbot.coordinator.contract import GroupView, LeaseView, MemberView, WaitView
from agbot.events.event import Event, Unread
from agbot.rules.ids import group_id, node_id, policy_id
from agbot.rules.reasons import Code, Reason
from agbot.store.contract import Entry

EPOCH = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


async def test_a_sleep_of_simulated_seconds_takes_that_many_of_them() -> None:
    clock = DemoClock(100, EPOCH)
    ticking = asyncio.create_task(clock.run())

    await clock.sleep(10)
    slept = clock.now() - EPOCH
    ticking.cancel()

    assert timedelta(seconds=10) <= slept < timedelta(seconds=15)


def test_brackets_in_a_line_are_printed_as_they_are() -> None:
    out = StringIO()

    Output(file=out).print("psycopg is not installed (pip install 'agbot[postgres]')", soft_wrap=True)

    assert out.getvalue() == "psycopg is not installed (pip install 'agbot[postgres]')\n"


async def test_whoever_is_held_up_between_two_readings_reads_the_same_moment_twice() -> None:
    clock = DemoClock(100, EPOCH)
    ticking = asyncio.create_task(clock.run())
    await clock.sleep(1)

    before = clock.now()
    time.sleep(0.05)  # noqa: ASYNC251 - the system gave the processor to somebody else
    after = clock.now()
    ticking.cancel()

    assert after == before


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = DemoClock(100, EPOCH)
    ticking = asyncio.create_task(clock.run())
    woken: list[int] = []

    async def sleep(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    await asyncio.gather(*(sleep(seconds) for seconds in (5, 1, 3)))
    ticking.cancel()

    assert woken == [1, 3, 5]


async def test_a_loop_that_comes_late_slows_simulated_time_down_instead_of_losing_it() -> None:
    clock = DemoClock(100, EPOCH)
    ticking = asyncio.create_task(clock.run())
    await asyncio.sleep(0)

    time.sleep(0.3)  # noqa: ASYNC251 - a loop that is held up is the case
    await clock.sleep(0.01)
    late = clock.elapsed_seconds
    ticking.cancel()

    assert 0 < late <= 2.0 + 0.001  # 20 ms of the 300 count


def test_a_time_limit_of_a_socket_is_scaled_only_as_far_as_sockets_go() -> None:
    clock = DemoClock(60, EPOCH)

    assert clock.real_seconds(3.0) == PATIENCE_SECONDS
    assert clock.real_seconds(0.5) == 0.5
    assert clock.real_seconds(600.0) == 10.0


def test_a_speed_that_stands_still_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        DemoClock(0, EPOCH)


def waits(code: Code) -> Event | Unread:
    reasons = [{"code": str(code), "text": "demo/agent-g1 failed on demo/g1-1"}]
    return Entry(
        at=EPOCH,
        event="wait.changed",
        group=group_id("demo", "g1"),
        node=node_id("demo", "g1-2"),
        subject=policy_id("demo", "agent-g1"),
        facts={"reasons": reasons, "since": "2026-03-04T05:06:07Z"},
    ).read()


def test_a_wait_out_of_the_ordinary_is_reported_with_its_reason_and_an_ordinary_one_is_not() -> None:
    assert in_words(waits(Code.BRAKE)) == "g1: g1-2 is waiting to upgrade agent-g1: brake (agent-g1 failed on g1-1)"
    assert in_words(waits(Code.LEASE_HELD)) is None


def a_moment(groups: int, *, violations: int = 0) -> Moment:
    return Moment(
        now=EPOCH,
        speed=60,
        groups=[a_group(f"cluster-node-{number}") for number in range(groups)],
        lines=[(EPOCH, f"line {number} " + "long " * 30) for number in range(100)],
        grants=104,
        refusals=1040,
        most_at_once=1,
        violations=violations,
        console_url="http://127.0.0.1:54321",
    )


def a_group(name: str) -> GroupView:
    nodes = [node_id("demo", f"{name}-{number}") for number in (1, 2, 3)]
    group = group_id("demo", name)
    reason = Reason(
        code=Code.LEASE_HELD, text=f"{nodes[0]} has been upgrading demo/agent-{name} since 12:00:00 and so on"
    )
    wait = WaitView(
        node=nodes[1],
        kind="agent",
        subject=policy_id("demo", f"agent-{name}"),
        since=EPOCH,
        asked_at=EPOCH,
        reasons=(reason,),
    )
    members = [MemberView(node=node, node_type="device", available=True) for node in nodes]
    lease = LeaseView(group=group, state="held", token=1, holder=nodes[0], kind="agent", status="downloaded")
    return GroupView(id=group, members=members, lease=lease, waiting=(wait,))


def drawn(moment: Moment, width: int, height: int) -> list[str]:
    out = StringIO()
    Console(file=out, width=width, height=height, force_terminal=False).print(
        render(moment, ConsoleDimensions(width, height))
    )
    return out.getvalue().splitlines()


@pytest.mark.parametrize("groups", [9, 200])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 80)])
def test_the_view_fits_the_terminal_and_uses_it(width: int, height: int, groups: int) -> None:
    lines = drawn(a_moment(groups), width, height)

    assert height - 2 <= len(lines) <= height
    assert max(len(line) for line in lines) <= width
    assert "line 99" in "\n".join(lines), "what happened last is missing"


def test_the_view_names_holder_waiter_reason_and_where_to_ask() -> None:
    shown = "\n".join(drawn(a_moment(1), 120, 24))

    assert "cluster-node-0" in shown
    assert "held by 1, agent" in shown
    assert "2: lease-held: cluster-node-0-1" in shown
    assert "agbot status --url http://127.0.0.1:54321" in shown


def test_the_view_names_no_holder_as_the_reason_of_a_wait_when_the_lease_is_free() -> None:
    group = a_group("g1")
    free = replace(group.lease, state="free", holder=None)
    shown = "\n".join(drawn(replace(a_moment(1), groups=[replace(group, lease=free)]), 160, 24))

    assert "2: asks again by itself" in shown
    assert "lease-held" not in shown


def test_the_view_states_that_its_times_are_simulated_and_how_fast_they_pass() -> None:
    assert "12:00:00 (simulated, 60x)" in drawn(a_moment(1), 80, 24)[0]


def test_the_view_lists_the_reason_of_each_member_below_each_other_or_side_by_side_where_there_is_no_room() -> None:
    group = a_group("g1")
    other = replace(
        group.waiting[0], node=node_id("demo", "g1-3"), reasons=(Reason(code=Code.SOAKING, text="it rests"),)
    )
    moment = replace(a_moment(1), groups=[replace(group, waiting=(*group.waiting, other))])

    roomy, narrow = (drawn(moment, 120, height) for height in (24, 12))

    assert [line.split()[-4:] for line in roomy if "3: soaking" in line] == [["3:", "soaking:", "it", "rests"]]
    assert not any("2: lease-held" in line and "3: soaking" in line for line in roomy)
    assert any("2: lease-held" in line for line in narrow)


def test_groups_in_which_nothing_happens_are_left_out_first_where_there_is_no_room() -> None:
    idle = replace(a_group("idle"), waiting=(), lease=LeaseView(group=group_id("demo", "idle"), state="free", token=0))
    busy = a_moment(10).groups

    shown = "\n".join(drawn(replace(a_moment(0), groups=[idle, *busy]), 80, 21))

    assert "idle " not in shown
    assert "and 2 more groups" in shown


def test_many_members_are_counted() -> None:
    members = [
        MemberView(node=node_id("demo", f"g1-{number}"), node_type="device", available=True) for number in range(40)
    ]

    shown = "\n".join(drawn(replace(a_moment(0), groups=[replace(a_group("g1"), members=members)]), 80, 24))

    assert "●39 ◔1" in shown


def test_the_summary_says_which_stories_ended_otherwise_and_which_were_cut_short() -> None:
    stories = [
        Played(name="a", sentence="It goes well.", outcome=Outcome.AS_DESCRIBED),
        Played(name="b", sentence="It ends.", outcome=Outcome.CUT_SHORT),
        Played(name="c", sentence="It waits.", outcome=Outcome.OTHERWISE, wrong=["it did not wait"]),
    ]
    out = StringIO()

    Console(file=out, width=80).print(figures.stories(stories))

    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert lines == [
        "How the stories ended: 1 as described, 1 otherwise, 1 cut short",
        "+ a It goes well.",
        "- b Cut short, its end was not seen: It ends.",
        "! c Ended differently than described: It waits.",
        "it did not wait",
    ]


def test_a_violation_is_in_the_first_line_whatever_the_width() -> None:
    assert "2 violations" in drawn(a_moment(1, violations=2), 60, 24)[0]
