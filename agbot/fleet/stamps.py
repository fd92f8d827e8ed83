"""When a record was written: its own time as far as that can be, and otherwise the looks between which it appeared.

The Exchange stamps what it stores, and its clock may be wrong, or be set. Three things are known for certain: what was never shown before
was written after the last look that showed something else in its place, it was written before the look that shows it, and the same text is
the same moment, whatever the clocks say today. So a stamp is told in our time once, at the first look, and keeps that. One from before
those looks or from after them is not known, and then the record counts as written when it was first seen, at the latest. A look that does
not show a record at all proves little (`absence`): only with a second one before it is it taken for one without.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from agbot.fleet.changes import Read
from agbot.rules.ids import OrgId
from agbot.rules.seen_time import Now

AHEAD = timedelta(seconds=30)
"""The two clocks are known against each other to a few seconds, and an answer may be shared that was asked for a while before."""
_REMEMBERED = 4
"""A proxy or a replica may show the stamp before once more."""
_MOST_GONE = 50

Key = TypeVar("Key", bound=str)
Stamped = tuple[str, datetime | None]
"""A stamp as the Exchange wrote it, and by its present clock; None where it cannot be read."""


@dataclass(frozen=True, slots=True)
class Dated:
    """When a record was written."""

    at: datetime
    """With `is_known` when it was; without at the latest."""
    is_known: bool
    earliest: datetime | None
    """When it was written at the earliest; None where its stamp is from the future. One of the past may be right: old copies are shown."""

    @property
    def if_unknown(self) -> datetime | None:
        """The earliest time, where it is not known when it was written."""
        return None if self.is_known else self.earliest


@dataclass(slots=True)
class _Record:
    stamp: str
    at: datetime | None
    since: datetime | None
    until: datetime
    shown: datetime | None
    """When it was last read, as far as that bounds the next one."""

    def try_out(self, moment: datetime | None) -> None:
        """Take its own time for when it was written, if that can be."""
        if self.at is None and moment is not None and moment <= self.until + AHEAD:
            self.at = moment if self.since is None or moment >= self.since - AHEAD else None


@dataclass(slots=True)
class _Shown:
    """What one kind of read has shown: the records by key, of each the last ones, the present one last."""

    records: dict[str, list[_Record]] = field(default_factory=dict)
    looks: tuple[datetime | None, datetime | None] = (None, None)
    """The last look but one, and the last."""


class Stamps:
    """What was made of each stamp when it was first seen. `begun` is the picture's mark, as for everything that is learnt."""

    def __init__(self) -> None:
        self._shown: defaultdict[Read, _Shown] = defaultdict(_Shown)
        self._stepped = 0
        self._heard: datetime | None = None

    def heard(self, now: Now) -> None:
        """Take in that an answer has come just now: it may show what was written while it was waited for."""
        self._heard = now.wall

    def date(
        self, read: Read, written: Mapping[Key, Stamped], *, begun: int, now: Now, is_kept: bool = False
    ) -> dict[Key, Dated]:
        """Date all that a look shows, by key. `is_kept`: records never replace each other, so that none bounds another."""
        if begun < self._stepped:  # asked for by another date, which bounds nothing: it is out of date, and read again
            return {key: Dated(moment or now.wall, moment is not None, moment) for key, (_, moment) in written.items()}
        shown, found = self._shown[read], dict[Key, Dated]()
        until = max(now.wall, self._heard or now.wall)
        for key, (stamp, moment) in written.items():
            known = shown.records.pop(key, [])
            before = known[-1].shown if known else shown.looks[0]
            record = next((each for each in known if each.stamp == stamp), None)
            if record is None:
                record = _Record(stamp=stamp, at=None, since=None if is_kept else before, until=until, shown=None)
            record.shown = now.wall
            record.try_out(moment)
            others = [each for each in known if each is not record]
            shown.records[key] = [*others, record][-_REMEMBERED:]
            earliest = moment if moment is not None and moment <= record.until + AHEAD else None
            found[key] = Dated(record.at or record.until, record.at is not None, record.at or earliest)
        for gone in list(shown.records)[: max(len(shown.records) - len(written) - _MOST_GONE, 0)]:
            del shown.records[gone]
        shown.looks = (shown.looks[1], now.wall)
        return found

    def shows_the_past(self, org: OrgId) -> None:
        """Take in that this organisation is shown as it had been: what appears is from before the last looks."""
        for read, shown in self._shown.items():
            if read.org == org:
                shown.looks = (None, None)
                for record in (each for known in shown.records.values() for each in known):
                    record.since = record.shown = None

    def forget(self) -> None:
        """Forget everything: the Exchange's clock was not known when it was told in our time."""
        self._shown.clear()

    def date_stepped(self, step: timedelta, *, sequence: int) -> None:
        """Let all moments move along with the date."""
        self._stepped = sequence
        self._heard = self._heard and self._heard + step
        for shown in self._shown.values():
            older, last = shown.looks
            shown.looks = (older and older + step, last and last + step)
            for record in (each for known in shown.records.values() for each in known):
                record.at, record.since = record.at and record.at + step, record.since and record.since + step
                record.until, record.shown = record.until + step, record.shown and record.shown + step
