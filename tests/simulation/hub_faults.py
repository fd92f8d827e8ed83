"""What goes wrong with the simulated Exchange: for everybody, for the coordinator alone, or for nodes; with any request or with some."""

from __future__ import annotations

import random

from agbot.sim.faults import Fault, FaultKind

_KINDS = (
    FaultKind.LATENCY,
    FaultKind.STATUS,
    FaultKind.STATUS,
    FaultKind.DROP,
    FaultKind.DROP,
    FaultKind.TRUNCATE,
    FaultKind.GARBAGE,
    FaultKind.FREEZE,
    FaultKind.FREEZE,
    FaultKind.LATE,
    FaultKind.HANG,
)


def draw(chance: random.Random, coordinator: str) -> Fault:
    """Draw a fault; `coordinator` is whose requests go wrong more often than others'."""
    everybody, ours, nodes = "^(?!root/)(?!.*/admin$)", f"^{coordinator}$", "^o1/(?!admin$)"
    path = chance.choice(("", "", "/changes", "/managementStatus", "/nodes", "/hagroups"))
    rate = chance.choice((0.1, 0.5, 1.0))
    caller = chance.choice((everybody, ours, ours, nodes))
    kind = chance.choice(tuple(_KINDS))
    if kind is FaultKind.LATENCY:
        return Fault(kind=kind, rate=rate, path=path, caller=caller, seconds=chance.choice((0.5, 2.0, 5.0, 12.0)))
    if kind is FaultKind.STATUS:
        return Fault(kind=kind, rate=rate, path=path, caller=caller, status=chance.choice((500, 502, 503, 504, 429)))
    if kind is FaultKind.GARBAGE:  # for a real agent as for a simulated one garbage is the end
        return Fault(
            kind=kind, rate=rate, path=path, caller=ours, text=chance.choice(("{}", "[]", '{"nodes": 3}', "<html>"))
        )
    if kind is FaultKind.FREEZE:
        return Fault(kind=kind, path="/changes", caller=ours)
    if kind is FaultKind.LATE:
        return Fault(kind=kind, rate=rate, path="/changes", caller=ours, seconds=chance.choice((1.0, 10.0, 60.0)))
    return Fault(kind=kind, rate=rate, path=path, caller=caller, applied=chance.random() < 0.5)
