"""When a record was written: by its own stamp if possible, otherwise by the reads around it.

The Exchange's clock may be wrong, and may be set. Three things are certain: a new record was
written after the last read that showed something else in its place, it was written before the read
that shows it, and an equal stamp is the same moment, whatever the clocks show today. So a stamp is
converted to our time once, at the first read, and that time is kept. A stamp from before or after
those two reads is wrong, and then the record counts as written when it was first seen, at the
latest. A read that does not show a record at all proves little (`absence`), so the one before it is
the bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import TypeVar

import msgspec

from agbot.fleet.changes import Read, What
from agbot.rules.ids import OrgId, org_of
from agbot.rules.seen_time import Now

AHEAD = timedelta(seconds=30)
"""The difference of the two clocks is known to a few seconds, and an answer may be shared that was
requested a while ago."""
REMEMBERED = 4
"""A proxy or a replica may show the previous stamps once more."""
_MOST_GONE = 50
"""How many keys are remembered that the last read did not have."""

_Key = TypeVar("_Key", bound=str)
Stamped = tuple[str, datetime | None]
"""A stamp as the Exchange wrote it, and its time by the Exchange's present clock; None if it is
invalid."""


@dataclass(frozen=True, slots=True)
class Dated:
    """When a record was written."""

    at: datetime
    """The time, if it `is_known`; otherwise the latest possible one."""
    is_known: bool
    earliest: datetime | None
    """The earliest possible time, None if the stamp is in the future. A stamp in the past may be
    right, because old copies are shown."""

    @property
    def if_unknown(self) -> datetime | None:
        """The earliest possible time, None if the time is known."""
        return None if self.is_known else self.earliest


class _Record(msgspec.Struct, gc=False):
    """One record of a read. There are several for each node, so they are kept small."""

    key: str
    stamp: int
    """The hash of the stamp. Stamps are only compared, and the text takes three times as much."""
    at: datetime | None
    since: datetime | None
    until: datetime
    shown: datetime | None
    """When it was last read, None if that is no bound for the next one."""

    def date_by_stamp(self, moment: datetime | None) -> None:
        """Use the time of its stamp if that is possible."""
        if self.at is None and moment is not None and moment <= self.until + AHEAD:
            self.at = moment if self.since is None or moment >= self.since - AHEAD else None
            if self.at is not None:  # the bounds are of no more use, and hardly any other record has them
                self.since, self.until = None, self.at

    def dated(self, moment: datetime | None) -> Dated:
        """Return when it was written; `moment` is its stamp by the Exchange's present clock."""
        if self.at is not None:
            return Dated(self.at, is_known=True, earliest=self.at)
        is_possible = moment is not None and moment <= self.until + AHEAD
        return Dated(self.until, is_known=False, earliest=moment if is_possible else None)


def _record(
    known: Sequence[_Record], key: str, stamped: Stamped, *, since: datetime | None, until: datetime, now: Now
) -> _Record:
    """Return the record with this stamp, a new one if it was not shown before."""
    text, moment = stamped
    stamp = hash(text)
    record = next((each for each in known if each.stamp == stamp), None)
    if record is None:
        record = _Record(key, stamp, None, since, until, None)
    # With each read again: an offset that was wrong at the first one may be known by now.
    record.shown = now.wall
    record.date_by_stamp(moment)
    return record


def _with_last(known: Sequence[_Record], record: _Record, remembered: int) -> tuple[_Record, ...]:
    """Return the last of these records, with this one at the end."""
    return (*(each for each in known if each is not record), record)[-remembered:]


def _undated(moment: datetime | None, now: Now) -> Dated:
    return Dated(moment or now.wall, is_known=moment is not None, earliest=moment)


class _Shown(msgspec.Struct, gc=False):
    """What one read has shown: the last few records of each key, the latest last."""

    records: tuple[_Record, ...] = ()
    older: datetime | None = None
    """The time of the last read but one."""
    last: datetime | None = None

    def bound(self, known: Sequence[_Record]) -> datetime | None:
        """Return after when a new record was written that replaces the last one of these."""
        return known[-1].shown if known else self.older


