"""The organisations that the real agbot serves, as far as they were read.

An organisation that is missing in one answer may be served all the same: only a second read, a
while later, shows that it is not. What was served once stays coordinated until a restart. The lists
are read again when the feed announces a change of them, and as rarely as whole organisations are:
no row announces what was deleted with its owner, or is of another organisation than ours.
"""

from __future__ import annotations

from datetime import timedelta

from agbot.exchange.client import ExchangeClient
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Change
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import SeenTime

_ROWS = frozenset({"agbotbusinesspols", "agbotpatterns"})
_TRY_AGAIN = timedelta(seconds=30)


class Served:
    """Reads what one agbot serves; without an identity it serves nothing."""

    def __init__(self, exchange: ExchangeClient, identity: str, resync: timedelta) -> None:
        self._exchange = exchange
        self._identity = identity
        self._resync = resync
        self._first_read_at: SeenTime | None = None
        """Since the last announcement of a change."""
        self._due_at: SeenTime | None = None
        """None: now."""
        self._is_confirmed = not identity

    @property
    def why_unknown(self) -> str:
        """State why an organisation that is not in the lists may be served; empty if it is not."""
        if self._is_confirmed:
            return ""
        if self._first_read_at is None:
            return f"the organisations that {self._identity} serves have not been read yet"
        return f"the organisations that {self._identity} serves have been read once: only a second read shows which it does not serve"

    def saw(self, change: Change) -> None:
        """Note that the feed has a change of these lists."""
        if change.resource in _ROWS and f"{change.org}/{change.id}" == self._identity:
            self.outdate()

    def outdate(self) -> None:
        """Make the next intake read them again."""
        self._is_confirmed = not self._identity
        self._first_read_at = self._due_at = None

    async def read(self, now: SeenTime) -> frozenset[OrgId]:
        """Read what is served, if that is due.

        Raises:
            ExchangeError: it could not be read; it is tried again later.
        """
        if not self._identity or (self._due_at is not None and now < self._due_at):
            return frozenset()
        self._due_at = now + _TRY_AGAIN
        served = await self._exchange.served_orgs(self._identity)
        if self._first_read_at is None:
            self._first_read_at, self._due_at = now, now + CONFIRM_AFTER
        else:
            self._is_confirmed, self._due_at = True, now + self._resync
        return served
