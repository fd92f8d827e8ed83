"""How soon the lease of a group is free once its holder's upgrade has ended, by kind of upgrade: figures, no judgement.

A *hand-off* begins with the end: the Exchange holds the agent's `successful`, or the containers of the service run. It ends with
the free lease, of which whoever reads the coordinator's interface tells. An upgrade that the agbot began without a question has a
row in the agbot's own table, and until that row has gone the agbot lets nobody else begin. So of those the time after the row has
gone is measured as well: it is all that the coordinator can be blamed for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from agbot.sim.agbot_rows import AgentRow, ServiceRow
from agbot.sim.episodes import Episode
from agbot.sim.figures import Summary, summary
from agbot.sim.links import Kind


class Way(StrEnum):
    """How an upgrade was begun: the kinds that are told apart."""

    AGENT_ASKED = "agent-asked"
    AGENT_UNASKED = "agent-unasked"
    """The agent asked the agbot itself."""
    SERVICE_ASKED = "service-asked"
    SERVICE_UNASKED = "service-unasked"
    """The agbot began it by itself, as today's does."""


class _Key(NamedTuple):
    group: str
    node: str
    subject: str


class HandOffs:
    """The hand-offs of all groups."""

    def __init__(self) -> None:
        self._ended: dict[_Key, tuple[Way, datetime]] = {}
        self._row_gone: dict[_Key, datetime] = {}
        self._whole: dict[Way, list[float]] = {way: [] for way in Way}
        self._after_row: dict[Way, list[float]] = {way: [] for way in Way}

    def begun(self, episode: Episode) -> None:
        """Take in that an upgrade has begun: what was still open of an earlier one of that node tells nothing."""
        key = _key(episode)
        self._ended.pop(key, None)
        self._row_gone.pop(key, None)

    def ended_well(self, episode: Episode, at: datetime) -> None:
        """Take in that an upgrade has succeeded, and everybody can see it from this moment on."""
        way = _WAYS[episode.kind, episode.is_unasked]
        self._ended[_key(episode)] = (way, at)

    def row_gone(self, row: AgentRow | ServiceRow, at: datetime) -> None:
        """Take in that the agbot has deleted a row."""
        group = f"{row.org}/{row.group}"
        if isinstance(row, AgentRow):
            self._row_gone[_Key(group, f"{row.org}/{row.node}", f"{row.org}/{row.nmp}")] = at
        else:
            self._row_gone[_Key(group, row.node, row.policy)] = at

    def lease_free(self, group: str, node: str, subject: str, at: datetime) -> None:
        """Take in that a node's lease for a policy has been released."""
        key = _Key(group, node, subject)
        way, ended = self._ended.pop(key, (None, at))
        if way is None:
            return
        self._whole[way].append((at - ended).total_seconds())
        gone = self._row_gone.pop(key, None)
        if gone is not None:
            self._after_row[way].append((at - max(ended, gone)).total_seconds())

    def of(self, way: Way) -> list[float]:
        """Return how long the hand-offs of this kind took, in seconds."""
        return self._whole[way]

    def after_row(self, way: Way) -> list[float]:
        """Return how long they took once the end was there and the agbot's row had gone, where it had one."""
        return self._after_row[way]

    def report(self) -> Mapping[str, Mapping[str, Summary]]:
        """Return the figures as JSON: of each kind the whole, and for those begun without a question what comes after the agbot's row."""
        return {
            way.value: {"whole": summary(self._whole[way])}
            | ({"after_agbot_row": summary(self._after_row[way])} if way in _UNASKED else {})
            for way in Way
        }


def _key(episode: Episode) -> _Key:
    return _Key(episode.group, episode.node, episode.subject)


_WAYS = {
    (Kind.AGENT, False): Way.AGENT_ASKED,
    (Kind.AGENT, True): Way.AGENT_UNASKED,
    (Kind.SERVICE, False): Way.SERVICE_ASKED,
    (Kind.SERVICE, True): Way.SERVICE_UNASKED,
}
_UNASKED = frozenset({Way.AGENT_UNASKED, Way.SERVICE_UNASKED})
