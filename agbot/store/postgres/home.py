"""Detects that the database is not the one last used, and what begins a new generation.

A replica that was promoted may lack the last commits of the server before it; a restored dump lacks
all since it was made. Both look complete. So the last leader leaves in the database where it was
(`HOME`): a promoted replica has another timeline, a restored dump another table, another server
another identifier. Within one process, the journal's end must not go back either. See
`agbot.store.generation` for what a new generation means.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from agbot.store.contract import Generation
from agbot.store.generation import floor_above
from agbot.store.postgres.quoting import filled, original
from agbot.store.postgres.statements import HOME

_LOCK: Final = "SELECT FROM leader WHERE epoch = :epoch AND epoch > 0 FOR UPDATE"
_CLAIM: Final = "UPDATE leader SET writer = :writer WHERE epoch = :epoch AND epoch > 0 RETURNING epoch"
_LOOK: Final = f"""SELECT {HOME} AS home, (SELECT id FROM journal_end) AS entry, (SELECT bytes FROM journal_end) AS bytes,
 coalesce((SELECT max(token) FROM lease), 0) AS token, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms"""
_GENERATION: Final = "SELECT id, token_floor, doubt, home FROM generation"
_BEGIN: Final = """INSERT INTO generation (one, id, token_floor, doubt, home) SELECT 1, :id, :token_floor, :doubt, :home FROM done
 ON CONFLICT (one) DO UPDATE SET id = excluded.id, token_floor = excluded.token_floor, doubt = excluded.doubt, home = excluded.home"""
_PARTS: Final = ("server", "timeline", "database", "table of leases")


@dataclass(slots=True)
class Seen:
    """What this process knows of the store, so that a step back is noticed."""

    entry: int = 0
    """The last journal entry."""
    token: int = 0
    """The highest token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a leader finds when it begins to use the store, or loads it again."""

    home: str
    entry: int
    bytes: int
    token: int
    now_ms: int
    stored: Generation | None
    stored_home: str

    @property
    def timeline(self) -> str:
        """The timeline of the server."""
        return self.home.split("/")[1]


def look(epoch: int, writer: str) -> list[str]:
    """Wait for every write under way, refuse those that come late, and read where the store is.

    A write whose answer was lost is complete afterwards, or never happens.
    """
    row: dict[str, str | int | None] = {"epoch": epoch, "writer": writer}
    return [filled(_LOCK, row), filled(_CLAIM, row), _LOOK, _GENERATION]


def found(results: list[list[dict[str, Any]]]) -> Found | None:
    """Read the results of `look`; None if another leads."""
    _, claimed, (here,), generations = results
    if not claimed:
        return None
    stored = generations[0] if generations else None
    return Found(
        **here,
        stored=None
        if stored is None
        else Generation(id=stored["id"], token_floor=stored["token_floor"], doubt=original(stored["doubt"])),
        stored_home=stored["home"] if stored else "",
    )


def next_generation(here: Found, seen: Seen) -> Generation | None:
    """Return the generation that begins now; None if the store is the one last used."""
    why = _why_another(here, seen)
    if here.stored is not None and not why:
        return None
    # the first doubt stays: its reason is what an operator has to judge
    if here.stored is not None and here.stored.doubt:
        why = here.stored.doubt
    known = max(here.token, here.stored.token_floor if here.stored else 0, seen.token)
    return Generation(id=uuid.uuid4().hex, token_floor=floor_above(known, here.now_ms) if why else 0, doubt=why)


def begin(generation: Generation, home: str) -> str:
    """Write a generation, as a part of a fenced statement."""
    row: dict[str, str | int | None] = {
        "id": generation.id,
        "token_floor": generation.token_floor,
        "doubt": generation.doubt,
        "home": home,
    }
    return filled(_BEGIN, row)


def _why_another(here: Found, seen: Seen) -> str:
    if here.stored is None:
        return "it is empty, and another store was in use here" if seen.entry else ""
    # before the home: within one process this shows it even if the copy is in the same place
    if here.entry < seen.entry:
        return (
            f"it is an older copy: its journal ends at entry {here.entry}, but {seen.entry} had been written; a replica may"
            " have been promoted that lacks the last commits"
        )
    if here.stored_home == here.home:
        return ""
    changed = _changed(here.stored_home, here.home)
    return f"another {changed} than before: a replica may have been promoted, or a copy restored, that lacks the last commits"


def _changed(before: str, now: str) -> str:
    pairs = zip(_PARTS, before.split("/"), now.split("/"), strict=False)
    return " and ".join(name for name, old, new in pairs if old != new) or "server"
