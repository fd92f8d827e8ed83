"""Detects at the start that a store is not the one last used, and begins a new generation.

A new generation begins with an older copy, a store from elsewhere, an empty one in place of
another, and with any doubt about that: grants made since the copy are unknown. Its tokens therefore
begin above all earlier ones, and the coordinator grants nothing until it has read every
organisation or an operator has resumed it.
"""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass

from agbot.store.contract import Generation
from agbot.store.mark import Mark

_JUMP = 1_000_000
"""If the clock is of no use: more grants than a group can have had since any copy that would be
restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The mark that was found beside the store's file."""

    mark: Mark | None
    trouble: str = ""
    """Why the mark is not reliable, or which log did not belong to the file."""


def recognise(connection: sqlite3.Connection, beside: Beside, now_ms: int) -> Generation:
    """Return the generation of the opened store; begin one if it is not the store last used.

    `now_ms` is the system's clock in milliseconds since 1970. It writes in its own transaction.
    """
    stored = read(connection)
    why = _why_another(connection, stored, beside)
    if stored is not None and not why:
        return stored
    # the first doubt stays: its reason is what an operator has to judge
    if stored is not None and stored.doubt:
        why = stored.doubt  # an operator has restored it, with this reason
    floor = floor_above(highest_known(connection, stored, beside.mark), now_ms) if why else 0
    return begin(connection, why, floor)


def read(connection: sqlite3.Connection) -> Generation | None:
    """Return the generation in the file; None if this version has never opened it."""
    found = connection.execute("SELECT id, token_floor, doubt FROM generation").fetchone()
    return None if found is None else Generation(id=found[0], token_floor=found[1], doubt=found[2])


def begin(connection: sqlite3.Connection, doubt: str, token_floor: int) -> Generation:
    """Write a new generation into the file."""
    made = Generation(id=uuid.uuid4().hex, token_floor=token_floor, doubt=doubt)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT OR REPLACE INTO generation (only, id, token_floor, doubt) VALUES (1, ?, ?, ?)",
        (made.id, made.token_floor, made.doubt),
    )
    connection.execute("COMMIT")
    return made


def last_entry(connection: sqlite3.Connection) -> int:
    """Return the id of the last journal entry ever committed."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
    return 0 if found is None else int(found[0])


def highest_token(connection: sqlite3.Connection) -> int:
    """Return the highest token of any group."""
    (found,) = connection.execute("SELECT max(token) FROM lease").fetchone()
    return int(found or 0)


def highest_known(connection: sqlite3.Connection, stored: Generation | None, mark: Mark | None = None) -> int:
    """Return the highest token that may have been given before."""
    return max(
        highest_token(connection),
        stored.token_floor if stored is not None else 0,
        mark.token if mark is not None else 0,
    )


def _why_another(connection: sqlite3.Connection, stored: Generation | None, beside: Beside) -> str:
    if beside.trouble:
        return beside.trouble
    mark = beside.mark
    if mark is None:
        return "it was in use before, and its mark is missing" if stored is not None else ""
    # a first start has neither; an empty file beside a mark is a disk that was not mounted, or
    # worse
    if stored is None:
        return "it is empty or of an earlier version, and another store was in use here"
    if stored.id != mark.generation:
        return "it is a copy, or not the store that was last used here"
    entry = last_entry(connection)
    if entry < mark.entry:
        return f"it is an older copy: its journal ends at entry {entry}, but {mark.entry} had been written"
    return ""


def floor_above(known: int, now_ms: int) -> int:
    """Return a number that no earlier token exceeds; `known` is the highest known one."""
    # No group has a thousand grants per second, so the clock's milliseconds are above all tokens of
    # earlier generations, even of one of which nothing is left. A counter of generations would be
    # put back together with the copy (decision 16). A clock that is behind a known token is wrong.
    return now_ms if now_ms > known else known + _JUMP
