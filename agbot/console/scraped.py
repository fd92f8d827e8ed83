"""Metrics that are read from the running parts at each scrape, so that they cannot drift."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from agbot.coordinator.contract import Overview
from agbot.rules.leadership import Whereabouts

_READY: Final = "1 while the daemon may grant, or stands by and knows the leader."


class Overviews(Collector):
    """Gauges of the coordinator's overview. While it stands by, the leader has them."""

    def __init__(
        self, overview: Callable[[], Overview], groups: Callable[[], int], where: Callable[[], Whereabouts]
    ) -> None:
        self._overview = overview
        self._groups = groups
        self._where = where

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Describe nothing: at registration it is too early to ask the coordinator."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Ask the coordinator once."""
        where = self._where()
        if not where.leads:
            yield GaugeMetricFamily("agbot_ready", _READY, value=float(where.leader is not None and not where.doubt))
            return
        seen = self._overview()
        groups = self._groups()
        leases = GaugeMetricFamily("agbot_leases", "Leases by state.", labels=["state"])
        leases.add_metric(["held"], seen.held)
        leases.add_metric(["suspect"], seen.suspect)
        leases.add_metric(["free"], max(groups - seen.held - seen.suspect, 0))
        yield leases
        failing = sum(bool(org.failing) for org in seen.orgs)
        for name, text, value in (
            ("agbot_ready", _READY, float(seen.ready)),
            ("agbot_store_ok", "1 while the lease store works.", float(seen.store_ok)),
            ("agbot_groups", "Known HA groups.", groups),
            ("agbot_waiters", "Waiting questions.", seen.waiting),
            ("agbot_deferrals", "Members whose membership is deferred.", seen.deferred),
            ("agbot_brakes", "Brakes in force.", seen.brakes),
            ("agbot_holds", "Holds in force.", seen.holds),
            (
                "agbot_bypassed_nodes",
                "Members that upgrade their agent without asking the coordinator.",
                seen.bypassing,
            ),
            ("agbot_shadow", "1 in shadow mode, which grants nothing.", float(seen.mode == "shadow")),
            ("agbot_organisations", "Coordinated organisations.", len(seen.orgs)),
            ("agbot_organisations_failing", "Organisations that cannot be read.", failing),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        for name, text, number in (
            ("agbot_shadow_compared", "Decisions of the real agbot that were compared in shadow mode.", seen.compared),
            ("agbot_shadow_differences", "Those in which the coordinator's decision differs.", seen.differs),
        ):
            yield CounterMetricFamily(name, text, value=number)
        # Before the first picture there is no age: a missing series is better than a wrong number.
        if seen.view_age_seconds is not None:
            yield GaugeMetricFamily(
                "agbot_view_age_seconds", "Age of the picture of the Exchange.", value=seen.view_age_seconds
            )


class Leads(Collector):
    """Whether this coordinator leads, and the epoch of the leader that it knows."""

    def __init__(self, where: Callable[[], Whereabouts]) -> None:
        self._where = where

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Describe nothing, as above."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read both."""
        where = self._where()
        yield GaugeMetricFamily("agbot_leader", "1 while this coordinator leads.", value=float(where.leads))
        if where.leader is not None:
            text = "Epoch of the leader that this coordinator knows."
            yield GaugeMetricFamily("agbot_leader_epoch", text, value=where.leader.epoch)


class Gauges(Collector):
    """One gauge with a value for each value of one label."""

    def __init__(self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._text, self._label = name, text, label
        self.values = values

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Describe nothing, as above."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read all values."""
        family = GaugeMetricFamily(self._name, self._text, labels=[self._label])
        for word, value in self.values().items():
            family.add_metric([word], value)
        yield family


class DroppedLines(Collector):
    """The counter of dropped log lines."""

    def __init__(self) -> None:
        self.dropped: Callable[[], int] = lambda: 0

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Describe nothing, as above."""
        return iter(())

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read the count."""
        text = "Log lines that were dropped because they were not read in time or could not be written."
        yield CounterMetricFamily("agbot_log_lines_dropped", text, value=self.dropped())


def certificates() -> Gauges:
    """Return the gauge of certificates.

    Its values are set once the certificates in use are known.
    """
    text = "Days until the first certificate of a file expires; negative once it has expired."
    return Gauges("agbot_certificate_days_left", text, "use", lambda: {"gateway": math.nan})


def store_files() -> Gauges:
    """Return the gauge of the store's files, in the same way."""
    return Gauges("agbot_store_bytes", "Size of the store's files.", "file", lambda: {"main": math.nan})
