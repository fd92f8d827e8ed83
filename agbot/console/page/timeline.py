"""The upgrades of one group as they happened: for a table, and as bars over time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agbot.console.page.drawing import Axis, axis
from agbot.events.leases import Granting, LeaseReleased, LeaseSuspected
from agbot.rules.ids import NodeId, name_of
from agbot.rules.reasons import BRAKING, COMPLETING
from agbot.store.contract import Entry

READ: Final = ("lease.granted", "lease.taken_over", "lease.observed", "lease.suspected", "lease.released")
"""The events that are read."""
_THINNEST: Final = 5.0
"""A bar is at least so wide, so that it can be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """One tenure of the group's lease."""

    node: NodeId
    what: str
    kind: str
    token: int
    begun_at: datetime
    ended_at: datetime | None = None
    suspected_at: datetime | None = None
    cause: str = ""
    why: str = ""
    is_unasked: bool = False

    @property
    def look(self) -> str:
        """How it is shown: good, bad, running, suspect or other."""
        if self.ended_at is None:
            return "suspect" if self.suspected_at is not None else "running"
        return "good" if self.cause in COMPLETING else "bad" if self.cause in BRAKING else "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One upgrade in the drawing."""

    upgrade: Upgrade
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One member in the drawing."""

    name: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The drawing."""

    axis: Axis
    lanes: Sequence[Lane]


def upgrades(entries: Iterable[Entry]) -> list[Upgrade]:
    """Return the upgrades that these entries, in order of time, are about; the first one first."""
    found: dict[int, Upgrade] = {}
    for entry in sorted(entries, key=lambda each: each.id):
        event, token = entry.read(), entry.token
        # by token, which no other tenure of the group has: a member may hold the lease many times
        if token is None or entry.node is None:
            continue
        match event:
            case Granting():
                found[token] = Upgrade(
                    node=entry.node,
                    what=entry.subject or f"a service of {entry.node}",
                    kind=str(event.kind),
                    token=token,
                    begun_at=entry.at,
                    is_unasked=entry.event == "lease.observed",
                )
            case LeaseSuspected() if token in found:
                found[token] = replace(found[token], suspected_at=entry.at)
            # one without its beginning is left out: a bar from the edge would state a wrong time
            case LeaseReleased() if token in found:
                found[token] = replace(found[token], ended_at=entry.at, cause=str(event.cause), why=event.why)
    return list(found.values())


def timeline(shown: Sequence[Upgrade], members: Iterable[NodeId], now: datetime) -> Timeline | None:
    """Draw upgrades, a lane for each member; None if there are none."""
    if not shown:
        return None
    # members first, and then those that have left: their upgrades are part of the group's past
    names = list(dict.fromkeys((*sorted(members), *(each.node for each in shown))))
    begins = min(each.begun_at for each in shown)
    over = axis(begins - (now - begins) * 0.02, now, least=timedelta(minutes=10))
    bars: dict[NodeId, list[Bar]] = {node: [] for node in names}
    for each in shown:
        bars[each.node].append(_bar(each, over, now))
    return Timeline(axis=over, lanes=[Lane(name=name_of(node), bars=found) for node, found in bars.items()])


def _bar(upgrade: Upgrade, over: Axis, now: datetime) -> Bar:
    begins, ends = over.x(upgrade.begun_at), over.x(upgrade.ended_at or now)
    width = max(ends - begins, _THINNEST)
    return Bar(upgrade=upgrade, x=round(min(begins, 1000.0 - width), 1), width=round(width, 1))
