"""Reads our own entry in the Exchange: it shows its clock, and whether answers are current.

Every request for changes sets a stamp in that entry. If the stamp is missing, the Exchange answers
from an old copy. Everything else that is read, the feed too, is as old, so that read of the feed
does not count: nothing is judged or granted, as if the Exchange could not be reached.
"""

from __future__ import annotations

from collections.abc import Iterable

from agbot.coordinator.situation import Situation
from agbot.exchange.client import ExchangeClient, OwnEntry
from agbot.exchange.errors import ExchangeError, StoodStill
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import SeenTime


class Comparing:
    """Reads the entry after a read of the feed, if that is due."""

    def __init__(self, situation: Situation, exchange: ExchangeClient) -> None:
        self._situation = situation
        self._exchange = exchange
        self._entry: OwnEntry | None = None
        self._new_at: SeenTime | None = None
        """When the entry was last seen with a new stamp."""
        self._stood_still = False

    async def read_if_due(self) -> None:
        """Read our own entry if that is due, after the change feed and before that read counts.

        Raises:
            StoodStill: its stamp is older than our request for changes.
        """
        self._entry = None
        if not (self._situation.dates.is_comparison_due or self._stood_still):
            return
        try:
            self._entry = await self._exchange.own_entry()
        except StoodStill:
            self._stood_still = True
            raise
        except ExchangeError:
            # tried again after the next read of the feed; a comparison stays valid for a while
            return

    def learn(self, orgs: Iterable[OrgId]) -> None:
        """Learn from the entry, after the read of the feed counts.

        What was read with another offset is read again: a stamp that was invalid then may be valid
        now (`agbot.fleet.stamps`). If the Exchange has shown an old copy, what was read from it
        does not show which nodes are silent.
        """
        situation, time, entry = self._situation, self._exchange.time, self._entry
        if entry is None:
            return
        offset, was_known, now = time.offset, time.is_known, situation.now()
        if self._exchange.compare_clocks(entry):
            situation.dates.compared()
        has_moved = time.offset != offset
        shown_until = self._new_at if self._stood_still else None
        if shown_until is not None:
            for org in orgs:
                situation.picture.note_old_state(org, now, shown_until)
        if self._stood_still or (time.is_known and (has_moved or not was_known)):
            situation.picture.outdate_everything()
        self._stood_still, self._new_at = False, now.seen
