"""What is measured. `docs/metrics.md` explains each metric, a test holds it against what is really exposed.

Counters are raised by the parts through the small methods here (each fits a callback); what merely stands (leases, waiters) is read from
the coordinator when somebody scrapes, so that it cannot drift.
Labels have few values, all from closed vocabularies: never a node, a group or a policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from agbot import __version__
from agbot.coordinator.contract import Overview
from agbot.events.delivery import Kind as SinkKind
from agbot.events.delivery import Outcome
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause, Code

KINDS: Final = frozenset(each.value for each in Kind)
CAUSES: Final = frozenset(each.value for each in Cause)
CODES: Final = frozenset(each.value for each in Code)
EXCHANGE_OUTCOMES: Final = frozenset({"ok", "absent", "denied", "failed", "timeout", "unreachable", "cancelled"})
ANSWER_OUTCOMES: Final = frozenset(
    {
        "granted",
        "refused",
        "ended",
        "bad-request",
        "unauthenticated",
        "forbidden",
        "unavailable",
        "busy",
        "error",
        "passed",
        "upstream-failed",
    }
)
"""The gateway's outcomes; a test holds the two against each other."""
_EXCHANGE_STATUSES: Final = {"401": "denied", "403": "denied", "404": "absent"}
_ANSWER_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0)
_CYCLE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_HANDOFF_BUCKETS: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


T = TypeVar("T")


class Metrics:
    """Everything that is counted, in a registry of its own: two daemons in one process do not share a number."""

    def __init__(self) -> None:
        # For the whole process: when a counter was made is not worth doubling the number of series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left this one without annotations
        self.registry = CollectorRegistry()
        registry = self.registry
        self._grants = Counter("agbot_grants", "Leases granted.", ["kind"], registry=registry)
        self._releases = Counter("agbot_releases", "Leases ended, by cause.", ["cause"], registry=registry)
        self._overlaps = Counter(
            "agbot_overlaps", "Upgrades begun unasked while another member upgraded.", registry=registry
        )
        self._refusals = Counter(
            "agbot_refusals", "Questions answered with not yet, by their first reason.", ["reason"], registry=registry
        )
        self._answers = Histogram(
            "agbot_answer_seconds",
            "Time to answer a question of a node.",
            ["outcome"],
            buckets=_ANSWER_BUCKETS,
            registry=registry,
        )
        self._cycles = Histogram(
            "agbot_cycle_seconds", "Time of one cycle of the scheduler.", buckets=_CYCLE_BUCKETS, registry=registry
        )
        self._cycle_failures = Counter(
            "agbot_cycle_failures", "Cycles that ended in an unforeseen error.", registry=registry
        )
        self._exchange = Counter("agbot_exchange_requests", "Requests to the Exchange.", ["outcome"], registry=registry)
        self._handoffs = Histogram(
            "agbot_handoff_seconds",
            "From the moment the Exchange held the end of an upgrade to the lease being free.",
            buckets=_HANDOFF_BUCKETS,
            registry=registry,
        )
        self._deliveries = Counter(
            "agbot_deliveries",
            "Events delivered to other systems, and attempts that failed.",
            ["sink", "outcome"],
            registry=registry,
        )
        Info("agbot_build", "The running version.", registry=registry).info({"version": __version__})
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._refusals_by = _Series(CODES, self._refusals.labels)
        self._answers_by = _Series(ANSWER_OUTCOMES, self._answers.labels)
        self._log, self._certificates, self._store = _Log(), _certificates(), _store()
        for each in (self._log, self._certificates, self._store):
            registry.register(each)
        self._begin_at_zero()

    def granted(self, kind: str) -> None:
        """Count a new grant; a repeated yes is none."""
        self._grants.labels(_known(kind, KINDS)).inc()

    def released(self, cause: str) -> None:
        """Count an ended lease."""
        self._releases.labels(_known(cause, CAUSES)).inc()

    def overlapped(self) -> None:
        """Count a service upgrade that nobody could stop while another one was under way."""
        self._overlaps.inc()

    def refused(self, code: str) -> None:
        """Count a refusal by its first reason."""
        self._refusals_by[code].inc()

    def answered(self, outcome: str, seconds: float) -> None:
        """Measure an answer; `outcome` is one of `ANSWER_OUTCOMES`."""
        self._answers_by[outcome].observe(seconds)

    def cycle_done(self, seconds: float) -> None:
        """Measure a cycle."""
        self._cycles.observe(seconds)

    def cycle_failed(self) -> None:
        """Count a cycle that ended in an error."""
        self._cycle_failures.inc()

    def exchange_requested(self, outcome: str) -> None:
        """Count a request to the Exchange; `outcome` is an HTTP status, or a word where there was none."""
        if outcome.isdigit():
            outcome = _EXCHANGE_STATUSES.get(outcome, "ok" if outcome.startswith("2") else "failed")
        self._exchange.labels(outcome if outcome in EXCHANGE_OUTCOMES else "failed").inc()

    def handed_off(self, seconds: float) -> None:
        """Measure how long a finished upgrade kept the group waiting."""
        self._handoffs.observe(seconds)

    def delivered(self, sink: SinkKind, outcome: Outcome, entries: int) -> None:
        """Count events that a sink has taken, or an attempt that failed."""
        self._deliveries.labels(sink.value, outcome.value).inc(entries)

    def refusals(self) -> dict[str, int]:
        """Return the refusals so far by their first reason, without those there were none of."""
        return _counted(self._refusals, "reason")

    def exchange_requests(self) -> int:
        """Return how many requests the Exchange was sent so far."""
        return sum(_counted(self._exchange, "outcome").values())

    def watch(self, overview: Callable[[], Overview], groups: Callable[[], int]) -> None:
        """Read what stands from here at every scrape. Call once."""
        self.registry.register(_Standing(overview, groups))

    def watch_deliveries(self, lags: Callable[[], Mapping[SinkKind, int]]) -> None:
        """Read how far the sinks are behind at every scrape. Call once."""
        text = "Events that the last sink of a kind has not taken yet."

        def of_sinks() -> dict[str, float]:
            return {sink.value: entries for sink, entries in lags().items()}

        self.registry.register(_Labelled("agbot_delivery_lag_entries", text, "sink", of_sinks))

    def watch_log(self, dropped: Callable[[], int]) -> None:
        """Read how many lines the log had to drop at every scrape."""
        self._log.dropped = dropped

    def watch_certificates(self, days_left: Callable[[], Mapping[str, float]]) -> None:
        """Read how many days are left of each certificate in use at every scrape."""
        self._certificates.values = days_left

    def watch_store(self, sizes: Callable[[], Mapping[str, float]]) -> None:
        """Read how large the store's files are at every scrape."""
        self._store.values = sizes

    def _begin_at_zero(self) -> None:
        """Show every value of every label from the start: a rate over a counter that appears with its first event misses that event."""
        for counter, words in (
            (self._grants, KINDS),
            (self._releases, CAUSES),
            (self._refusals, CODES),
            (self._exchange, EXCHANGE_OUTCOMES),
        ):
            for word in sorted(words):
                counter.labels(word)
        for sink in SinkKind:
            for outcome in Outcome:
                self._deliveries.labels(sink.value, outcome.value)


