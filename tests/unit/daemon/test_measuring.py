"""What is counted of what happens."""

from __future__ import annotations

from prometheus_client import generate_latest
from structlog.testing import capture_logs

from agbot.console.metrics import Metrics
from agbot.daemon.measuring import Reporter
from agbot.events import leases
from agbot.events.event import of_ask
from agbot.events.guard import GuardErred, GuardRefused
from agbot.rules.lease import Kind
from agbot.rules.records import Deferral
from agbot.store.contract import Entry
from tests.support import values
from tests.support.values import ANNA, GROUP, NMP, NOW


def test_observed_upgrades_count_as_grants_and_overlaps_have_a_number_of_their_own() -> None:
    metrics = Metrics()
    reporter = Reporter(metrics)

    lease = values.held(values.claim(kind=Kind.SERVICE))
    deferral = Deferral(group=GROUP, node=ANNA, subject=NMP, since=NOW.wall)
    reporter.report(Entry.of(leases.observed(lease, NOW.wall, NOW), NOW.wall))
    reporter.report(Entry.of(leases.overlapped(deferral, {}), NOW.wall))

    text = generate_latest(metrics.registry).decode()
    assert 'agbot_grants_total{kind="service"} 1.0' in text
    assert "agbot_overlaps_total 1.0" in text


def test_what_a_sink_has_lost_is_counted_by_the_entry_and_logged_as_a_warning() -> None:
    metrics = Metrics()
    facts = {"sink": "webhook", "receiver": "example.com", "first": 5, "last": 7}

    with capture_logs() as log:
        Reporter(metrics).report(Entry(at=NOW.wall, event="delivery.lost", facts=facts))

    assert 'agbot_deliveries_total{outcome="lost",sink="webhook"} 3.0' in generate_latest(metrics.registry).decode()
    assert log == [{"event": "delivery.lost", "log_level": "warning", **facts}]


def test_what_the_guard_keeps_waiting_is_counted_by_the_reason_and_a_failed_trigger_apart() -> None:
    metrics = Metrics()
    reporter, of = Reporter(metrics), of_ask(values.service_ask(ANNA))
    refused = GuardRefused(**of, kind=Kind.SERVICE, code="lease-held", reason="bert has it", since=NOW.wall)

    for event in (refused, refused, GuardErred(**of, error="no table")):
        reporter.report(Entry.of(event, NOW.wall))

    text = generate_latest(metrics.registry).decode()
    assert 'agbot_guard_refusals_total{reason="lease-held"} 2.0' in text
    assert 'agbot_guard_refusals_total{reason="error"} 1.0' in text
    assert 'agbot_guard_refusals_total{reason="not-judged"} 0.0' in text
