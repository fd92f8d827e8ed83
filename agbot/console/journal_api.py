"""The paths of the operators' API that read the journal. See `api`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from agbot.console.api import COUNT, NUMBER, TEXT, TIME, Endpoint, Schema
from agbot.coordinator.operators.history import HistoryView
from agbot.store.contract import Entry


class History(msgspec.Struct):
    """Entries of the journal, in words."""

    entries: Sequence[HistoryView]


class Journal(msgspec.Struct):
    """Entries of the journal, as they were written."""

    entries: Sequence[Entry]


_QUERY: Final[Mapping[str, Schema]] = {"group": TEXT, "node": TEXT, "since": TIME, "after": NUMBER, "limit": COUNT}

HISTORY: Final = Endpoint(
    path="/v1/history",
    does="What happened, in words: who, why, and on which facts; newest first.",
    answer=History,
    query={**_QUERY, "before": COUNT, "org": TEXT, "event": TEXT},
    repeatable=frozenset({"event"}),
)
JOURNAL: Final = Endpoint(
    path="/v1/journal", does="Every journal entry as it was written, from the store.", answer=Journal, query=_QUERY
)
EVENTS: Final = Endpoint(
    path="/v1/events",
    does="The journal as it grows, as server-sent events.",
    answer=str,
    media="text/event-stream",
    query={"after": NUMBER},
)
