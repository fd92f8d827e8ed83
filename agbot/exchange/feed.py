"""Follows the change feed without missing a change or returning one twice.

The Exchange assigns the id of a change when its transaction begins, and shows the change when it is
committed: it can become visible after one with a higher id, and the most recent id may belong to a
change that is not visible yet (a real agent has lost a change in this way). So the newest id proves
nothing. Polls request the ids of the last minute again, every id is requested once more a minute or
longer after it was assigned, and known changes are dropped here. If the feed may have missed
something, `poll` reports that once, and everything has to be read again.
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
from agbot.exchange.feed_page import FeedPage
from agbot.fleet.changes import Change

MULTITENANT_ORG = "IBM"
"""An agbot of this organisation sees all organisations, any other only its own."""
_HORIZON = timedelta(hours=4)
"""The Exchange silently drops change rows after this time."""
# the Exchange drops rows by its own clock, and reading them all takes a while
_MARGIN = timedelta(minutes=10)
_SETTLED_SECONDS = 60.0
"""How long the change of an assigned id is requested: longer than any request to the Exchange may
take (20 s)."""
_OVERLAP_ROWS = 500
"""The maximum number of repeated rows per poll. Ids of changes that are not shown to us cost
nothing."""
_WHOLE_EVERY_SECONDS = 15.0
"""How often all rows of that minute are repeated if there are more."""
_START_IDS = 2000
"""How many ids before the start are requested: those of the last seconds may become visible
later."""
_TAIL_IDS = 500
_SMALL_TAIL_ROWS = 20
"""An inclusive request repeats the changes of the two seconds before its id (`exchange-api.md`
4.4). If those are few, it is always used."""
_SECONDS_PER_ROW = 0.6
"""If they are many, the last ids are requested so rarely that a hundred rows are repeated per
minute, and otherwise the next id."""
_LOOK_BACK_AT_MOST_SECONDS = 1800.0
_LARGEST_PAGE = 10_000
"""The Exchange's own limit of `maxRecords`."""
_MOST_PAGES = 50
# an id that was forgotten while it is still requested would be returned a second time
_REMEMBERED_IDS = 2 * _LARGEST_PAGE
_REMEMBERED_UNREADABLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedResult:
    """The result of one poll."""

    changes: tuple[Change, ...] = ()
    """New changes in order of their latest id; each has only new ids."""
    resync: str | None = None
    """Why everything has to be read again; None if nothing was missed. It is reported once."""
    reset: bool = False
    """The Exchange was reset or restored: things may be missing for a while."""


