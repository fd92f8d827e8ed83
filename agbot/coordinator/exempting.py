"""Writes down who was told yes without a lease: once for as long as the same node goes on asking the same, not once per question.

An entry takes kilobytes with its facts, and a cluster node may ask as often as it likes: what one node can have written is bounded.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from agbot.coordinator import dossier, entries
from agbot.coordinator.dossier import Case
from agbot.coordinator.situation import Situation
from agbot.rules.facts import Ask
from agbot.rules.ids import NodeId
from agbot.rules.reasons import Code, Reason
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import Writes

_FORGOTTEN: Final = timedelta(minutes=15)
"""Who has not asked for so long, and asks again, begins anew: agents ask every minute."""
_MOST_PER_NODE: Final = 8
"""So many policies at once: more than a node is ever asked to upgrade by. Beyond them it is told yes, and nothing is written."""

_Said = tuple[Ask, Code]


class Exempting:
    """What was written of whom, and when that was asked last."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._lock = asyncio.Lock()
        self._said: dict[NodeId, dict[_Said, SeenTime]] = {}
        self._tidied_at: SeenTime | None = None

    async def tell(self, case: Case, why: Reason) -> None:
        """Write an exempt yes down, if it is news.

        Raises:
            StoreUnavailableError: it was not written, or what was written before would not be found again.
        """
        ask, now = case.ask, case.at
        async with self._lock:
            self._tidy(now.seen)
            said = self._said[ask.node] = _lately(self._said.get(ask.node, {}), now.seen)
            key = (ask, why.code)
            if key not in said and len(said) < _MOST_PER_NODE:
                entry = entries.exempted(ask, why, now, dossier.kept(case))
                await self._situation.write(Writes(entries=[entry]))
                said[key] = now.seen
                return
            if key in said:
                said[key] = now.seen
        await self._situation.ledger.check()

    def _tidy(self, now: SeenTime) -> None:
        """Forget nodes that do not ask any more; seldom, because it looks at all of them."""
        if self._tidied_at is None or now - self._tidied_at >= _FORGOTTEN:
            self._tidied_at = now
            kept = {node: _lately(said, now) for node, said in self._said.items()}
            self._said = {node: said for node, said in kept.items() if said}


def _lately(said: dict[_Said, SeenTime], now: SeenTime) -> dict[_Said, SeenTime]:
    return {key: at for key, at in said.items() if now - at < _FORGOTTEN}
