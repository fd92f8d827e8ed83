"""Events of reading the Exchange, as a whole and in part."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Level, LogEvent
from agbot.rules.ids import GroupId, NodeId, OrgId


class ExchangeFailed(LogEvent, frozen=True, kw_only=True):
    """Requests to the Exchange fail.

    Logged once until `exchange.recovered`, and again when an outage turns into a refusal, or the
    other way round.
    """

    name: ClassVar[str] = "exchange.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "requests to the Exchange fail"

    error: str


class ExchangeRecovered(LogEvent, frozen=True, kw_only=True):
    """The Exchange answers again."""

    name: ClassVar[str] = "exchange.recovered"
    words: ClassVar[str] = "the Exchange answers again"


class FeedStalled(LogEvent, frozen=True, kw_only=True):
    """The change feed answers but does not advance: the Exchange has changed, and no row shows it.

    Nothing is granted until `feed.recovered`.
    """

    name: ClassVar[str] = "feed.stalled"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the change feed of the Exchange does not advance"

    error: str


class FeedRecovered(LogEvent, frozen=True, kw_only=True):
    """The change feed advances again."""

    name: ClassVar[str] = "feed.recovered"
    words: ClassVar[str] = "the change feed of the Exchange advances again"


class OfOrg(LogEvent, frozen=True, kw_only=True):
    """An event of one organisation."""

    org: OrgId


class OrgDiscovered(OfOrg, frozen=True, kw_only=True):
    """An organisation was found; its groups are coordinated from now on."""

    name: ClassVar[str] = "org.discovered"
    words: ClassVar[str] = "the groups of organisation {self.org} are coordinated from now on"


class OrgGone(OfOrg, frozen=True, kw_only=True):
    """An organisation no longer exists in the Exchange.

    It is coordinated again when it reappears.
    """

    name: ClassVar[str] = "org.gone"
    words: ClassVar[str] = "organisation {self.org} no longer exists in the Exchange"


class OrgFailed(OfOrg, frozen=True, kw_only=True):
    """One organisation cannot be read; the others are not affected.

    Logged once until `org.recovered`.
    """

    name: ClassVar[str] = "org.failed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "organisation {self.org} cannot be read"

    error: str


class OrgRecovered(OfOrg, frozen=True, kw_only=True):
    """The organisation can be read again."""

    name: ClassVar[str] = "org.recovered"
    words: ClassVar[str] = "organisation {self.org} can be read again"


class OfRecord(LogEvent, frozen=True, kw_only=True):
    """An event of one record of the Exchange."""

    group: GroupId | None = None
    """The group, if the record is one."""
    node: NodeId | None = None
    """The node that the record belongs to."""
    what: str
    """The kind of record."""
    record: str
    """Its name."""


class RecordUnreadable(OfRecord, frozen=True, kw_only=True):
    """The record of one node, group or policy in the Exchange cannot be read; no other is affected.

    Logged once until `record.readable`.
    """

    name: ClassVar[str] = "record.unreadable"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the record of {self.record} ({self.what}) in the Exchange cannot be read"

    error: str


class RecordReadable(OfRecord, frozen=True, kw_only=True):
    """The record can be read again, or is gone."""

    name: ClassVar[str] = "record.readable"
    words: ClassVar[str] = "the record of {self.record} ({self.what}) in the Exchange can be read again"


class ExchangeRead(LogEvent, frozen=True, kw_only=True):
    """One resource is read from the Exchange; `why` is the reason."""

    name: ClassVar[str] = "exchange.read"
    level: ClassVar[Level] = Level.DEBUG
    words: ClassVar[str] = "the record of {self.record} ({self.what}) is read"

    what: str
    record: str
    why: str
