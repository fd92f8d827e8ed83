"""One page of the change feed: its request, its JSON, and its rows (`exchange-api.md` 4.4).

The texts of rows are interned: the last 20,000 rows are remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from sys import intern

import msgspec

from agbot.exchange import resources
from agbot.exchange.entries import entry
from agbot.exchange.timestamps import ExchangeClock
from agbot.exchange.wire import Wire
from agbot.fleet.changes import Change
from agbot.fleet.garbled import Garbled
from agbot.rules.ids import OrgId


class ChangeRow(Wire):
    """One row of the change log."""

    change_id: int
    last_updated: str


class ChangeGroup(Wire):
    """The rows of one resource, with the operation of the latest.

    `id` is the name without the organisation.
    """

    org_id: str
    resource: str
    id: str
    operation: str
    resource_changes: list[ChangeRow]


class ChangesPage(Wire):
    """The answer of `POST orgs/{org}/changes`."""

    changes: list[msgspec.Raw]
    most_recent_change_id: int
    hit_max_records: bool


class ChangesRequest(Wire, omit_defaults=True):
    """The request of `POST orgs/{org}/changes`.

    An unknown field is a 400; a missing `maxRecords` counts as 0 (no rows).
    """

    change_id: int
    max_records: int
    org_list: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """One page of the change feed."""

    changes: tuple[Change, ...]
    most_recent: int
    """The last assigned id or, with `hit_max`, the last row of this page (which may be lower than
    the requested id)."""
    hit_max: bool
    garbled: tuple[str, ...] = ()
    """Unreadable rows as received: it is not known what has changed."""


class Pages:
    """Maps pages. What the last page had is not mapped again: polls repeat hundreds of rows."""

    def __init__(self) -> None:
        self._last: dict[bytes, Change | Garbled] = {}

    def page(self, reply: ChangesPage, clock: ExchangeClock) -> FeedPage:
        """Map one page."""
        # A row that is repeated keeps its first mapping, and with it its time by the clock of then.
        rows = [bytes(each) for each in reply.changes]
        known, meaning = self._last, partial(_change, clock=clock)
        read = {row: known[row] if row in known else entry(msgspec.Raw(row), ChangeGroup, meaning) for row in rows}
        self._last = read
        return FeedPage(
            changes=tuple(change for change in map(read.__getitem__, rows) if isinstance(change, Change)),
            most_recent=reply.most_recent_change_id,
            hit_max=reply.hit_max_records,
            garbled=tuple(row.decode(errors="replace") for row in rows if isinstance(read[row], Garbled)),
        )


def _change(group: ChangeGroup, clock: ExchangeClock) -> Change:
    if not group.resource_changes:
        message = f"the change of {group.resource} {group.org_id}/{group.id} has no rows"
        raise ValueError(message)
    rows = sorted(group.resource_changes, key=lambda row: row.change_id)
    return resources.change(
        OrgId(intern(group.org_id)),
        intern(group.resource),
        intern(group.id),
        intern(group.operation),
        change_ids=tuple(row.change_id for row in rows),
        at=clock.ours_or_none(rows[-1].last_updated),
    )
