"""Metrics as Prometheus scrapes them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from agbot.console.metrics import ANSWER_OUTCOMES, Metrics
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Outcome
from agbot.fleet.reads import Why
from agbot.gateway.answers import Outcome as AnswerOutcome
from tests.integration.console.conftest import Desk

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Read an exposition as (name, label values...) -> value."""
    return {
        (each.name, *each.labels.values()): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


async def test_what_was_counted_is_exposed(desk: Desk) -> None:
    metrics = desk.metrics
    metrics.granted("agent")
    metrics.released("succeeded", 90.0)
    metrics.refused("lease-held")
    metrics.refused("lease-held")
    metrics.answered("refused", 0.002)
    metrics.cycle_done(0.02)
    metrics.cycle_failed()
    for outcome in ("200", "201", "404", "403", "503", "timeout", "too-large"):
        metrics.exchange_requested(outcome)
    metrics.has_read(Why.HOLDER)
    metrics.handed_off(2.5)
    metrics.delivered(Kind.MQTT, Outcome.DELIVERED, 20)
    metrics.delivered(Kind.MQTT, Outcome.FAILED, 1)

    reply = await desk.get("/metrics")
    seen = samples(reply.text)

    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert seen["agbot_grants_total", "agent"] == 1
    assert seen["agbot_grants_total", "service"] == 0
    assert seen["agbot_releases_total", "succeeded"] == 1
    assert seen["agbot_lease_held_seconds_sum", "succeeded"] == 90
    assert seen["agbot_refusals_total", "lease-held"] == 2
    assert seen["agbot_answer_seconds_count", "refused"] == 1
    assert seen[("agbot_cycle_seconds_count",)] == 1
    assert seen[("agbot_cycle_failures_total",)] == 1
    asked = [seen["agbot_exchange_requests_total", word] for word in ("ok", "absent", "denied", "failed", "timeout")]
    assert asked == [2, 1, 1, 2, 1]
    assert seen["agbot_exchange_reads_total", "holder"] == 1
    assert seen["agbot_exchange_reads_total", "grant"] == 0
    assert seen["agbot_handoff_seconds_bucket", "3.0"] == 1
    assert seen["agbot_handoff_seconds_bucket", "2.0"] == 0
    emitted = [seen["agbot_deliveries_total", word, "mqtt"] for word in ("delivered", "failed", "refused", "lost")]
    assert emitted == [20, 1, 0, 0]
    assert seen["agbot_deliveries_total", "delivered", "webhook"] == 0


async def test_what_stands_is_read_at_the_scrape(desk: Desk) -> None:
    seen = samples((await desk.get("/metrics")).text)

    assert [seen["agbot_leases", state] for state in ("held", "suspect", "free")] == [1, 0, 1]
    assert seen[("agbot_waiters",)] == 1
    assert seen[("agbot_brakes",)] == 1
    assert seen[("agbot_view_age_seconds",)] == 1.5
    assert seen[("agbot_organisations_failing",)] == 1
    assert seen[("agbot_ready",)] == 1
    assert seen["agbot_delivery_lag_entries", "mqtt"] == 3
    assert ("agbot_delivery_lag_entries", "webhook") not in seen

    desk.operations.seen = replace(desk.operations.seen, suspect=1, held=0, view_age_seconds=None)
    seen = samples((await desk.get("/metrics")).text)

    assert [seen["agbot_leases", state] for state in ("held", "suspect", "free")] == [0, 1, 1]
    assert ("agbot_view_age_seconds",) not in seen


def test_the_outcomes_of_answers_are_those_of_the_gateway() -> None:
    assert {outcome.value for outcome in AnswerOutcome} == ANSWER_OUTCOMES


async def test_a_label_outside_its_vocabulary_opens_no_series(desk: Desk) -> None:
    desk.metrics.refused("acme/node-17 is too slow")
    desk.metrics.released("acme/node-18", 90.0)

    text = (await desk.get("/metrics")).text

    assert "acme" not in text
    assert samples(text)["agbot_refusals_total", "other"] == 1


def test_two_daemons_in_one_process_share_no_number() -> None:
    one, other = Metrics(), Metrics()
    one.granted("agent")

    assert other.registry.get_sample_value("agbot_grants_total", {"kind": "agent"}) == 0


async def test_the_page_explains_every_metric_that_is_exposed_and_no_other(desk: Desk) -> None:
    desk.metrics.answered("granted", 0.1)
    desk.operations.seen = replace(desk.operations.seen, guard="works")
    text = (await desk.get("/metrics")).text
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name: tuple(
            sorted(set(family.samples[0].labels) - {"le"})
        )
        for family in text_string_to_metric_families(text)
        if family.name.startswith("agbot_")
    }
    rows = re.findall(r"^\| `(agbot_\w+)` \| (.*?) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    explained = {name: tuple(sorted(re.findall(r"`(\w+)`", labels))) for name, labels in rows}

    assert explained == exposed
