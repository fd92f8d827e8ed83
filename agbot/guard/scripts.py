"""The SQL of the guard, with the names of the two schemas filled in.

The statements are in `sql/`, in the order of their execution. They are the same on each
installation, so that an installation is idempotent and updates an older one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

VERSION: Final = 5
"""The version of the guard's objects. It rises with every change of them."""
_PARTS: Final = ("1_tables.sql", "2_decide.sql", "3_triggers.sql")
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
TRIGGERS: Final[tuple[tuple[str, str], ...]] = (
    ("ha_group_updates", "guard_agent_asks"),
    ("ha_group_updates", "guard_agent_answered"),
    ("ha_workload_upgrade", "guard_service_asks"),
)
"""Each of the agbot's tables with the function that its trigger calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schemas:
    """The schemas in one database.

    Raises:
        ValueError: a name is not a plain identifier of PostgreSQL.
    """

    ours: str = "agbot_ha"
    """The schema of the lease store, where the guard's own objects are, too."""
    theirs: str = "public"
    """The schema of the agbot's tables."""

    def __post_init__(self) -> None:
        """Refuse a name that would have to be escaped."""
        for name in (self.ours, self.theirs):
            if not _NAME.fullmatch(name):
                message = f"{name!r} is no name of a schema: lower-case letters, digits and _, up to 63 characters"
                raise ValueError(message)

    def filled(self, statement: str) -> str:
        """Fill the names into a statement."""
        return statement.replace("@ours@", self.ours).replace("@theirs@", self.theirs)


def install(schemas: Schemas) -> str:
    """Return the statements of an installation."""
    return schemas.filled(source() + _VERSION_ROW)


def source() -> str:
    """Return the statements with placeholders for the names."""
    return "\n".join(_text(part) for part in _PARTS)


def uninstall(schemas: Schemas) -> str:
    """Return the statements that remove the guard."""
    return schemas.filled(_text("drop_functions.sql") + "\n" + _text("uninstall.sql"))


def drop_functions(schemas: Schemas) -> str:
    """Return the statements that remove the functions and with them the triggers, and no table."""
    return schemas.filled(_text("drop_functions.sql"))


_VERSION_ROW: Final = f"""
INSERT INTO @ours@.guard_setting (version) VALUES ({VERSION}) ON CONFLICT (only_row) DO UPDATE SET version = {VERSION};
"""


def _text(part: str) -> str:
    return (files("agbot.guard") / "sql" / part).read_text(encoding="utf-8")
