"""Takes in what nodes say about themselves, once in every cycle.

Between two cycles only the last word of a node counts, so that a program that sends without pause
costs one write in two seconds.
"""

from __future__ import annotations

from typing import Final

from agbot.coordinator.situation import Situation
from agbot.rules.busy import NotNow
from agbot.rules.ids import NodeId
from agbot.rules.limits import Limits
from agbot.store.contract import StoreUnavailableError
from agbot.transitions import busy
from agbot.transitions.change import Change

_MAX_NODES: Final = 50_000
"""More than a hub has. It is bounded because a message may name a node that does not exist."""


class BusyNodes:
    """The nodes that say that they are busy."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._words: dict[NodeId, NotNow | None] = {}

    def note(self, node: NodeId, word: NotNow | None) -> None:
        """Note a node's word; None if it is not busy any more."""
        if node in self._situation.ledger.busy or len(self._words) + len(self._situation.ledger.busy) < _MAX_NODES:
            self._words[node] = word

    async def run(self) -> None:
        """Write what is new or over."""
        situation, words = self._situation, self._words
        if words and situation.now().is_steady:
            self._words = {}
            try:
                await situation.commit_due(lambda: busy.take_in(words, situation.ledger.busy, situation.now()))
            except StoreUnavailableError:
                self._words = words | self._words
                raise
        if situation.ledger.busy and self._over():
            await situation.commit_due(self._over)

    def _over(self) -> Change:
        known = self._situation.ledger.busy.values()
        return busy.age(((each, self._limits_of(each.node)) for each in known), self._situation.now())

    def _limits_of(self, node: NodeId) -> Limits | None:
        group = getattr(self._situation.picture.node(node), "group", None)
        return self._situation.limits_of(group) if group else None
