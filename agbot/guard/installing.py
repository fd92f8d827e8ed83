"""Installs and removes the guard, and connects to the agbot's database for an operator's commands.

An installation is one transaction with short waits for locks: creating a trigger waits for the
agbot's open transactions on that table and keeps the next ones waiting, so it gives up after
seconds instead of stopping the agbot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg

from agbot.guard import scripts, shape, status
from agbot.guard.scripts import Schemas
from agbot.guard.shape import Connection
from agbot.store.contract import StoreRefusedError, StoreSchemaError, StoreUnavailableError
from agbot.store.postgres import schema
from agbot.store.postgres.address import Address

_Result = TypeVar("_Result")

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


def perform(address: Address, work: Callable[[Connection], _Result]) -> _Result:
    """Connect, do this, and disconnect.

    Raises:
        GuardUnreachableError: the database cannot be reached, or failed.
        GuardError: it does not let this role in or do this; and what `work` raises.
    """
    try:
        with psycopg.connect(**address.parameters, autocommit=True) as connection:
            return work(connection)
    except psycopg.Error as error:
        meant = address.unavailable("use", error)
        # a missing right comes with what to grant, which `_failed` adds
        if isinstance(meant, StoreRefusedError) and not isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise GuardError(str(meant)) from error
        raise _failed(error, str(meant)) from error


def prepare_store(address: Address) -> None:
    """Create or migrate the schema of the lease store, in which the guard's own tables are.

    Raises:
        GuardUnreachableError: the database cannot be reached, or failed.
        GuardError: the database refuses, or the schema is another program's or newer than this one.
    """
    try:
        asyncio.run(schema.prepare(address))
    except (StoreSchemaError, StoreRefusedError) as error:
        if isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise _failed(error.__cause__, str(error)) from error
        raise GuardError(str(error)) from error
    except StoreUnavailableError as error:
        raise GuardUnreachableError(str(error)) from error


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


def _failed(error: psycopg.Error, text: str = "") -> GuardError:
    """Return the error: a lock or a missing right is another one than a database out of reach."""
    text = text or f"{type(error).__name__}: {' '.join(str(error).split())}"
    # first, because it is a ProgrammingError as well
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return GuardError(f"{text}; {_RIGHTS}")
    if isinstance(error, psycopg.ProgrammingError):
        return GuardError(text)
    is_locked = isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled)
    return GuardLockedError(text) if is_locked else GuardUnreachableError(text)
