"""What is counted of what happens."""

from __future__ import annotations

from prometheus_client import generate_latest
from structlog.testing import capture_logs

from agbot.console.metrics import Metrics
from agbot.daemon.measuring import Teller
from agbot.store.contract import Entry
from tests.support.values import NOW


def test_observed_upgrades_count_as_grants_and_overlaps_have_a_number_of_their_own() -> None:
    metrics = Metrics()
    teller = Teller(metrics, lambda: None)

    teller.tell(Entry(at=NOW.wall, event="lease.observed", facts={"kind": "service"}))
    teller.tell(Entry(at=NOW.wall, event="lease.overlapped"))

    text = generate_latest(metrics.registry).decode()
    assert 'agbot_grants_total{kind="service"} 1.0' in text
    assert "agbot_overlaps_total 1.0" in text


def test_what_a_sink_has_lost_is_counted_by_the_entry_and_logged_as_a_warning() -> None:
    metrics = Metrics()
    facts = {"sink": "webhook", "receiver": "example.com", "first": 5, "last": 7}

    with capture_logs() as log:
        Teller(metrics, lambda: None).tell(Entry(at=NOW.wall, event="delivery.lost", facts=facts))

    assert 'agbot_deliveries_total{outcome="lost",sink="webhook"} 3.0' in generate_latest(metrics.registry).decode()
    assert log == [{"event": "delivery.lost", "log_level": "warning", **facts}]
