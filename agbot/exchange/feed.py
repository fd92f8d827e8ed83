"""Following the change feed without losing a change or believing one twice.

The Exchange numbers every change. We ask from the last id we saw, inclusive, because only then does it repeat the rows of the two seconds
before it, among them rows of writers that were slow to commit (`exchange-api.md` 4.4); what was seen before is dropped here. Whenever the
feed may have missed something, `poll` says so, once, and everything has to be read anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agbot.clock import Clock
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import Unreadable
from agbot.exchange.mapping import FeedPage
from agbot.fleet.changes import Change

MULTITENANT_ORG = "IBM"
"""An agbot of this organisation sees all others'; any other agbot only its own."""
HORIZON = timedelta(hours=4)
"""The Exchange drops change rows after this long and does not say so."""
_MARGIN = timedelta(minutes=10)
_SETTLED = timedelta(minutes=1)
"""So long after the last new row no writer is still about to commit an earlier one; the periodic resync covers what that misses."""
_LARGEST_PAGE = 10_000
"""The Exchange's own cap on `maxRecords`."""
_MOST_PAGES = 50
_REMEMBERED_IDS = 2 * _LARGEST_PAGE
_REMEMBERED_UNREADABLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedResult:
    """What one poll brought."""

    changes: tuple[Change, ...] = ()
    """New changes in order of their latest id; each holds only ids that were not given out before."""
    resync: str | None = None
    """Why everything must be read anew, None if nothing was missed. Told once: who cannot resync now has to remember it."""
    reset: bool = False
    """The Exchange was set up anew or restored: what was true a moment ago may be gone, and come again."""


class ChangeFeed:
    """The change feed, from one poll to the next. Not for two polls at a time."""

    def __init__(self, client: ExchangeClient, clock: Clock, *, max_records: int = 1000) -> None:
        """Follow the feed as the client's identity; `max_records` is the size of a page to begin with."""
        self._client = client
        self._clock = clock
        self._max_records = max_records
        is_multitenant = client.identity.partition("/")[0] == MULTITENANT_ORG
        self._orgs = ["*"] if is_multitenant else None
        self._last_id = 0
        self._polled_at: datetime | None = None
        self._news_at: datetime | None = None
        self._broken: str | None = "the feed is read for the first time"
        self._seen: dict[int, tuple[str, str, str]] = {}
        self._pending: list[Change] = []
        self._unreadable: dict[str, None] = {}
        """Rows that could not be read; the feed repeats its last rows, and each is told once."""
        self._lost_row = False

    @property
    def last_id(self) -> int:
        """The last change id known to have been given out; 0 before the first poll."""
        return self._last_id

    async def poll(self) -> FeedResult:
        """Read what is new.

        Raises:
            ExchangeError: the feed could not be read; after an unreadable page the next good poll tells to resync.
        """
        started = self._clock.now()
        if self._polled_at is not None and started - self._polled_at > HORIZON - _MARGIN:
            self._broken = f"the feed was last read {self._polled_at:%Y-%m-%d %H:%M:%S}Z, and the Exchange keeps changes for 4 hours"
        try:
            result = await self._restart(self._broken) if self._broken else await self._follow()
        except Unreadable as error:
            self._broken = f"a page of the feed was unreadable ({error.what_came_back})"
            raise
        self._polled_at = started
        return result

    async def _restart(self, why: str) -> FeedResult:
        await self._go_to_the_end()
        result = await self._follow()
        self._broken = None
        return replace(result, resync=result.resync or why)

    async def _go_to_the_end(self) -> None:
        """Forget what was read. The id is taken before anything is read anew, so that nothing falls between."""
        self._last_id = await self._client.max_change_id()
        self._seen.clear()
        self._pending.clear()

    async def _follow(self) -> FeedResult:
        """Read page after page. Pages before one that fails are kept for the next poll."""
        size = self._max_records
        for _ in range(_MOST_PAGES):
            page = await self._client.changes(self._from_id(), self._orgs, size)
            odd = self._why_odd(page)
            if odd is not None:
                return replace(await self._start_over(odd), reset=True)
            self._take(page)
            if not page.hit_max:
                self._last_id = page.most_recent
                return self._all_pending()
            if page.most_recent > self._last_id:
                self._last_id = page.most_recent
            elif size < _LARGEST_PAGE:
                size = min(2 * size, _LARGEST_PAGE)  # the whole page was the overlap of two seconds
            else:
                break
        return await self._start_over("more has changed than the feed can tell in reasonable time")

    def _from_id(self) -> int:
        """Ask inclusively, for the overlap; after a quiet while the overlap has nothing to tell and would only repeat the last burst."""
        quiet = self._news_at is not None and self._clock.now() - self._news_at > _SETTLED
        return self._last_id + 1 if quiet else self._last_id

    async def _start_over(self, why: str) -> FeedResult:
        self._broken = why  # stands until the end of the feed has been found
        await self._go_to_the_end()
        self._broken = None
        return FeedResult(resync=why)

    def _why_odd(self, page: FeedPage) -> str | None:
        """Say how the page shows that this is not the change log we followed."""
        if not page.hit_max and page.most_recent < self._last_id:
            return f"the Exchange counts changes from {page.most_recent} where we had {self._last_id}: it was set up anew or restored"
        for change in page.changes:
            about = (change.org, change.resource, change.id)
            for change_id in change.change_ids:
                if self._seen.get(change_id, about) != about:
                    return f"change {change_id} is about {change.org}/{change.id} now: the Exchange was restored"
        return None

    def _take(self, page: FeedPage) -> None:
        """Keep what was not seen before."""
        for change in page.changes:
            ids = tuple(each for each in change.change_ids if each not in self._seen)
            if ids:
                self._seen.update(dict.fromkeys(ids, (change.org, change.resource, change.id)))
                self._pending.append(replace(change, change_ids=ids))
                self._news_at = self._clock.now()
        for row in page.garbled:
            self._lost_row = self._lost_row or row not in self._unreadable
            self._unreadable[row] = None
        while len(self._unreadable) > _REMEMBERED_UNREADABLE:
            del self._unreadable[next(iter(self._unreadable))]
        while len(self._seen) > _REMEMBERED_IDS:
            del self._seen[next(iter(self._seen))]

    def _all_pending(self) -> FeedResult:
        changes = tuple(sorted(self._pending, key=lambda change: change.change_ids[-1]))
        self._pending.clear()
        resync = "a row of the feed could not be read, and nobody knows what has changed" if self._lost_row else None
        self._lost_row = False
        return FeedResult(changes=changes, resync=resync)