class Stamps:
    """The time of each stamp since it was first seen. `begun` is the picture's mark."""

    def __init__(self) -> None:
        self._shown: dict[What, dict[str, _Shown]] = {}
        self._stepped = 0
        self._received_at: datetime | None = None

    def received(self, now: Now) -> None:
        """Note that an answer has just come: it may show what was written after its request."""
        self._received_at = now.wall

    def date(
        self,
        read: Read,
        written: Mapping[_Key, Stamped],
        *,
        begun: int,
        now: Now,
        is_kept: bool = False,
    ) -> dict[_Key, Dated]:
        """Date all records of one read, by key.

        With `is_kept`, records never replace each other, so none is a bound for another.
        """
        if begun < self._stepped:
            # requested before our clock was set, so no bound; it is read again
            return {key: _undated(moment, now) for key, (_, moment) in written.items()}
        if is_kept and not written:
            return {}  # no record, and a read without one is no bound for another
        shown, until, found = self._of(read), self._latest(now), dict[_Key, Dated]()
        of_key: dict[str, tuple[_Record, ...]] = {}
        for each in shown.records:
            of_key[each.key] = (*of_key.get(each.key, ()), each)
        for key, stamped in written.items():
            known = of_key.pop(key, ())
            since = None if is_kept else shown.bound(known)
            record = _record(known, key, stamped, since=since, until=until, now=now)
            of_key[key] = _with_last(known, record, REMEMBERED)
            found[key] = record.dated(stamped[1])
        # the keys of this read are at the end
        remembered = islice(of_key.values(), max(len(of_key) - len(written) - _MOST_GONE, 0), None)
        shown.records = tuple(chain.from_iterable(remembered))
        shown.older, shown.last = shown.last, now.wall
        return found

    def date_only(self, read: Read, stamped: Stamped, *, begun: int, now: Now, remembered: int = REMEMBERED) -> Dated:
        """Date the one record of a read that has only one, as `date` does.

        The last `remembered` records are kept.
        """
        # without the tables of `date`: nodes are read more often than anything else
        if begun < self._stepped:
            return _undated(stamped[1], now)
        shown = self._of(read)
        known = shown.records
        record = _record(known, "", stamped, since=shown.bound(known), until=self._latest(now), now=now)
        if not known or record is not known[-1]:
            shown.records = _with_last(known, record, remembered)
        shown.older, shown.last = shown.last, now.wall
        return record.dated(stamped[1])

    def _of(self, read: Read) -> _Shown:
        of_kind = self._shown.setdefault(read.what, {})
        shown = of_kind.get(read.id)
        if shown is None:
            shown = of_kind[read.id] = _Shown()
        return shown

    def _latest(self, now: Now) -> datetime:
        """Return the latest time at which what was just read may have been written."""
        return now.wall if self._received_at is None else max(now.wall, self._received_at)

    def note_old_state(self, org: OrgId) -> None:
        """Note that the Exchange shows an older state of this organisation."""
        # a record that appears now may be older than any look, so earlier reads are no bounds any
        # more
        for shown in self._all(org):
            shown.older = shown.last = None
            for record in shown.records:
                record.since = record.shown = None

    def forget(self) -> None:
        """Forget everything: the Exchange's clock was not known when the stamps were converted."""
        self._shown.clear()

    def date_stepped(self, step: timedelta, *, sequence: int) -> None:
        """Move all times by the step of our clock."""
        self._stepped = sequence
        self._received_at = self._received_at and self._received_at + step
        for shown in self._all():
            shown.older, shown.last = shown.older and shown.older + step, shown.last and shown.last + step
            for record in shown.records:
                record.at, record.since = record.at and record.at + step, record.since and record.since + step
                record.until, record.shown = record.until + step, record.shown and record.shown + step

    def _all(self, org: OrgId | None = None) -> Iterator[_Shown]:
        """Yield what was shown of an organisation, or of all."""
        for of_kind in self._shown.values():
            yield from (shown for key, shown in of_kind.items() if org is None or org_of(key) == org)
