"""How soon a group's lease is free after its holder's upgrade has ended, by kind of upgrade.

These are figures, not judgements. A *hand-off* begins with the end of the upgrade: the Exchange has
the agent's `successful`, or the containers of the service run. It ends when the coordinator has
freed the lease, as read from its interface. An upgrade that the agbot began without a question has
a row in the agbot's own table, and until that row is deleted the agbot starts no other. So the time
after the deletion is measured as well: only that time is due to the coordinator.
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


class Origin(StrEnum):
    """How an upgrade began."""

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
        self._ended: dict[_Key, tuple[Origin, datetime]] = {}
        self._row_deleted: dict[_Key, datetime] = {}
        self._whole: dict[Origin, list[float]] = {origin: [] for origin in Origin}
        self._after_row: dict[Origin, list[float]] = {origin: [] for origin in Origin}

    def begun(self, episode: Episode) -> None:
        """Record the beginning of an upgrade, which replaces an earlier one that is still open."""
        key = _key(episode)
        self._ended.pop(key, None)
        self._row_deleted.pop(key, None)

    def ended_well(self, episode: Episode, at: datetime) -> None:
        """Record the success of an upgrade, which is visible to all from this moment on."""
        origin = _ORIGINS[episode.kind, episode.is_unasked]
        self._ended[_key(episode)] = (origin, at)

    def row_deleted(self, row: AgentRow | ServiceRow, at: datetime) -> None:
        """Record that the agbot has deleted a row."""
        group = f"{row.org}/{row.group}"
        if isinstance(row, AgentRow):
            self._row_deleted[_Key(group, f"{row.org}/{row.node}", f"{row.org}/{row.nmp}")] = at
        else:
            self._row_deleted[_Key(group, row.node, row.policy)] = at

    def lease_released(self, group: str, node: str, subject: str, at: datetime) -> None:
        """Record that a node's lease for a policy has been released."""
        key = _Key(group, node, subject)
        origin, ended = self._ended.pop(key, (None, at))
        if origin is None:
            return
        self._whole[origin].append((at - ended).total_seconds())
        gone = self._row_deleted.pop(key, None)
        if gone is not None:
            self._after_row[origin].append((at - max(ended, gone)).total_seconds())

    def of(self, origin: Origin) -> list[float]:
        """Return how long the hand-offs of this kind took, in seconds."""
        return self._whole[origin]

    def after_row(self, origin: Origin) -> list[float]:
        """Return the seconds from the end, or the deletion of the agbot's row if later.

        Only hand-offs with such a row are included.
        """
        return self._after_row[origin]

    def report(self) -> Mapping[str, Mapping[str, Summary]]:
        """Return the figures as JSON: the whole time and, if unasked, that after the row."""
        return {
            origin.value: {"whole": summary(self._whole[origin])}
            | ({"after_agbot_row": summary(self._after_row[origin])} if origin in _UNASKED else {})
            for origin in Origin
        }


def _key(episode: Episode) -> _Key:
    return _Key(episode.group, episode.node, episode.subject)


_ORIGINS = {
    (Kind.AGENT, False): Origin.AGENT_ASKED,
    (Kind.AGENT, True): Origin.AGENT_UNASKED,
    (Kind.SERVICE, False): Origin.SERVICE_ASKED,
    (Kind.SERVICE, True): Origin.SERVICE_UNASKED,
}
_UNASKED = frozenset({Origin.AGENT_UNASKED, Origin.SERVICE_UNASKED})
