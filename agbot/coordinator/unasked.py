"""Upgrades that were begun without asking here, from every source that tells of them.

The agbot's own lists are looked at in each cycle and before every grant. What they tell takes the lease or is an overlap
(`agbot.coordinator.taking`), so that the rules see it like any other upgrade.
"""

from __future__ import annotations

from agbot.agreementbot.client import AgreementBot
from agbot.coordinator.agbot_rows import AgbotRows
from agbot.coordinator.deferring import Deferring
from agbot.coordinator.listed import ListedUpgrades
from agbot.coordinator.reading import Reader
from agbot.coordinator.reviewing import Reviewing
from agbot.coordinator.situation import Situation
from agbot.coordinator.taking import Taking
from agbot.rules.facts import Ask


class Unasked:
    """Sees what nobody asked for."""

    def __init__(
        self,
        situation: Situation,
        reader: Reader,
        reviewing: Reviewing,
        deferring: Deferring,
        agbot: AgreementBot | None,
    ) -> None:
        taking = Taking(situation, reader, reviewing, deferring)
        self._situation = situation
        self._rows = AgbotRows(situation, agbot, situation.clock)
        self._listed = ListedUpgrades(situation, reader, taking)

    async def look(self) -> None:
        """Look at the agbot's lists, whatever the Exchange does: before the cycle decides anything."""
        await self._rows.again()

    async def follow(self) -> list[str]:
        """Take leases for what was begun unasked; return what was done, one phrase each.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        if self._situation.doubts():
            return []
        return await self._listed.follow()

    async def before_grant(self, ask: Ask) -> None:
        """Look again before a grant, unless somebody has within the last second.

        An agbot that hangs keeps agents waiting. About a service it is the agbot that asks, so that question does not wait for it again.

        Raises:
            StoreUnavailableError: nobody knows what was written.
        """
        if ask.is_agent or self._situation.rows.doubt is None:
            await self._rows.fresh()
            await self._listed.follow(ask.group)
