"""The two metrics of every answer: how many refusals, and how long each answer took.

There are thousands of answers a second, so these count without the library's locks and checks. All
of it belongs to the event loop, which serves the scrapes too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from math import inf
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

_OTHER: Final = "other"
"""The label of a value outside the vocabulary."""


class Counts(Collector):
    """A counter with one label."""

    def __init__(self, name: str, text: str, label: str, words: Collection[str]) -> None:
        self._name, self._text, self._label = name, text, label
        self._counts = dict.fromkeys((*sorted(words), _OTHER), 0)

    def add(self, word: str) -> None:
        """Count one."""
        counts = self._counts
        counts[word if word in counts else _OTHER] += 1

    def counted(self) -> dict[str, int]:
        """Return the counts, without zeros."""
        return {word: number for word, number in self._counts.items() if number}

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Describe it by its name."""
        return iter((CounterMetricFamily(self._name, self._text, labels=[self._label]),))

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read it."""
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for word, number in self._counts.items():
            family.add_metric([word], number)
        yield family


class Durations(Collector):
    """A histogram with one label."""

    def __init__(self, name: str, text: str, label: str, words: Collection[str], bounds: Sequence[float]) -> None:
        """Count durations up to each of these `bounds`, and those above all of them."""
        self._name, self._text, self._label = name, text, label
        self._bounds = tuple(bounds)
        self._counts = {word: [0] * (len(bounds) + 1) for word in (*sorted(words), _OTHER)}
        self._sums = dict.fromkeys(self._counts, 0.0)

    def add(self, word: str, seconds: float) -> None:
        """Count one duration."""
        # a label from outside would open a series of its own, and each series is kept forever
        if word not in self._sums:
            word = _OTHER
        self._counts[word][bisect_left(self._bounds, seconds)] += 1
        self._sums[word] += seconds

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Describe it by its name."""
        return iter((HistogramMetricFamily(self._name, self._text, labels=[self._label]),))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Read it."""
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        for word, counts in self._counts.items():
            family.add_metric([word], buckets=self._cumulative(counts), sum_value=self._sums[word])
        yield family

    def _cumulative(self, counts: Sequence[int]) -> list[tuple[str, float]]:
        buckets, so_far = list[tuple[str, float]](), 0
        for bound, number in zip((*self._bounds, inf), counts, strict=True):
            so_far += number
            buckets.append(("+Inf" if bound == inf else str(bound), float(so_far)))
        return buckets
