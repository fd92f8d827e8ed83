"""Reads the agbot's own lists of upgrades: once a cycle, and again before every grant.

Grants of the same moment share a read. A failure is reported when it begins and when it ends. If
every address refuses connections, no agbot runs that could begin an upgrade, so the last lists
still hold. While an agbot hangs or its answer cannot be read, it may begin upgrades that are not
seen.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.agreementbot.client import Listed, Listing, Lists, NotRunning
from agbot.coordinator.memory.rows_seen import Source
from agbot.coordinator.situation import Situation
from agbot.events.agreementbot import AgbotFailed, AgbotRecovered
from agbot.rules.facts import Row
from agbot.rules.ids import GroupId
from agbot.rules.rows import RowState
from agbot.single_flight import SharedRead

_SAME_MOMENT_SECONDS = 0.2
"""Grants within this time share a read. It is short, because a row that is written in between is
missed."""


def reading_of(situation: Situation, agbot: Lists) -> SharedRead[None]:
    """Return the read of these lists that keeps `Situation.rows` current."""
    return SharedRead(_AgbotRows(situation, agbot).read, situation.clock, max_age_seconds=_SAME_MOMENT_SECONDS)


class _AgbotRows:
    def __init__(self, situation: Situation, agbot: Lists) -> None:
        self._situation = situation
        self._agbot = agbot
        self._listed_seconds: float | None = None
        """When the lists were last read, on the monotonic clock."""
        situation.rows.source = Source.UNREAD

    async def read(self) -> None:
        """Read the lists, and report a failure when it begins and when it ends."""
        seen = self._situation.rows
        asked_at, asked_seconds = self._situation.now(), self._situation.clock.monotonic_seconds()
        answer = await self._agbot.list_rows()
        self._report_change(answer)
        if isinstance(answer, Listed):
            if self._listed_seconds is None:
                seen.found_first = frozenset(answer.rows)
            gone_by = 0.0 if self._listed_seconds is None else asked_seconds - self._listed_seconds
            self._listed_seconds = asked_seconds
            seen.source, seen.read_at, seen.url, seen.failing = Source.LISTED, asked_at.seen, answer.url, ""
            self._apply(answer.rows, asked_at.wall - timedelta(seconds=gone_by))
            return
        seen.source = Source.NOT_RUNNING if isinstance(answer, NotRunning) else Source.UNREADABLE
        seen.failing = answer.why

    def _apply(self, listed: tuple[Row, ...], not_before: datetime) -> None:
        seen = self._situation.rows
        known = seen.states
        states: dict[GroupId, dict[Row, RowState]] = {}
        for row in listed:
            state = known.get(row.group, {}).get(row)
            states.setdefault(row.group, {})[row] = state or RowState(row=row, not_before=not_before)
        seen.gone.update(row for of_group in known.values() for row in of_group if row not in states.get(row.group, {}))
        seen.gone.difference_update(listed)
        seen.states = states
        seen.claims = {row: claim for row, claim in seen.claims.items() if row in states.get(row.group, {})}

    def _report_change(self, answer: Listing) -> None:
        before = self._situation.rows.source
        if isinstance(answer, Listed):
            if before in {Source.NOT_RUNNING, Source.UNREADABLE}:
                self._situation.report_event(AgbotRecovered(agbot=answer.url))
            return
        after = Source.NOT_RUNNING if isinstance(answer, NotRunning) else Source.UNREADABLE
        if after is not before:
            self._situation.report_event(AgbotFailed(error=answer.why, agbot=after.value))
