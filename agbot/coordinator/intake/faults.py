"""Reports what cannot be read of the Exchange: once when it begins, and once when it ends."""

from __future__ import annotations

from typing import Any

from agbot.coordinator.situation import Situation
from agbot.events.exchange import (
    ExchangeFailed,
    ExchangeRecovered,
    FeedRecovered,
    FeedStalled,
    RecordReadable,
    RecordUnreadable,
)
from agbot.events.outage import Outage
from agbot.exchange.errors import ExchangeError, Forbidden, Refused
from agbot.fleet.changes import ABOUT_NODE, Read, What
from agbot.rules.ids import GroupId, NodeId


class Faults:
    """The outages of the feed and the unreadable records, as far as they have been reported."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._outage = Outage()
        self._standstill = Outage()
        self._unreadable: set[Read] = set()

    @property
    def failing(self) -> str:
        """The error of the last read of the feed, while it fails."""
        return self._outage.why

    def failed(self, error: ExchangeError) -> None:
        """Report a new outage, and a change between failure and refusal: the remedies differ."""
        if self._outage.begins(str(error), isinstance(error, Refused | Forbidden)):
            self._situation.report_event(ExchangeFailed(error=str(error)))

    def recovered(self) -> None:
        """Report the end of an outage."""
        if self._outage.ends():
            self._situation.report_event(ExchangeRecovered())

    def look(self) -> None:
        """Report what has changed in the picture: a feed that stands still, unreadable records."""
        self._look_at_feed()
        self._look_at_records()

    def _look_at_feed(self) -> None:
        why = self._situation.why_feed_stands_still()
        if why and self._standstill.begins(why):
            self._situation.report_event(FeedStalled(error=why))
        elif not why and self._standstill.ends():
            self._situation.report_event(FeedRecovered())

    def _look_at_records(self) -> None:
        found = self._situation.picture.unreadables.all()
        for read in [read for read in self._unreadable if read not in found]:
            self._unreadable.discard(read)
            self._situation.report_event(RecordReadable(**_of_record(read)))
        for read, why in found.items():
            if read not in self._unreadable:
                self._unreadable.add(read)
                self._situation.report_event(RecordUnreadable(**_of_record(read), error=why))


def _of_record(read: Read) -> dict[str, Any]:
    return {
        "group": GroupId(read.id) if read.what is What.GROUP else None,
        "node": NodeId(read.id) if read.what in ABOUT_NODE else None,
        "what": str(read.what),
        "record": read.id,
    }
