"""What the views show of the journal.

All else in a view is from memory. While the journal cannot be read, a view that has other parts is
shown without this one, and states why: then most of all an operator needs to see who holds what.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web

from agbot.console import parts
from agbot.console.page import timeline
from agbot.console.page.timeline import Upgrade
from agbot.console.requests import number
from agbot.coordinator.operators import history
from agbot.rules.ids import GroupId
from agbot.store.contract import JournalQuery, StoreError

_EVENTS: Final = 40
_UPGRADES: Final = 250
"""Events of upgrades that a time line is drawn from."""
_BARS: Final = 60


async def page_of(request: web.Request, query: JournalQuery, most: int = _EVENTS) -> dict[str, object]:
    """Return a page of the journal, and the id before which the next one begins.

    Raises:
        StoreError: it cannot be read.
    """
    before = number(request, "before", least=1)
    wanted = replace(query, before=before, limit=most + 1, without=() if query.events else history.LEFT_OUT)
    entries = [history.view(entry) for entry in await parts.of(request).operations.journal(wanted)]
    shown = entries[:most]
    return {
        "entries": history.by_time(shown),
        "before": before,
        "older": shown[-1].id if len(entries) > most else None,
        "journal_lack": "",
    }


async def part_of(request: web.Request, query: JournalQuery, most: int = _EVENTS) -> dict[str, object]:
    """Return a page of the journal for a view that has other parts, or why there is none."""
    try:
        return await page_of(request, query, most)
    except StoreError as error:
        return {"entries": [], "before": None, "older": None, "journal_lack": f"The journal cannot be read: {error}."}


async def of_group(request: web.Request, group: GroupId) -> tuple[dict[str, object], list[Upgrade]]:
    """Return a page of the journal of a group as `part_of` does, and the upgrades of that group."""
    found = await part_of(request, JournalQuery(group=group))
    query = JournalQuery(group=group, events=timeline.READ, limit=_UPGRADES)
    try:
        entries = await parts.of(request).operations.journal(query) if not found["journal_lack"] else ()
    except StoreError:  # it has failed just now
        return {**found, "journal_lack": "The journal cannot be read."}, []
    return found, timeline.upgrades(entries)[-_BARS:]
