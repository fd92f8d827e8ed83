"""The metrics. `docs/metrics.md` documents each; a test compares it with what is exposed.

The parts count through the small methods here, each of which fits a callback. States are read at
each scrape (`scraped`). Labels have few values, all from closed vocabularies: never a node, a group
or a policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import Metric

from agbot import __version__
from agbot.console import scraped
from agbot.console.scraped import Scraped
from agbot.console.tallies import Counts, Durations
from agbot.coordinator.contract import Overview
from agbot.delivery.receiver import Kind as SinkKind
from agbot.delivery.sinks import Outcome
from agbot.fleet.reads import Why
from agbot.rules.leadership import Whereabouts
from agbot.rules.lease import Kind
from agbot.rules.reasons import Cause, Code

_KINDS: Final = frozenset(each.value for each in Kind)
_CAUSES: Final = frozenset(each.value for each in Cause)
_CODES: Final = frozenset(each.value for each in Code)
GUARD_ERROR: Final = "error"
"""A trigger of the guard has failed, which is a refusal to the agbot."""
_GUARD_REASONS: Final = _CODES | {"not-judged", GUARD_ERROR}
_REASONS_TO_READ: Final = frozenset(each.value for each in Why)
_EXCHANGE_OUTCOMES: Final = frozenset({"ok", "absent", "denied", "failed", "timeout", "unreachable", "cancelled"})
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
        "forwarded",
        "described",
        "passed",
        "upstream-failed",
    }
)
"""The outcomes of the gateway; a test compares the two."""
_EXCHANGE_STATUSES: Final = {"401": "denied", "403": "denied", "404": "absent"}
_ANSWER_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0)
_CYCLE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_HELD_BUCKETS: Final = (60.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0)
_HANDOFF_BUCKETS: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """All metrics of one daemon, in its own registry: two daemons in one process share nothing."""

    def __init__(self) -> None:
        # For the whole process: the creation time of a counter is not worth twice the number of
        # series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left this one without annotations
        self.registry = CollectorRegistry()
        self._grants = self._counter("agbot_grants", "Leases granted.", "kind")
        self._releases = self._counter("agbot_releases", "Leases ended, by cause.", "cause")
        self._overlaps = self._counter("agbot_overlaps", "Upgrades begun unasked while another member upgraded.")
        self._refusals = Counts("agbot_refusals", "Refused questions, by their first reason.", "reason", _CODES)
        self._guard_refusals = self._counter(
            "agbot_guard_refusals", "Upgrades of the agbot that the guard has kept waiting, by the reason.", "reason"
        )
        self._exchange = self._counter("agbot_exchange_requests", "Requests to the Exchange.", "outcome")
        self._reads = self._counter(
            "agbot_exchange_reads", "Things read from the Exchange, by what needed them.", "why"
        )
        self._deliveries = self._counter(
            "agbot_deliveries", "Events delivered, and attempts that failed.", "sink", "outcome"
        )
        self._cycle_failures = self._counter("agbot_cycle_failures", "Cycles that ended in an unexpected error.")
        self._answers = Durations(
            "agbot_answer_seconds", "Time to answer a question.", "outcome", ANSWER_OUTCOMES, _ANSWER_BUCKETS
        )
        self._cycles = self._histogram("agbot_cycle_seconds", "Duration of one cycle of the scheduler.", _CYCLE_BUCKETS)
        self._held = self._histogram(
            "agbot_lease_held_seconds", "Time from the grant of a lease to its end, by cause.", _HELD_BUCKETS, "cause"
        )
        self._handoffs = self._histogram(
            "agbot_handoff_seconds",
            "Time from the end of an upgrade in the Exchange to the release of the lease.",
            _HANDOFF_BUCKETS,
        )
        for each in (self._refusals, self._answers):
            self.registry.register(each)
        self._log = self._scraped(lambda: scraped.dropped_lines(0))
        self._certificates = self._scraped(lambda: scraped.certificates({"gateway": math.nan}))
        self._store = self._scraped(lambda: scraped.store_files({"main": math.nan}))
        self._describe_process()
        self._begin_at_zero()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _scraped(self, read: Callable[[], Iterable[Metric]]) -> Scraped:
        found = Scraped(read)
        self.registry.register(found)
        return found

    def granted(self, kind: str) -> None:
        """Count a new grant; a repeated one does not count."""
        self._grants.labels(_known(kind, _KINDS)).inc()

    def released(self, cause: str, held_seconds: float) -> None:
        """Count an ended lease, and measure how long it was held."""
        cause = _known(cause, _CAUSES)  # of a store that a newer program has written, it may be new
        self._releases.labels(cause).inc()
        self._held.labels(cause).observe(held_seconds)

    def overlapped(self) -> None:
        """Count an overlap."""
        self._overlaps.inc()

    def refused(self, code: str) -> None:
        """Count a refusal by its first reason."""
        self._refusals.add(code)

    def guard_refused(self, code: str) -> None:
        """Count that the guard keeps an upgrade of the agbot waiting, once for each reason."""
        self._guard_refusals.labels(_known(code, _GUARD_REASONS)).inc()

    def answered(self, outcome: str, seconds: float) -> None:
        """Measure an answer; `outcome` is one of `ANSWER_OUTCOMES`."""
        self._answers.add(outcome, seconds)

    def cycle_done(self, seconds: float) -> None:
        """Measure a cycle."""
        self._cycles.observe(seconds)

    def cycle_failed(self) -> None:
        """Count a cycle that ended in an unexpected error."""
        self._cycle_failures.inc()

    def exchange_requested(self, outcome: str) -> None:
        """Count a request to the Exchange.

        `outcome` is an HTTP status, or a word where there was none.
        """
        if outcome.isdigit():
            outcome = _EXCHANGE_STATUSES.get(outcome, "ok" if outcome.startswith("2") else "failed")
        self._exchange.labels(outcome if outcome in _EXCHANGE_OUTCOMES else "failed").inc()

    def has_read(self, why: Why) -> None:
        """Count one thing that is read from the Exchange."""
        self._reads.labels(why.value).inc()

    def handed_off(self, seconds: float) -> None:
        """Measure the time of a hand-off."""
        self._handoffs.observe(seconds)

    def delivered(self, sink: SinkKind, outcome: Outcome, entries: int) -> None:
        """Count delivered events, or an attempt that failed."""
        self._deliveries.labels(sink.value, outcome.value).inc(entries)

    def refusals(self) -> dict[str, int]:
        """Return the refusals so far by their first reason, without zeros."""
        return self._refusals.counted()

    def exchange_requests(self) -> int:
        """Return the number of requests to the Exchange so far."""
        return sum(_counted(self._exchange, "outcome").values())

    def watch(
        self,
        overview: Callable[[], Overview],
        groups: Callable[[], int],
        where: Callable[[], Whereabouts] = Whereabouts,
    ) -> None:
        """Read the overview, and who leads, at every scrape. Call once."""
        self._scraped(lambda: scraped.of_coordinator(overview, groups, where()))

    def watch_deliveries(self, lags: Callable[[], Mapping[SinkKind, int]]) -> None:
        """Read how far the receivers are behind at every scrape. Call once."""
        self._scraped(lambda: scraped.deliveries({sink.value: entries for sink, entries in lags().items()}))

    def watch_log(self, dropped: Callable[[], int]) -> None:
        """Read the number of dropped log lines at every scrape."""
        self._log.read = lambda: scraped.dropped_lines(dropped())

    def watch_certificates(self, days_left: Callable[[], Mapping[str, float]]) -> None:
        """Read the days left of each certificate at every scrape."""
        self._certificates.read = lambda: scraped.certificates(days_left())

    def watch_store(self, sizes: Callable[[], Mapping[str, float]]) -> None:
        """Read the size of the store's files at every scrape."""
        self._store.read = lambda: scraped.store_files(sizes())

    def _describe_process(self) -> None:
        Info("agbot_build", "The running version.", registry=self.registry).info({"version": __version__})
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _begin_at_zero(self) -> None:
        """Expose all label values from the start, so that a rate misses no event."""
        for counter, words in (
            (self._grants, _KINDS),
            (self._releases, _CAUSES),
            (self._guard_refusals, _GUARD_REASONS),
            (self._exchange, _EXCHANGE_OUTCOMES),
            (self._reads, _REASONS_TO_READ),
        ):
            for word in sorted(words):
                counter.labels(word)
        for cause in sorted(_CAUSES):
            self._held.labels(cause)
        for sink in SinkKind:
            for outcome in Outcome:
                self._deliveries.labels(sink.value, outcome.value)


def _counted(counter: Counter, label: str) -> dict[str, int]:
    samples = (sample for metric in counter.collect() for sample in metric.samples if sample.name.endswith("_total"))
    return {sample.labels[label]: int(sample.value) for sample in samples if sample.value}


def _known(value: str, words: frozenset[str]) -> str:
    """Map a value outside the vocabulary to `other`."""
    return str(value) if value in words else "other"
