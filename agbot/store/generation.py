"""Telling, when a store is opened, whether it is the one that was last used here, and what follows if it is not.

Another generation begins with an older copy, with a store from elsewhere, with an empty one where there was one, and with every doubt
about that: what was granted since the copy was made is not known. Its tokens therefore begin above every earlier one, and the coordinator
grants nothing until it has looked at everything or a person has said so.
"""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass

from agbot.store.contract import Generation
from agbot.store.mark import Mark

_JUMP = 1_000_000
"""Where the clock is of no use: more grants than a group can have had since a copy that anybody would restore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What was found beside the store's file."""

    mark: Mark | None
    trouble: str = ""
    """Why the mark cannot be relied on, or which log did not belong to the file."""


def recognise(connection: sqlite3.Connection, beside: Beside, now_ms: int) -> Generation:
    """Return the generation of the store that has just been opened; begin another one if it is not the one that was last used here.

    `now_ms` is the system's clock in milliseconds since 1970. Writes in a transaction of its own.
    """
    stored = read(connection)
    why = _why_another(connection, stored, beside)
    if stored is not None and not why:
        return stored
    if stored is not None and stored.doubt:
        why = stored.doubt  # a person restored it, and has said why
    floor = _floor(connection, stored, beside.mark, now_ms) if why else 0
    return begin(connection, why, floor)


def read(connection: sqlite3.Connection) -> Generation | None:
    """Return what the file says of itself; None for one that was never opened by this version."""
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
    """Return the id of the newest journal entry that was ever committed."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
    return 0 if found is None else int(found[0])


def highest_token(connection: sqlite3.Connection) -> int:
    """Return the highest token of any group."""
    (found,) = connection.execute("SELECT max(token) FROM lease").fetchone()
    return int(found or 0)


def _why_another(connection: sqlite3.Connection, stored: Generation | None, beside: Beside) -> str:
    if beside.trouble:
        return beside.trouble
    mark = beside.mark
    if mark is None:
        return "it was in use before, and its mark is not beside it" if stored is not None else ""
    if stored is None:
        return "it is empty or from before a change of version, and another store was in use here"
    if stored.id != mark.generation:
        return "it is a copy or another store than the one that was last used here"
    entry = last_entry(connection)
    if entry < mark.entry:
        return f"it is an older copy: its journal ends at entry {entry}, and {mark.entry} had been written"
    return ""


def _floor(connection: sqlite3.Connection, stored: Generation | None, mark: Mark | None, now_ms: int) -> int:
    """Return a number that no token given here before exceeds.

    No group is granted a thousand times a second, so tokens that begin at the milliseconds of the clock stay below them: the clock of now
    is above whatever an earlier generation gave, also one of which nothing is left. A clock behind what is known is wrong.
    """
    known = max(
        highest_token(connection),
        stored.token_floor if stored is not None else 0,
        mark.token if mark is not None else 0,
    )
    return now_ms if now_ms > known else known + _JUMP
