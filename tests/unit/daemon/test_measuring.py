"""What is counted of what happens."""

from __future__ import annotations

from prometheus_client import generate_latest

from agbot.console.metrics import Metrics
from agbot.daemon.measuring import Teller
from agbot.store.contract import Entry
from tests.support.values import NOW


def test_observed_upgrades_count_as_grants_and_overlaps_have_a_number_of_their_own() -> None:
    metrics = Metrics()
    teller = Teller(metrics, lambda: None)

    teller.tell(Entry(at=NOW, event="lease.observed", facts={"kind": "service"}))
    teller.tell(Entry(at=NOW, event="lease.overlapped"))

    text = generate_latest(metrics.registry).decode()
    assert 'agbot_grants_total{kind="service"} 1.0' in text
    assert "agbot_overlaps_total 1.0" in text
