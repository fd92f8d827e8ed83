"""Following the change feed without losing a change or believing one twice.

The Exchange numbers every change when it is begun and shows it when it is committed: a change can become visible
after one with a higher number, and the number it calls the most recent may belong to one that nobody can see yet
(a real agent lost a change so). So we never go by the newest number. Polls ask again for what was given out in the
last minute, every number is asked for once more a minute or longer after it was given out, and what was seen before is
dropped here. Whenever the feed may have missed something, `poll` says so, once, and everything has to be read anew.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from heapq import nlargest
from math import inf

from agbot.clock import Clock
from agbot.exchange.client import ExchangeClient
from agbot.exchange.errors import ExchangeError, Unreadable
from agbot.exchange.mapping import FeedPage
from agbot.fleet.changes import Change

MULTITENANT_ORG = "IBM"
"""An agbot of this organisation sees all others'; any other agbot only its own."""
HORIZON = timedelta(hours=4)
"""The Exchange drops change rows after this long and does not say so."""
_MARGIN = timedelta(minutes=10)
_SETTLED_SECONDS = 60.0
"""So long after a number was given out its change is asked for: longer than any request to the Exchange may take (20 s)."""
_OVERLAP_ROWS = 500
"""So many rows at most are repeated by every poll of that minute; many numbers are of changes that nobody shows us, and cost nothing."""
_WHOLE_EVERY_SECONDS = 15.0
"""So often all rows of that minute are repeated where they are more."""
_START_IDS = 2000
"""So many numbers before the start are asked for: what was given out seconds before it may become visible after what is read then."""
_TAIL_IDS = 500
_SMALL_TAIL_ROWS = 20
"""An inclusive question repeats the changes of the two seconds before its number (`exchange-api.md` 4.4). Where those
are few, it is asked for ever."""
_SECONDS_PER_ROW = 0.6
"""Where they are many, the last numbers are asked for so rarely that this repeats a hundred rows a minute, and in between the next
number is."""
_LOOK_BACK_AT_MOST_SECONDS = 1800.0
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
        self._polled_seconds: float | None = None
        self._given_out: deque[tuple[float, int]] = deque()
        """When (on the monotonic clock) the feed was first seen to stand at which number."""
        self._settled_id = 0
        """The last number that was asked for a minute or longer after it was given out."""
        self._whole_at = -inf
        """When all that is not settled was last asked for."""
        self._unsettled_rows = 0
        """How many rows that brought."""
        self._long_tail_id = 0
        """The number before which there was a burst, which an inclusive question repeats."""
        self._looked_back_at = 0.0
        self._look_back_seconds = 0.0
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
        started = self._clock.monotonic_seconds()
        away = timedelta(seconds=started - (self._polled_seconds if self._polled_seconds is not None else started))
        if away > HORIZON - _MARGIN:
            self._broken = f"the feed was last read {away} ago, and the Exchange keeps changes for 4 hours"
        try:
            result = await self._restart(self._broken) if self._broken else await self._follow()
        except Unreadable as error:
            self._broken = f"a page of the feed was unreadable ({error.what_came_back})"
            raise
        except ExchangeError:
            self._long_tail_id = 0  # whatever comes back may be another Exchange: its last rows tell
            raise
        self._polled_seconds = started
        return result

    async def kept(self, resource: str) -> list[Change]:
        """Return the changes of one kind that the Exchange still keeps, the oldest first; where the feed stands is not touched.

        Raises:
            ExchangeError: they could not be read.
        """
        cursor, found = 1, list[Change]()
        for _ in range(_MOST_PAGES):
            page = await self._client.changes(cursor, self._orgs, _LARGEST_PAGE)
            found += [change for change in page.changes if change.resource == resource]
            if not page.hit_max or page.most_recent <= cursor:
                break
            cursor = page.most_recent
        return sorted(found, key=lambda change: change.change_ids[-1])

    async def _restart(self, why: str) -> FeedResult:
        await self._go_to_the_end()
        result = await self._follow(known_to=self._last_id)
        self._broken = None
        return replace(result, resync=result.resync or why)

    async def _go_to_the_end(self) -> None:
        """Forget what was read. The id is taken before anything is read anew, so that nothing falls between."""
        self._last_id = await self._client.max_change_id()
        self._settled_id = max(self._last_id - _START_IDS, 0)
        self._whole_at, self._unsettled_rows = -inf, 0
        self._given_out.clear()
        self._given_out.append((self._clock.monotonic_seconds(), self._last_id))
        self._long_tail_id = 0
        self._seen.clear()
        self._pending.clear()

    async def _follow(self, known_to: int = 0) -> FeedResult:
        """Read page after page. Pages before one that fails are kept for the next poll.

        Rows up to `known_to` are taken down and not given out: whatever they tell is read after this.
        """
        size, cursor, asked_seconds = self._max_records, self._from_id(), self._clock.monotonic_seconds()
        looks_back, is_whole, rows = self._settled_id >= self._last_id >= cursor, cursor <= self._settled_id + 1, 0
        for _ in range(_MOST_PAGES):
            page = await self._client.changes(cursor, self._orgs, size)
            odd = self._why_odd(page)
            if odd is not None:
                return replace(await self._start_over(odd), reset=True)
            self._take(page, known_to)
            rows += sum(len(change.change_ids) for change in page.changes)
            if not page.hit_max:
                self._stand_at(page, repeated=rows if looks_back else None)
                if is_whole:
                    self._asked_for_all(rows, asked_seconds)
                return self._all_pending()
            if page.most_recent > cursor:
                cursor = page.most_recent
                self._last_id = max(self._last_id, cursor)
            elif size < _LARGEST_PAGE:
                size = min(2 * size, _LARGEST_PAGE)  # the whole page was the overlap
            else:
                break
        return await self._start_over("more has changed than the feed can tell in reasonable time")

    def _from_id(self) -> int:
        """Return the number to ask from: before it is only what is settled, or, between two questions for all of it, the 500th last row."""
        now = self._clock.monotonic_seconds()
        if self._settled_id < self._last_id:
            if self._unsettled_rows <= _OVERLAP_ROWS or now - self._whole_at >= _WHOLE_EVERY_SECONDS:
                return self._settled_id + 1
            return max(self._settled_id + 1, nlargest(_OVERLAP_ROWS, self._seen)[-1])
        has_long_tail = self._long_tail_id == self._last_id
        if has_long_tail and now - self._looked_back_at < self._look_back_seconds:
            return self._last_id + 1
        return max(self._last_id - _TAIL_IDS, 0) + 1 if has_long_tail else max(self._last_id, 1)

    def _asked_for_all(self, rows: int, asked_seconds: float) -> None:
        """Take down that all numbers that were not settled were asked for by a question at this time: those of a minute before it are."""
        self._whole_at, self._unsettled_rows = asked_seconds, rows
        while self._given_out and asked_seconds - self._given_out[0][0] >= _SETTLED_SECONDS:
            self._settled_id = self._given_out.popleft()[1]

    def _stand_at(self, page: FeedPage, *, repeated: int | None) -> None:
        """Take down where the feed stands, and how often a question that repeats so many rows may be put."""
        if repeated is not None:
            self._looked_back_at = self._clock.monotonic_seconds()
        newest = self._given_out[-1][1] if self._given_out else self._settled_id
        if page.most_recent > newest:
            self._given_out.append((self._clock.monotonic_seconds(), page.most_recent))
        elif repeated is not None and repeated > _SMALL_TAIL_ROWS:
            self._long_tail_id = self._last_id
            self._look_back_seconds = min(
                max(repeated * _SECONDS_PER_ROW, _SETTLED_SECONDS), _LOOK_BACK_AT_MOST_SECONDS
            )
        self._last_id = page.most_recent

    async def _start_over(self, why: str) -> FeedResult:
        self._broken = why  # stands until the end of the feed has been found
        await self._go_to_the_end()
        self._broken = None
        return FeedResult(resync=why)

    def _why_odd(self, page: FeedPage) -> str | None:
        """Say how the page shows that this is not the change log we followed."""
        if not page.hit_max and page.most_recent < self._last_id:
            now = f"the newest change of the Exchange is {page.most_recent}, and was {self._last_id} before"
            return f"{now}: it was set up anew or restored from a backup"
        for change in page.changes:
            about = (change.org, change.resource, change.id)
            for change_id in change.change_ids:
                if self._seen.get(change_id, about) != about:
                    return f"change {change_id} is about {change.org}/{change.id} now: the Exchange was restored"
        return None

    def _take(self, page: FeedPage, known_to: int) -> None:
        """Keep what was not seen before."""
        for change in page.changes:
            ids = tuple(each for each in change.change_ids if each not in self._seen)
            self._seen.update(dict.fromkeys(ids, (change.org, change.resource, change.id)))
            news = tuple(each for each in ids if each > known_to)
            if news:
                self._pending.append(replace(change, change_ids=news))
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
        resync = "a row of the feed could not be read, so it is not known what has changed" if self._lost_row else None
        self._lost_row = False
        return FeedResult(changes=changes, resync=resync)