class ChangeFeed:
    """The change feed, poll by poll. Polls must not overlap."""

    def __init__(self, client: ExchangeClient, clock: Clock, *, max_records: int = 1000) -> None:
        """Follow the feed as the client's identity; `max_records` is the initial size of a page."""
        self._client = client
        self._clock = clock
        self._max_records = max_records
        is_multitenant = client.identity.partition("/")[0] == MULTITENANT_ORG
        self._orgs = ["*"] if is_multitenant else None
        self._last_id = 0
        self._polled_seconds: float | None = None
        self._given_out: deque[tuple[float, int]] = deque()
        """When (on the monotonic clock) the feed was first seen at which id."""
        self._settled_id = 0
        """The last id that was requested a minute or longer after it was assigned."""
        self._whole_at = -inf
        """When all unsettled ids were last requested."""
        self._unsettled_rows = 0
        """The number of rows of that request."""
        self._long_tail_id = 0
        """The id after a burst, which an inclusive request would repeat."""
        self._looked_back_at = 0.0
        self._look_back_seconds = 0.0
        self._broken: str | None = "the feed is read for the first time"
        self._was_reset = False
        """Whether the Exchange was seen to be reset, which has not been returned yet."""
        self._seen: dict[int, int] = {}
        self._pending: list[Change] = []
        self._unreadable: dict[str, None] = {}
        """Unreadable rows; the feed repeats its last rows, and each is reported once."""
        self._lost_row = False

    @property
    def last_id(self) -> int:
        """The last known id; 0 before the first poll."""
        return self._last_id

    async def poll(self) -> FeedResult:
        """Read what is new.

        Raises:
            ExchangeError: the feed could not be read; after an unreadable page the next successful
                poll requests a resync.
        """
        started = self._clock.monotonic_seconds()
        away = timedelta(seconds=started - (self._polled_seconds if self._polled_seconds is not None else started))
        if away > _HORIZON - _MARGIN:
            self._broken = f"the feed was last read {away} ago, and the Exchange keeps changes for 4 hours"
        try:
            result = await self._restart(self._broken) if self._broken else await self._follow()
        except Unreadable as error:
            self._broken = f"a page of the feed was unreadable ({error.what_came_back})"
            raise
        except ExchangeError:
            # the answer may come from another Exchange, which its last rows show
            self._long_tail_id = 0
            raise
        self._polled_seconds = started
        was_reset, self._was_reset = self._was_reset, False
        return replace(result, reset=was_reset)

    def begin_again(self, why: str) -> None:
        """Let the next poll begin as the first one, because what the last one returned is lost."""
        self._broken = why

    async def kept(self, resource: str) -> list[Change]:
        """Return all changes of one kind that the Exchange has, oldest first, without moving on.

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
        """Start again."""
        # before everything else is read: what changes in between is in the feed then
        self._last_id = await self._client.max_change_id()
        self._settled_id = max(self._last_id - _START_IDS, 0)
        self._whole_at, self._unsettled_rows = -inf, 0
        self._given_out.clear()
        self._long_tail_id = 0
        self._seen.clear()
        self._pending.clear()

    async def _follow(self, known_to: int = 0) -> FeedResult:
        """Read all pages. Pages before a failed one are kept for the next poll.

        Rows up to `known_to` are noted and not returned: what they are about is read after this.
        """
        size, cursor, asked_seconds = self._max_records, self._from_id(), self._clock.monotonic_seconds()
        looks_back = self._settled_id >= self._last_id >= cursor
        is_whole, rows = cursor <= self._settled_id + 1, 0
        for _ in range(_MOST_PAGES):
            page = await self._client.changes(cursor, self._orgs, size)
            odd = self._why_odd(page)
            if odd is not None:
                self._was_reset = True  # also if what follows fails: then the next poll returns it
                return await self._start_over(odd)
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
                size = min(2 * size, _LARGEST_PAGE)  # the whole page was an overlap
            else:
                break
        return await self._start_over("more has changed than the feed can return in reasonable time")

    def _from_id(self) -> int:
        """Return the id to request from: the first unsettled, or sometimes a later one."""
        now = self._clock.monotonic_seconds()
        # A minute's ids are requested with every poll while that is few rows, and else only now and
        # then: the polls between those request the newest 500 rows that are known.
        if self._settled_id < self._last_id:
            if self._unsettled_rows <= _OVERLAP_ROWS or now - self._whole_at >= _WHOLE_EVERY_SECONDS:
                return self._settled_id + 1
            return max(self._settled_id + 1, nlargest(_OVERLAP_ROWS, self._seen)[-1])
        has_long_tail = self._long_tail_id == self._last_id
        if has_long_tail and now - self._looked_back_at < self._look_back_seconds:
            return self._last_id + 1
        return max(self._last_id - _TAIL_IDS, 0) + 1 if has_long_tail else max(self._last_id, 1)

    def _asked_for_all(self, rows: int, asked_seconds: float) -> None:
        """Note that all unsettled ids were requested at this time, which settles older ones."""
        self._whole_at, self._unsettled_rows = asked_seconds, rows
        # an id is settled by a request a minute after it was first seen: no transaction takes
        # longer
        while self._given_out and asked_seconds - self._given_out[0][0] >= _SETTLED_SECONDS:
            self._settled_id = self._given_out.popleft()[1]

    def _stand_at(self, page: FeedPage, *, repeated: int | None) -> None:
        """Note the position of the feed, and when so many rows may be repeated."""
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
        self._broken = why  # valid until the end of the feed has been found
        await self._go_to_the_end()
        self._broken = None
        return FeedResult(resync=why)

    def _why_odd(self, page: FeedPage) -> str | None:
        """Return how the page shows that this is another change log than before."""
        # on a full page it is the last row of the page, which may be lower than the requested id
        if not page.hit_max and page.most_recent < self._last_id:
            now = f"the newest change of the Exchange is {page.most_recent}, and was {self._last_id} before"
            return f"{now}: it was reset or restored from a backup"
        for change in page.changes:
            about = _about(change)
            for change_id in change.change_ids:
                # ids are counted from a lower number again after a restore, and mean other changes
                if self._seen.get(change_id, about) != about:
                    return f"change {change_id} is about {change.org}/{change.id} now: the Exchange was restored"
        return None

    def _take(self, page: FeedPage, known_to: int) -> None:
        """Keep the new changes of a page for the next result."""
        for change in page.changes:
            ids = tuple(each for each in change.change_ids if each not in self._seen)
            self._seen.update(dict.fromkeys(ids, _about(change)))
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


def _about(change: Change) -> int:
    """Return the hash of what a change is about: it is only compared, and texts take megabytes."""
    return hash((change.org, change.resource, change.id))
