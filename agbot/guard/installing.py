"""Installs and removes the guard, each in one transaction with short waits for locks.

Creating a trigger waits for the agbot's open transactions on that table and keeps the next ones
waiting, so it gives up after seconds instead of stopping the agbot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg

from agbot.guard import scripts, shape, status
from agbot.guard.scripts import Schemas

Connection = psycopg.Connection[Any]

_LIMITS: Final = (
    "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'; SET LOCAL client_min_messages = warning"
)
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('agbot guard'))"


_RIGHTS: Final = "it has to be the role that owns the lease store, with the rights that docs/guard.md grants"


class GuardError(Exception):
    """The guard cannot be installed, removed or looked at."""


class GuardUnreachableError(GuardError):
    """The database cannot be reached, or did not do it in time; nothing has changed."""


class GuardLockedError(GuardUnreachableError):
    """Another session has kept a lock for too long; nothing has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What an installation has done."""

    is_new: bool
    """Whether the guard was not installed before."""
    repaired: tuple[str, ...] = ()
    """What was wrong before, one sentence each."""


def install(connection: Connection, schemas: Schemas) -> Installation:
    """Install the guard, update it, or repair what `agbot guard status` names.

    Raises:
        GuardError: the tables or the rights are not as required, or the role may not do that;
            nothing has changed.
        GuardUnreachableError: a lock was not available, or the connection failed.
    """
    try:
        with connection.transaction():
            connection.execute(_LIMITS)
            connection.execute(_ONE_AT_A_TIME)
            found = shape.problems(connection, schemas) or shape.foreign_owner(connection, schemas)
            if found:
                raise GuardError("; ".join(found))
            version = shape.installed_version(connection, schemas)
            damage = status.damage(connection, schemas, version) if version is not None else []
            # An update replaces functions by CREATE OR REPLACE and keeps the triggers. If the
            # version is the same, something was changed by hand: then everything is made again.
            replaces = version == scripts.VERSION and bool(damage)
            left = _put(connection, schemas, replaces=replaces)
            if left and not replaces:
                left = _put(connection, schemas, replaces=True)
            if left:
                raise GuardError("; ".join(left))
            return Installation(is_new=version is None, repaired=tuple(damage))
    except psycopg.Error as error:
        raise _failed(error) from error


def _put(connection: Connection, schemas: Schemas, *, replaces: bool) -> list[str]:
    """Create what is missing, or replace every function and trigger; return what is still wrong."""
    if replaces:
        # only the table's owner can drop or enable a trigger, but it goes with its function, which
        # is ours (decision 35)
        connection.execute(scripts.drop_functions(schemas).encode())
    connection.execute(scripts.install(schemas).encode())
    return status.damage(connection, schemas, scripts.VERSION)


def uninstall(connection: Connection, schemas: Schemas) -> bool:
    """Remove the guard and everything that it has created; return whether there was anything.

    The leases stay in the store.

    Raises:
        GuardUnreachableError: a lock was not available, or the connection failed.
    """
    try:
        with connection.transaction():
            connection.execute(_LIMITS)
            connection.execute(_ONE_AT_A_TIME)
            was_there = shape.installed_version(connection, schemas) is not None
            connection.execute(scripts.uninstall(schemas).encode())
            return was_there
    except psycopg.errors.InvalidSchemaName:
        return False  # there is not even the store's schema
    except psycopg.Error as error:
        raise _failed(error) from error


def failed(error: psycopg.Error, text: str) -> GuardError:
    """Return the error: a lock or a missing right is another one than a database out of reach."""
    # first, because it is a ProgrammingError as well
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return GuardError(f"{text}; {_RIGHTS}")
    if isinstance(error, psycopg.ProgrammingError):
        return GuardError(text)
    is_locked = isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled)
    return GuardLockedError(text) if is_locked else GuardUnreachableError(text)


def _failed(error: psycopg.Error) -> GuardError:
    return failed(error, f"{type(error).__name__}: {' '.join(str(error).split())}")
