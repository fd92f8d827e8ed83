"""The metrics of answers show what the library's own would show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from agbot.console.tallies import Counts, Durations

WORDS = ("a", "b")
BOUNDS = (0.001, 0.5, 3.0)
SAID = st.sampled_from((*WORDS, "invented"))
SECONDS = st.one_of(st.sampled_from(BOUNDS), st.floats(0.0, 10.0))


def known(word: str) -> str:
    return word if word in WORDS else "other"


def shown(registry: CollectorRegistry) -> list[str]:
    return sorted(generate_latest(registry).decode().splitlines())


@given(st.lists(st.tuples(SAID, SECONDS)))
def test_durations_are_shown_as_the_librarys_histogram_shows_them(observed: list[tuple[str, float]]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left this one without annotations
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations("took_seconds", "Text.", "word", WORDS, BOUNDS)
    ours.register(durations)
    histogram = Histogram("took_seconds", "Text.", ["word"], buckets=BOUNDS, registry=theirs)
    for word in (*WORDS, "other"):
        histogram.labels(word)
    for word, seconds in observed:
        durations.add(word, seconds)
        histogram.labels(known(word)).observe(seconds)
    assert shown(ours) == shown(theirs)


@given(st.lists(SAID))
def test_counts_are_shown_as_the_librarys_counter_shows_them(said: list[str]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left this one without annotations
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("asked", "Text.", "word", WORDS)
    ours.register(counts)
    counter = Counter("asked", "Text.", ["word"], registry=theirs)
    for word in (*WORDS, "other"):
        counter.labels(word)
    for word in said:
        counts.add(word)
        counter.labels(known(word)).inc()
    assert shown(ours) == shown(theirs)
    assert counts.counted() == {word: said.count(word) for word in WORDS if word in said} | (
        {"other": said.count("invented")} if "invented" in said else {}
    )
