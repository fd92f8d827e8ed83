"""Events of the lease store: its failures, and its replacement by another one."""

from __future__ import annotations

from typing import ClassVar

from agbot.events.event import Event, Level, LogEvent


class StoreFailed(LogEvent, frozen=True, kw_only=True):
    """The lease store cannot be read or written; nothing is granted until `store.recovered`."""

    name: ClassVar[str] = "store.failed"
    level: ClassVar[Level] = Level.ERROR
    words: ClassVar[str] = "the lease store cannot be read or written, and nothing is granted"

    error: str


class StoreRecovered(Event, frozen=True, kw_only=True):
    """The lease store works again."""

    name: ClassVar[str] = "store.recovered"
    words: ClassVar[str] = "the lease store works again"


class StoreChanged(Event, frozen=True, kw_only=True):
    """The lease store is not the last one used; nothing is granted until `store.settled`."""

    name: ClassVar[str] = "store.changed"
    level: ClassVar[Level] = Level.WARNING
    words: ClassVar[str] = "the lease store is not the one that was last used: no upgrade may begin for now"

    why: str
    tokens_above: int
    """All tokens from now on are higher than this, and so than all earlier ones."""


class StoreSettled(Event, frozen=True, kw_only=True):
    """Grants resume after `store.changed`.

    All organisations were checked, or an operator ordered it.
    """

    name: ClassVar[str] = "store.settled"
    words: ClassVar[str] = "upgrades may begin again after the change of the lease store"

    why: str
    changed: str
    """Why the store was not trusted."""
