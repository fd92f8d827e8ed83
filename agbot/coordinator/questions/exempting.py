"""Records grants without a lease: once while the same node repeats the same question."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from agbot.coordinator import decision_record
from agbot.coordinator.situation import Situation
from agbot.rules.facts import Ask
from agbot.rules.ids import NodeId
from agbot.rules.reasons import Code, Reason
from agbot.rules.rule import Case
from agbot.rules.seen_time import SeenTime
from agbot.transitions import grants

_FORGOTTEN: Final = timedelta(minutes=15)
"""A question after such an interval is recorded again. Agents ask every minute."""
_MOST_PER_NODE: Final = 8
"""More policies than a node has at the same time.

Grants for further ones are not recorded: an entry takes kilobytes with its facts, and a cluster
node may ask at any rate.
"""

_Question = tuple[Ask, Code]


class Exempting:
    """The exempt grants that were recorded for each node, and when each was last asked for."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._lock = asyncio.Lock()
        self._recorded: dict[NodeId, dict[_Question, SeenTime]] = {}
        self._tidied_at: SeenTime | None = None

    async def record(self, case: Case, why: Reason) -> None:
        """Record an exempt grant, unless it has been recorded lately.

        Raises:
            StoreUnavailableError: it was not recorded, or the store has lost what was recorded
                before.
        """
        # to its end: one that stops waiting during the write would cause the next entry at once
        await self._situation.ledger.finish(self._record(case, why))

    async def _record(self, case: Case, why: Reason) -> None:
        ask, now = case.ask, case.at
        async with self._lock:  # the same question twice at once would be recorded twice
            self._tidy(now.seen)
            recorded = self._recorded[ask.node] = _lately(self._recorded.get(ask.node, {}), now.seen)
            key = (ask, why.code)
            if key not in recorded and len(recorded) < _MOST_PER_NODE:
                await self._situation.commit(grants.exempt(case, why, decision_record.write(case)))
                recorded[key] = now.seen
                return
            if key in recorded:
                recorded[key] = now.seen
        # nothing is written, but no answer may go out that rests on a store which is gone
        await self._situation.ledger.check()

    def _tidy(self, now: SeenTime) -> None:
        """Forget nodes that no longer ask; rarely, because it goes through all of them."""
        if self._tidied_at is None or now - self._tidied_at >= _FORGOTTEN:
            self._tidied_at = now
            kept = {node: _lately(recorded, now) for node, recorded in self._recorded.items()}
            self._recorded = {node: recorded for node, recorded in kept.items() if recorded}


def _lately(recorded: dict[_Question, SeenTime], now: SeenTime) -> dict[_Question, SeenTime]:
    return {key: at for key, at in recorded.items() if now - at < _FORGOTTEN}
