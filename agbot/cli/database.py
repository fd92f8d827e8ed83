"""The address of a PostgreSQL database that a command is to use."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from agbot.cli.failure import Exit, Failure
from agbot.settings.checks import DATABASE
from agbot.settings.secret import Secret
from agbot.store.contract import StoreError

if TYPE_CHECKING:
    from agbot.store.postgres.address import Address


def address(url: str, schema: str, password: Secret | None, tried: str) -> Address:
    """Return the address.

    Raises:
        Failure: the driver is missing, or the address or the name of the schema is invalid.
    """
    if find_spec("psycopg") is None:
        problem, next_step = "the package psycopg is not installed", "pip install 'agbot[postgres]'"
        raise Failure(Exit.BAD_INPUT, tried=tried, problem=problem, next_step=next_step)
    wrong = DATABASE.wrong(url)
    if wrong:
        raise Failure(Exit.BAD_INPUT, tried=tried, problem=wrong, next_step=f"give {DATABASE.expected}")
    from agbot.store.postgres.address import Address

    try:
        return Address(url=url, schema=schema, password=password)
    except (ValueError, StoreError) as error:
        raise Failure(Exit.BAD_INPUT, tried=tried, problem=str(error), next_step="correct it") from error
