"""Whether the guard is installed and works, as the database shows it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from agbot.guard import scripts, shape
from agbot.guard.scripts import Schemas
from agbot.guard.shape import Connection

_SOURCES: Final = """
    SELECT proname, prosrc FROM pg_proc WHERE pronamespace = to_regnamespace(%s) AND proname LIKE 'guard\\_%%'
"""
_TRIGGERS: Final = """
    SELECT tgrelid = to_regclass(%s), tgenabled IN ('O', 'A') FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE pronamespace = to_regnamespace(%s) AND proname = %s
"""
_PLACES: Final = """
    SELECT DISTINCT relnamespace::regnamespace::text FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
    JOIN pg_class ON pg_class.oid = tgrelid WHERE pronamespace = to_regnamespace(%s) AND proname = ANY(%s) ORDER BY 1
"""
"""The schemas of the agbot's tables that have triggers of the guard."""
_OWN_TABLES: Final = ("guard_gate", "guard_outbox")
"""Besides `guard_setting`, without which the guard is not installed."""
_AGAIN: Final = "`agbot guard install` puts it back"
_BODY: Final = re.compile(r"FUNCTION @ours@\.(guard_\w+)\(.*?AS \$(\w+)\$(.*?)\$\2\$;", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardStatus:
    """What `agbot guard status` shows."""

    schema: str
    agbot_schema: str
    """Where its triggers are; if there are none, where they should be."""
    version: int | None
    """Of the installed objects; None if the guard is not installed."""
    troubles: tuple[str, ...] = ()
    """What keeps the guard from deciding as it should."""
    judged_until: datetime | None = None
    """Until when the triggers count on a coordinator; None if none has decided yet."""
    is_judged: bool = False
    """Whether they do at present."""
    leader: str = ""
    """The coordinator that leads at present, whether its guard is enabled or not."""
    agents_without_leader: str = ""
    """What happens to agent upgrades while no coordinator decides: wait or go."""
    services_without_leader: str = ""
    gates: int = 0
    undelivered: int = 0
    """Decisions that the coordinator has not taken in yet."""

    @property
    def is_good(self) -> bool:
        """Whether it is installed and nothing is wrong with it."""
        return self.version is not None and not self.troubles

    def plain(self) -> dict[str, Any]:
        """Return the status as JSON values."""
        return {**asdict(self), "judged_until": self.judged_until.isoformat() if self.judged_until else None}


def look(connection: Connection, schemas: Schemas) -> GuardStatus:
    """Look at the guard in a database, with reads of its own catalogue and tables alone.

    Raises:
        psycopg.Error: the database failed.
    """
    ours, theirs = schemas.ours, schemas.theirs
    version = shape.installed_version(connection, schemas)
    if version is None:
        return GuardStatus(schema=ours, agbot_schema=theirs, version=None)
    setting = connection.execute(
        f"""SELECT nullif(judged_until, '-infinity'), judged_until > clock_timestamp(), agents_without_leader,
        services_without_leader FROM {ours}.guard_setting""".encode()
    ).fetchone()
    judged_until, is_judged, agents, services = setting or (None, False, "", "")
    gates, undelivered = (_count(connection, f"{ours}.{table}") for table in _OWN_TABLES)
    elsewhere = _elsewhere(connection, schemas)
    return GuardStatus(
        schema=ours,
        agbot_schema=elsewhere or theirs,
        version=version,
        troubles=_troubles(connection, schemas, version, elsewhere),
        judged_until=judged_until,
        is_judged=is_judged,
        leader=_leader(connection, ours),
        agents_without_leader=agents,
        services_without_leader=services,
        gates=gates or 0,
        undelivered=undelivered or 0,
    )


def _elsewhere(connection: Connection, schemas: Schemas) -> str:
    """Return the schemas in which the guard's triggers are instead; empty if none is elsewhere."""
    functions = [function for _, function in scripts.TRIGGERS]
    places = [place for (place,) in connection.execute(_PLACES, (schemas.ours, functions))]
    return "" if schemas.theirs in places else " and ".join(places)


def _troubles(connection: Connection, schemas: Schemas, version: int, elsewhere: str) -> tuple[str, ...]:
    if elsewhere:  # what else is wrong in the other schema is of no use
        text = f"the triggers are in the schema {elsewhere}, not in {schemas.theirs}"
        return (f"{text}: correct [guard] agbot_schema, or --agbot-schema",)
    return (*shape.problems(connection, schemas), *damage(connection, schemas, version))


def damage(connection: Connection, schemas: Schemas, version: int) -> list[str]:
    """Return what `agbot guard install` repairs: what is older, missing, changed or disabled."""
    missing = [table for table in _OWN_TABLES if _count(connection, f"{schemas.ours}.{table}") is None]
    found = [f"the table {schemas.ours}.{table} is missing; {_AGAIN}" for table in missing]
    if version < scripts.VERSION:
        found.append(f"an older program has installed version {version}; `agbot guard install` updates it")
    elif version == scripts.VERSION:  # of a newer version this program does not know the functions
        changed = _changed_functions(connection, schemas)
        found += [f"the function {schemas.ours}.{name} is not the one that was installed; {_AGAIN}" for name in changed]
    for table, function in scripts.TRIGGERS:
        shown = connection.execute(_TRIGGERS, (f"{schemas.theirs}.{table}", schemas.ours, function)).fetchone()
        if shown is None or not shown[0]:
            found.append(f"the trigger of {function} on {schemas.theirs}.{table} is missing; {_AGAIN}")
        elif not shown[1]:
            found.append(f"the trigger of {function} on {schemas.theirs}.{table} is disabled; {_AGAIN}")
    return found


def _count(connection: Connection, table: str) -> int | None:
    """Return the number of rows; None if there is no such table."""
    is_there = shape.one(connection, "SELECT to_regclass(%s)", table) is not None
    return int(shape.one(connection, f"SELECT count(*) FROM {table}")) if is_there else None


def _leader(connection: Connection, ours: str) -> str:
    if shape.one(connection, "SELECT to_regclass(%s)", f"{ours}.leader") is None:
        return ""
    leads = f"SELECT name FROM {ours}.leader WHERE epoch > 0 AND expires_at > clock_timestamp()"
    return str(shape.one(connection, leads) or "")


def _changed_functions(connection: Connection, schemas: Schemas) -> list[str]:
    expected = {name: schemas.filled(body) for name, _, body in _BODY.findall(scripts.source())}
    found = dict(connection.execute(_SOURCES, (schemas.ours,)).fetchall())
    return sorted(name for name, body in expected.items() if found.get(name) != body)
