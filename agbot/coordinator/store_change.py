"""What follows when the lease store is not the one that was used last: nothing is granted before everything was looked at.

An older copy does not know who was granted a lease since. Those who were are found by what they report: an agent that was told yes reports
its upgrade at once, and again every ten seconds while that is not taken. A look that begins later than that sees every upgrade under way,
and the rules hold the others back for those.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.coordinator import entries
from agbot.coordinator.intake import Intake
from agbot.coordinator.situation import Situation
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import Writes

_LAST_REPORTS = timedelta(seconds=10)
"""What the store before has granted in its last moment is reported by then."""


class StoreChange:
    """Takes notice of another generation of the store, and ends its doubt."""

    def __init__(self, situation: Situation, intake: Intake) -> None:
        self._situation = situation
        self._intake = intake
        self._noticed = ""
        self._look_from: SeenTime | None = None
        self._is_looking = False

    async def look(self, *, failing: bool) -> list[str]:
        """Go on with the look, and settle the doubt at its end; return what was done. Nothing without a doubt.

        Raises:
            StoreUnavailableError: it is not known whether that was written down.
        """
        generation, now = self._situation.ledger.generation, self._situation.now()
        if not generation.doubt:
            return []
        if self._look_from is None or self._noticed != generation.id:
            await self._situation.write(Writes(entries=[entries.store_changed(generation, now)]))
            self._noticed, self._look_from, self._is_looking = generation.id, now.seen + _LAST_REPORTS, False
            return [f"found another lease store: {generation.doubt}"]
        if failing or now.seen < self._look_from:
            return []
        if not self._is_looking:
            self._is_looking = True
            self._intake.read_anew()
            return []
        if not all(self._was_read(self._look_from)):
            return []
        await self._situation.settle_store(entries.store_settled(generation, "every organisation was looked at", now))
        return ["has looked at every organisation after another lease store was found"]

    def _was_read(self, since: SeenTime) -> list[bool]:
        read = {org: self._situation.picture.org_read_at(org) for org in self._intake.orgs}
        return [at is not None and at >= since and not self._intake.orgs[org].failing for org, at in read.items()]
