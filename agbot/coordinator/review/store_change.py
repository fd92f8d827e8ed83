"""Handles a lease store that is not the one used last: no grant before the fleet has been read.

An older copy of the store lacks the latest grants. Their holders are found by their reports: a
granted agent reports its upgrade at once, and again every ten seconds until the report is accepted.
A read that begins later than that finds every upgrade under way, and the rules refuse the others
because of those.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.coordinator.intake.organisations import Organisations
from agbot.coordinator.situation import Situation
from agbot.events.store import StoreChanged, StoreSettled
from agbot.rules.seen_time import SeenTime
from agbot.transitions.change import Change

_LAST_REPORTS = timedelta(seconds=12)
"""After this time, the last grants of the store before are shown: an agent reports every 10 s, and
a node drops an agreement that was cancelled up to 10.5 s later (measured)."""


class StoreChange:
    """Reports another generation of the store, and ends the doubt about it."""

    def __init__(self, situation: Situation, organisations: Organisations) -> None:
        self._situation = situation
        self._organisations = organisations
        self._noticed = ""
        self._reads_from: SeenTime | None = None
        self._is_reading = False

    async def follow(self, *, failing: bool) -> list[str]:
        """If there is a doubt, continue the read of the fleet and settle the doubt after it.

        Return what was done.
        """
        generation, now = self._situation.ledger.generation, self._situation.now()
        if not generation.doubt:
            return []
        if self._reads_from is None or self._noticed != generation.id:
            changed = StoreChanged(why=generation.doubt, tokens_above=generation.token_floor)
            await self._situation.commit(Change(events=[changed]))
            self._noticed, self._reads_from, self._is_reading = generation.id, now.seen + _LAST_REPORTS, False
            return [f"found another lease store: {generation.doubt}"]
        if failing or now.seen < self._reads_from:
            return []
        if not self._is_reading:  # once, since each request for it begins all over
            self._is_reading = True
            self._organisations.read_all_again()
            return []
        # While no organisation is known, nothing was read that could be too old: what a question
        # needs of one that is found later is read then, which is later than that moment as well.
        if not all(self._was_read(self._reads_from)):
            return []
        await self._situation.settle_store(
            StoreSettled(why="every organisation has been read", changed=generation.doubt)
        )
        return ["has read every organisation after another lease store was found"]

    def _was_read(self, since: SeenTime) -> list[bool]:
        read_at, states = self._situation.picture.org_read_at, self._organisations.states
        read = {org: read_at(org) for org in states}
        return [at is not None and at >= since and not states[org].failing for org, at in read.items()]
