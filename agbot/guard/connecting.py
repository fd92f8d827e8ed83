"""One short connection to the agbot's database, for the commands of an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from agbot.guard import installing
from agbot.guard.installing import GuardError, GuardUnreachableError
from agbot.store.contract import StoreRefusedError, StoreSchemaError, StoreUnavailableError
from agbot.store.postgres import schema
from agbot.store.postgres.address import Address

_Result = TypeVar("_Result")


def perform(address: Address, work: Callable[[psycopg.Connection[Any]], _Result]) -> _Result:
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
        # a missing right comes with what to grant, which `failed` adds
        if isinstance(meant, StoreRefusedError) and not isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise GuardError(str(meant)) from error
        raise installing.failed(error, str(meant)) from error


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
            raise installing.failed(error.__cause__, str(error)) from error
        raise GuardError(str(error)) from error
    except StoreUnavailableError as error:
        raise GuardUnreachableError(str(error)) from error