class _Series(dict[str, T]):
    """A metric's series by the value of its one label, found without the library's lock: refusals are counted by the thousand."""

    def __init__(self, words: frozenset[str], series: Callable[[str], T]) -> None:
        super().__init__({word: series(word) for word in words})
        self._other = series("other")

    def __missing__(self, word: str) -> T:
        """Keep a label's values to the closed vocabulary."""
        return self._other


class _Standing(Collector):
    """What stands at the moment of the scrape."""

    def __init__(self, overview: Callable[[], Overview], groups: Callable[[], int]) -> None:
        self._overview = overview
        self._groups = groups

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name nothing beforehand: asking the coordinator at registration would be too early."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the coordinator once."""
        seen = self._overview()
        groups = self._groups()
        leases = GaugeMetricFamily("agbot_leases", "Leases by state.", labels=["state"])
        leases.add_metric(["held"], seen.held)
        leases.add_metric(["suspect"], seen.suspect)
        leases.add_metric(["free"], max(groups - seen.held - seen.suspect, 0))
        yield leases
        failing = sum(bool(org.failing) for org in seen.orgs)
        for name, text, value in (
            ("agbot_ready", "1 while the daemon may grant.", float(seen.ready)),
            ("agbot_store_ok", "1 while the lease store works.", float(seen.store_ok)),
            ("agbot_groups", "Known HA groups.", groups),
            ("agbot_waiters", "Questions that wait.", seen.waiting),
            ("agbot_deferrals", "Nodes whose membership is not enforced yet.", seen.deferred),
            ("agbot_brakes", "Upgrades that are stopped in a group.", seen.brakes),
            ("agbot_pauses", "Pauses in force.", seen.pauses),
            ("agbot_bypassed_nodes", "Members that upgrade their agent without asking here.", seen.bypassing),
            ("agbot_organisations", "Organisations looked after.", len(seen.orgs)),
            ("agbot_organisations_failing", "Organisations that cannot be read at present.", failing),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        # No age before the first picture: a missing series is more honest than a number.
        if seen.view_age_seconds is not None:
            yield GaugeMetricFamily(
                "agbot_view_age_seconds", "Age of the picture of the Exchange.", value=seen.view_age_seconds
            )


class _Labelled(Collector):
    """What stands in several places at the moment of the scrape, each under a value of one label."""

    def __init__(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._text, self._label = name, text, label
        self.values = values

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name nothing beforehand, as above."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Show what there is."""
        family = GaugeMetricFamily(self._name, self._text, labels=[self._label])
        for word, value in self.values().items():
            family.add_metric([word], value)
        yield family


class _Log(Collector):
    """What became of the log's lines."""

    def __init__(self) -> None:
        self.dropped: Callable[[], int] = lambda: 0

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Name nothing beforehand, as above."""
        return iter(())

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read the count."""
        text = "Lines of the log that were dropped because nobody read them, or because they could not be written."
        yield CounterMetricFamily("agbot_log_lines_dropped", text, value=self.dropped())


def _certificates() -> _Labelled:
    """Make the metric of the certificates in use. Which there are is not known before somebody says so."""
    text = "Days until the first certificate of a file in use ends; negative when it has ended."
    return _Labelled("agbot_certificate_days_left", text, "use", lambda: {"gateway": math.nan})


def _store() -> _Labelled:
    """Make the metric of the store's files, in the same way."""
    return _Labelled("agbot_store_bytes", "Room that the store's files take.", "file", lambda: {"main": math.nan})


def _counted(counter: Counter, label: str) -> dict[str, int]:
    samples = (sample for metric in counter.collect() for sample in metric.samples if sample.name.endswith("_total"))
    return {sample.labels[label]: int(sample.value) for sample in samples if sample.value}


def _known(value: str, words: frozenset[str]) -> str:
    """Keep a label's values to the closed vocabulary."""
    return str(value) if value in words else "other"
