"""Looking at the agbot's own list of upgrades: once a cycle, and again before every grant, shared by all grants of the same moment.

A failure is told once when it begins, and once when it is over. Where every address refuses connections no agbot runs that could begin
anything, so what was last seen still holds. While an agbot hangs or its answer cannot be read, it may begin what is not seen here.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agbot.agreementbot.client import AgreementBot, Listed, Look, NobodyThere
from agbot.clock import Clock
from agbot.coordinator.rows_seen import Source
from agbot.coordinator.shared_read import SharedRead
from agbot.coordinator.situation import Situation
from agbot.rules.facts import Row
from agbot.rules.ids import GroupId
from agbot.rules.rows import RowState
from agbot.store.contract import Entry

_SAME_MOMENT_SECONDS = 0.2
"""Grants so close together share a look. A row written since then is missed: with a second, and the busy pace, every seventh was."""


class AgbotRows:
    """Keeps `Situation.rows` current."""

    def __init__(self, situation: Situation, agbot: AgreementBot | None, clock: Clock) -> None:
        """Without an agbot every look finds nothing, at no cost."""
        self._situation = situation
        self._agbot = agbot
        self._listed_seconds: float | None = None
        """When the lists were last read, on the clock that no step of the date moves."""
        self._shared = SharedRead(self._look, clock, max_age_seconds=_SAME_MOMENT_SECONDS)
        if agbot is not None:
            situation.rows.source = Source.UNREAD

    async def again(self) -> None:
        """Look now: for the cycle."""
        if self._agbot is not None:
            await self._shared.again()

    async def fresh(self) -> None:
        """Look unless somebody did in the same moment: for a grant."""
        if self._agbot is not None:
            await self._shared.fresh()

    async def _look(self) -> None:
        if self._agbot is None:
            return
        seen = self._situation.rows
        asked_at, asked_seconds = self._situation.now(), self._situation.clock.monotonic_seconds()
        look = await self._agbot.look()
        self._tell_change(look)
        if isinstance(look, Listed):
            gone_by = 0.0 if self._listed_seconds is None else asked_seconds - self._listed_seconds
            self._listed_seconds = asked_seconds
            seen.source, seen.looked_at, seen.url, seen.failing = Source.LISTED, asked_at.seen, look.url, ""
            self._take(look.rows, asked_at.wall - timedelta(seconds=gone_by))
            return
        seen.source = Source.NOBODY_THERE if isinstance(look, NobodyThere) else Source.UNREADABLE
        seen.failing = look.why

    def _take(self, listed: tuple[Row, ...], not_before: datetime) -> None:
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

    def _tell_change(self, look: Look) -> None:
        before = self._situation.rows.source
        if isinstance(look, Listed):
            if before in {Source.NOBODY_THERE, Source.UNREADABLE}:
                self._tell("agbot.recovered", {"agbot": look.url})
            return
        after = Source.NOBODY_THERE if isinstance(look, NobodyThere) else Source.UNREADABLE
        if after is not before:
            self._tell("agbot.failed", {"error": look.why, "agbot": after.value})

    def _tell(self, event: str, facts: dict[str, object]) -> None:
        self._situation.tell(Entry(at=self._situation.now().wall, event=event, facts=facts))
