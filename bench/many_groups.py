"""A thousand groups of two with one daemon: the cost of answers and of idle groups.

Cold is the first question of a group after the start, before the statuses of its members have been
read. Warm is every later one.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from bench import load
from bench.figure import Figure, Unit, percentile
from bench.hub import Hub, daemon_cost

IN_FLIGHT = 16
_IDLE_SECONDS = 10.0
_POLL_SECONDS = 1.0
_SETTLE_SECONDS = 65.0
"""After a minute without changes, the feed no longer repeats the rows of the hub's creation."""
_FEED = "POST /orgs/{org}/changes agbot"
_OWN_READ = "GET /orgs/{org}/nodes/{id} node"
_WARM_SAMPLE = 100


def measure(folder: Path, *, groups: int, settle: bool) -> list[Figure]:
    """Measure once."""
    paced = f"poll_seconds = {_POLL_SECONDS}\nbusy_poll_seconds = {_POLL_SECONDS}\n"
    with Hub(folder, groups=groups, exchange_settings=paced) as hub:
        idle = _idle(hub, settle=settle)
        for group in hub.groups:
            for member in "ab":
                hub.report(group + member, "ha node waiting")
        before = hub.requests()
        cold = load.drive(hub.gateway_port, hub.questions("a"), in_flight=IN_FLIGHT).expect(201)
        cold_reads = _answers_reads(hub.requests() - before) / len(hub.groups)
        load.drive(hub.gateway_port, hub.questions("b"), in_flight=IN_FLIGHT).expect(409)
        before = hub.requests()
        refused = load.drive(hub.gateway_port, hub.questions("b"), in_flight=IN_FLIGHT).expect(409)
        refused_reads = _own(hub.requests() - before) / len(hub.groups)
        warm, warm_own = _warm_grants(hub)
        memory = daemon_cost(hub)[1]
    return [
        *idle,
        _latency("p99 of a cold grant", cold),
        _latency("p99 of a warm grant", warm),
        _latency("p99 of a warm refusal", refused),
        Figure(
            name="reads per cold grant",
            unit=Unit.REQUESTS,
            rounds=[cold_reads],
            note="the group is read once after a start",
        ),
        Figure(name="own reads per warm grant", unit=Unit.REQUESTS, rounds=[warm_own]),
        Figure(name="reads per warm refusal", unit=Unit.REQUESTS, rounds=[refused_reads]),
        Figure(name="daemon's memory", unit=Unit.MEBIBYTES, rounds=[memory], note=f"{groups} groups of 2, all held"),
    ]


def _idle(hub: Hub, *, settle: bool) -> list[Figure]:
    if settle:
        time.sleep(_SETTLE_SECONDS)
    before = hub.requests()
    time.sleep(_IDLE_SECONDS)
    used = hub.requests() - before
    polls = _IDLE_SECONDS / _POLL_SECONDS
    others = sum(number for name, number in used.items() if name != _FEED)
    return [
        Figure(name="idle, feed reads per poll", unit=Unit.REQUESTS, rounds=[used[_FEED] / polls]),
        Figure(name="idle, other reads", unit=Unit.REQUESTS, rounds=[float(others)]),
    ]


def _warm_grants(hub: Hub) -> tuple[load.Answers, float]:
    """Free some leases by force, and ask again for their groups, which have been read.

    Only the grants read nodes with the nodes' credentials. What the daemon reads of its own for
    900 groups that go on waiting looks the same as a further read of a grant: that there is
    none is held by `tests/coordinator/test_reads.py`.
    """
    groups = hub.groups[:_WARM_SAMPLE]
    for group in groups:
        hub.console("POST", f"/v1/leases/o1/{group}/release", {"reason": "measured"})
    for group in groups:
        hub.heartbeat(f"{group}a")
        hub.heartbeat(f"{group}b")
    before = hub.requests()
    warm = load.drive(hub.gateway_port, hub.questions("b", groups), in_flight=IN_FLIGHT).expect(201)
    return warm, _own(hub.requests() - before) / len(groups)


def _own(used: Counter[str]) -> int:
    return used[_OWN_READ]


def _answers_reads(used: Counter[str]) -> int:
    return used.total() - used[_FEED]


def _latency(name: str, answers: load.Answers) -> Figure:
    times = [1000 * each for each in answers.latencies]
    note = f"p50 {percentile(times, 0.5):.1f} ms, {answers.per_second:.0f}/s with {IN_FLIGHT} open"
    return Figure(name=name, unit=Unit.MILLISECONDS, rounds=[percentile(times, 0.99)], note=note)
