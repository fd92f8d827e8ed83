"""Looking at our own entry in the Exchange: what it tells of the Exchange's clock, and whether the Exchange answers from an old copy.

Every question for changes stamps that entry. Where it stays unstamped, everything else that is read is as old, also the feed, and a look
at it was none: nothing is judged or granted, as if the Exchange were away.
"""

from __future__ import annotations

from collections.abc import Iterable

from agbot.coordinator.situation import Situation
from agbot.exchange.client import ExchangeClient, OwnEntry
from agbot.exchange.errors import ExchangeError, StoodStill
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import SeenTime


class Comparing:
    """Looks after every look at the feed, if it is time."""

    def __init__(self, situation: Situation, exchange: ExchangeClient) -> None:
        self._situation = situation
        self._exchange = exchange
        self._entry: OwnEntry | None = None
        self._new_at: SeenTime | None = None
        """When the entry was last seen to be stamped anew."""
        self._stood_still = False

    async def look(self) -> None:
        """Read our own entry, right after the change feed and before that counts as seen.

        Raises:
            StoodStill: it is as old as if we had not asked.
        """
        self._entry = None
        if not (self._situation.clocks.is_due or self._stood_still):
            return
        try:
            self._entry = await self._exchange.own_entry()
        except StoodStill:
            self._stood_still = True
            raise
        except ExchangeError:
            return  # tried again with the next look; a comparison stays good for a while

    def learn(self, orgs: Iterable[OrgId]) -> None:
        """Take in what the entry tells, after the look at the feed counts as seen.

        What was read in other terms is read anew: stamps that could not be right then may be so now (`agbot.fleet.stamps`). When an old
        copy was shown, what was read since then says nothing about who is silent.
        """
        situation, time, entry = self._situation, self._exchange.time, self._entry
        if entry is None:
            return
        offset, was_known, now = time.offset, time.is_known, situation.now()
        if self._exchange.compare_clocks(entry):
            situation.clocks.compared()
            if time.is_known:
                situation.learnt_offset(time.offset)
        has_moved = time.offset != offset
        shown_until = self._new_at if self._stood_still else None
        if shown_until is not None:
            for org in orgs:
                situation.picture.shows_the_past(org, now, shown_until)
        if self._stood_still or (time.is_known and (has_moved or not was_known)):
            situation.picture.outdate_everything()
        self._stood_still, self._new_at = False, now.seen
