"""Metrics that are read from the running parts at each scrape, so that they cannot drift."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agbot.coordinator.contract import Overview
from agbot.rules.leadership import Whereabouts

_READY: Final = "1 while the daemon may grant, or stands by and knows the leader."
_GUARD_OK: Final[Mapping[str, float]] = {"works": 1.0, "fails": 0.0}


class Scraped(Collector):
    """The metrics that a function returns at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self.read = read

    def describe(self) -> Iterator[Metric]:
        """Describe nothing: at registration it is too early to ask the parts."""
        return iter(())

    def collect(self) -> Iterable[Metric]:
        """Read the metrics."""
        return self.read()


def of_coordinator(overview: Callable[[], Overview], groups: Callable[[], int], where: Whereabouts) -> Iterator[Metric]:
    """Read who leads, and the overview; while this coordinator stands by, the leader has that."""
    yield GaugeMetricFamily("agbot_leader", "1 while this coordinator leads.", value=float(where.leads))
    if where.leader is not None:
        text = "Epoch of the leader that this coordinator knows."
        yield GaugeMetricFamily("agbot_leader_epoch", text, value=where.leader.epoch)
    seen = overview()
    text = "1 while changed settings are not used, since the last reload has refused them."
    yield GaugeMetricFamily("agbot_settings_refused", text, value=float(bool(seen.settings_refused)))
    if where.leads:
        yield from _of_overview(seen, groups())
    else:  # no zeros of its own, which a sum or a maximum over all coordinators would take for facts
        yield GaugeMetricFamily("agbot_ready", _READY, value=float(where.leader is not None and not where.doubt))


def _of_overview(seen: Overview, groups: int) -> Iterator[Metric]:
    leases = GaugeMetricFamily("agbot_leases", "Leases by state.", labels=["state"])
    leases.add_metric(["held"], seen.held)
    leases.add_metric(["suspect"], seen.suspect)
    leases.add_metric(["free"], max(groups - seen.held - seen.suspect, 0))
    yield leases
    failing = sum(bool(org.failing) for org in seen.orgs)
    for name, text, value in (
        ("agbot_ready", _READY, float(seen.ready)),
        ("agbot_store_ok", "1 while the lease store works.", float(seen.store_ok)),
        # missing where no guard is enabled, and before it was looked at
        ("agbot_guard_ok", "1 while the guard works.", _GUARD_OK.get(seen.guard)),
        ("agbot_groups", "Known HA groups.", groups),
        ("agbot_waiters", "Waiting questions.", seen.waiting),
        ("agbot_deferrals", "Members whose membership is deferred.", seen.deferred),
        ("agbot_brakes", "Brakes in force.", seen.brakes),
        ("agbot_holds", "Holds in force.", seen.holds),
        ("agbot_bypassed_nodes", "Members that upgrade their agent without asking the coordinator.", seen.bypassing),
        ("agbot_shadow", "1 in shadow mode, which grants nothing.", float(seen.mode == "shadow")),
        ("agbot_organisations", "Coordinated organisations.", len(seen.orgs)),
        ("agbot_organisations_failing", "Organisations that cannot be read.", failing),
        # before the first picture there is no age: a missing series is better than a wrong number
        ("agbot_view_age_seconds", "Age of the picture of the Exchange.", seen.view_age_seconds),
    ):
        if value is not None:
            yield GaugeMetricFamily(name, text, value=value)
    for name, text, number in (
        ("agbot_shadow_compared", "Decisions of the real agbot that were compared in shadow mode.", seen.compared),
        ("agbot_shadow_differences", "Those in which the coordinator's decision differs.", seen.differs),
    ):
        yield CounterMetricFamily(name, text, value=number)


def deliveries(lags: Mapping[str, float]) -> Iterator[Metric]:
    """Return how far the receivers of each kind are behind."""
    text = "Events not yet delivered to the slowest receiver of a kind."
    yield _by_label("agbot_delivery_lag_entries", text, "sink", lags)


def certificates(days_left: Mapping[str, float]) -> Iterator[Metric]:
    """Return how long each certificate is valid."""
    text = "Days until the first certificate of a file expires; negative once it has expired."
    yield _by_label("agbot_certificate_days_left", text, "use", days_left)


def store_files(sizes: Mapping[str, float]) -> Iterator[Metric]:
    """Return the sizes of the store's files."""
    yield _by_label("agbot_store_bytes", "Size of the store's files.", "file", sizes)


def dropped_lines(lines: int) -> Iterator[Metric]:
    """Return the number of dropped log lines."""
    text = "Log lines that were dropped because they were not read in time or could not be written."
    yield CounterMetricFamily("agbot_log_lines_dropped", text, value=lines)


def _by_label(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for word, value in values.items():
        family.add_metric([word], value)
    return family
