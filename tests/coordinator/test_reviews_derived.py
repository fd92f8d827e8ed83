"""What a running coordinator wrote down with a decision, derived again: from the journal, as `agbot history replay` does."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest

from agbot.console.metrics import Metrics
from agbot.coordinator import decision_record
from agbot.coordinator.operators import history
from agbot.coordinator.operators.replaying import REVIEWS, replay
from agbot.coordinator.permission import Granted
from agbot.daemon import logging as daemon_logging
from agbot.daemon.measuring import Reporter
from agbot.delivery.payload import encoded, event_message
from agbot.events.event import DECISION_RECORD
from agbot.rules.ids import group_id
from agbot.rules.lease import State
from agbot.rules.limits import Limits
from agbot.rules.records import Hold
from agbot.settings.running import LogSettings
from agbot.store.contract import Entry, JournalQuery
from tests.support import virtual_time
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

pytestmark = pytest.mark.usefixtures("logging_put_back")

ALL = ("n1", "n2", "n3", "n4", "n5")


@pytest.fixture(scope="module")
def day() -> Sequence[Entry]:
    """One day for all tests: it takes two seconds of processor time."""
    return virtual_time.run(_a_day())


async def _a_day() -> list[Entry]:
    """Let n1 succeed, n2 fall silent for good, and a person free the lease of n4.

    Return the journal, the oldest first.
    """
    hub = Hub(limits=Limits(max_upgrade_seconds=900))
    hub.group("g1", "n1", "n2", "n3")
    hub.group("g2", "n4", "n5")
    await hub.start()
    await hub.live(*ALL, seconds=60)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert isinstance(await hub.ask("n4", "g2"), Granted)
    await hub.coordinator.release(group_id("o1", "g2"), token=None, reason="it burns", who="eva")
    for status in ("downloaded", "initiated", "successful"):
        hub.report("n1", status)
        await hub.live(*ALL, seconds=10)
    await hub.live(*ALL, seconds=90)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    hub.report("n2", "downloaded")
    await hub.live("n1", "n3", seconds=3600)
    await asyncio.sleep(5)
    entries = await hub.store.journal(JournalQuery(limit=1000))
    await hub.stop()
    return sorted(entries, key=lambda entry: entry.id)


def test_every_review_that_ended_a_lease_or_made_it_suspect_is_derived_and_nothing_differs(
    day: Sequence[Entry],
) -> None:
    reviewed = [entry for entry in day if entry.event in REVIEWS]
    ends = [(entry.event, entry.facts.get("cause")) for entry in reviewed]

    found = replay(history.view(entry) for entry in reviewed)

    assert ends == [
        ("lease.released", "forced"),
        ("lease.released", "succeeded"),
        ("lease.suspected", None),
        ("lease.released", "expired"),
    ]
    assert (found.derived, found.different, found.without_facts, found.unreadable) == (3, [], [], [])
    assert found.unreviewed == [reviewed[0].id]
    assert replay(history.view(entry) for entry in day).different == []


def test_a_lease_that_goes_on_and_what_follows_from_its_end_keep_no_decision_record(day: Sequence[Entry]) -> None:
    kept = Counter(entry.event for entry in day if DECISION_RECORD in entry.facts)

    assert {"lease.renewed", "brake.set"} <= {entry.event for entry in day}
    assert kept == {"lease.granted": 3, "lease.released": 2, "lease.suspected": 1}


def test_the_facts_are_those_of_the_review_s_moment(day: Sequence[Entry]) -> None:
    reviewed = [entry for entry in day if entry.event in REVIEWS and entry.who == "coordinator"]
    known = [decision_record.read_review(entry.facts[DECISION_RECORD]) for entry in reviewed]

    assert [each.now.wall for each in known] == [entry.at for entry in reviewed]
    assert [each.lease.token for each in known] == [entry.token for entry in reviewed] == [1, 2, 2]
    assert [each.lease.state for each in known] == [State.HELD, State.HELD, State.SUSPECT]
    assert {each.limits.max_upgrade_seconds for each in known} == {900}


def test_neither_the_log_nor_an_event_reported_on_carries_them(day: Sequence[Entry]) -> None:
    out = io.StringIO()
    daemon_logging.set_up(LogSettings(), {}, out)
    reporter = Reporter(Metrics())
    for entry in day:
        reporter.report(entry)
        emitted = json.loads(encoded(event_message(entry)))
        assert DECISION_RECORD not in emitted["facts"]

    assert f"o1/{NMP}" in out.getvalue()
    assert "heartbeat_stale_seconds" not in out.getvalue()


@in_virtual_time
async def test_a_refusal_under_a_hold_that_would_be_over_by_a_doubtful_date_is_derived_as_it_was_reported() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    until = hub.clock.now() + timedelta(hours=1)
    await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="fair", until=until))
    hub.report("n1", "ha node waiting")
    hub.clock.step(7200)
    await hub.live("n1", "n2", seconds=30)

    refused = codes(await hub.ask("n1", "g1"))
    await asyncio.sleep(10)
    entries = await hub.store.journal(JournalQuery(limit=1000))
    found = replay(history.view(entry) for entry in entries)

    assert "paused" in refused
    assert (found.derived, found.different) == (1, [])
    await hub.stop()
