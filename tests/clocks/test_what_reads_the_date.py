"""What reads the wall clock of the host: the system clock, times and ages on the command line, log times, windows.

The date is freezegun's (`real_asyncio=True`, so that an event loop goes on); what counts durations
is not its business.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime, timedelta

import click
import pytest
from freezegun import freeze_time

from agbot.cli import times
from agbot.cli.screen import ago
from agbot.clock import SystemClock
from agbot.coordinator.clocks.dates import Dates
from agbot.coordinator.clocks.seen_clock import REACH
from agbot.exchange.timestamps import ExchangeClock
from agbot.fleet.picture import Picture
from agbot.rules.maintenance import outside_window
from agbot.rules.reasons import Code
from agbot.rules.seen_time import Now
from agbot.rules.window import Window
from agbot.store.texts import moment, stamp
from tests.support import values
from tests.support.patience import PATIENCE_SECONDS

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
IN_THE_MORNING = "2026-11-23 09:30:00"


def test_the_system_clock_reports_the_hosts_date_aware_and_in_utc() -> None:
    with freeze_time(IN_THE_MORNING, real_asyncio=True):
        now = SystemClock().now()

    assert now == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    assert now.tzinfo is not None


def test_durations_do_not_hang_on_the_date() -> None:
    clock = SystemClock()
    before = clock.monotonic_seconds()
    with freeze_time("2099-01-01", real_asyncio=True):
        assert 0 <= clock.monotonic_seconds() - before < 60


def test_a_machine_that_slept_was_away() -> None:
    """The monotonic clock of the kernel stands while it sleeps, the one since its start does not."""
    assert abs(SystemClock().monotonic_seconds() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5


async def test_waiting_on_the_event_loop_goes_on_under_a_frozen_date() -> None:
    began = time.perf_counter_ns()
    with freeze_time(IN_THE_MORNING, real_asyncio=True):
        await asyncio.wait_for(SystemClock().sleep(0.001), PATIENCE_SECONDS)

    assert time.perf_counter_ns() - began >= 1_000_000


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_step_of_the_hosts_date_is_seen_at_the_next_look(step: float) -> None:
    with freeze_time(IN_THE_MORNING, real_asyncio=True, tick=True) as frozen:
        dates = Dates(SystemClock(), ExchangeClock(), Picture(), REACH)
        dates.now()
        assert dates.unmoved == timedelta()
        frozen.move_to(datetime(2026, 11, 23, 9, 30) + timedelta(seconds=step))  # noqa: DTZ001 - freezegun's own form
        dates.now()

    assert round(dates.unmoved.total_seconds()) == step


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2h", NOON + timedelta(hours=2)), ("2026-11-24T18:00Z", datetime(2026, 11, 24, 18, tzinfo=UTC))],
)
def test_a_time_on_the_command_line_counts_from_the_hosts_date(text: str, expected: datetime) -> None:
    with freeze_time(NOON, real_asyncio=True):
        assert times.future(text, SystemClock().now, "--until") == expected
        with pytest.raises(click.BadParameter):
            times.future("soon", SystemClock().now, "--until")


def test_an_age_on_the_command_line_is_that_of_the_hosts_date() -> None:
    with freeze_time(NOON, real_asyncio=True):
        assert ago(NOON - timedelta(minutes=5), SystemClock().now()).endswith("ago")
        assert "5" in ago(NOON - timedelta(minutes=5), SystemClock().now())


def test_a_frozen_date_is_written_and_read_as_any_other() -> None:
    with freeze_time(NOON, real_asyncio=True):
        assert moment(stamp(SystemClock().now())) == NOON


@pytest.mark.parametrize(("hour", "is_open"), [(9, True), (12, False)])
def test_a_window_goes_by_the_hosts_date(hour: int, *, is_open: bool) -> None:
    morning = Window(
        weekdays=frozenset(range(7)), opens=NOON.time().replace(hour=8), closes=NOON.time().replace(hour=11)
    )
    group = values.group(limits=values.limits(windows=(morning,)))
    with freeze_time(NOON.replace(hour=hour), real_asyncio=True):
        now = Now.unblinded(SystemClock().now())

    reason = outside_window(values.case(values.ask(), group, now))
    assert (reason is None) is is_open


def test_no_window_is_open_by_a_date_that_has_just_changed() -> None:
    always = Window(weekdays=frozenset(range(7)), opens=NOON.time(), closes=NOON.time())
    group = values.group(limits=values.limits(windows=(always,)))
    unsteady = Now(wall=NOON, seen=Now.unblinded(NOON).seen, is_steady=False)

    reason = outside_window(values.case(values.ask(), group, unsteady))

    assert reason is not None
    assert reason.code is Code.OUTSIDE_WINDOW


def test_a_line_of_the_log_bears_the_hosts_date(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog  # noqa: PLC0415 - configured for this line only

    with freeze_time(NOON, real_asyncio=True):
        stamper = structlog.processors.TimeStamper(fmt="iso", utc=True)
        line = stamper(logging.getLogger(), "info", {"event": "x"})

    assert json.loads(json.dumps(line))["timestamp"].startswith("2026-11-23T12:00:00")
    assert capsys.readouterr().out == ""
