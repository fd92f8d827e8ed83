"""The source of the agbot's rows that the settings name: its local API, or its database.

The daemon only reads. `delete` is for `agbot doctor --cure`, which a person runs. The database
needs a driver, which is an extra, so it is imported only where it is used.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import aiohttp

from agbot.agreementbot.client import AgreementBot, Listing
from agbot.agreementbot.cures import Cure
from agbot.clock import Clock
from agbot.foreign_text import unreached
from agbot.rules.facts import Row
from agbot.settings.model import AgbotSettings

if TYPE_CHECKING:
    from agbot.agreementbot.tables import Tables

_DELETE_SECONDS = 10.0


class Unreached(Exception):
    """A row could not be deleted; the message states what was tried and what came back."""


class Source(Protocol):
    """The agbot's rows."""

    deletes_rows: bool
    """Whether it can delete any single row, not only those that the local API can name."""

    async def list_rows(self) -> Listing:
        """Read all rows."""

    async def delete(self, row: Row, cure: Cure) -> None:
        """Delete one row.

        Raises:
            Unreached: it is not known to be deleted.
        """

    async def close(self) -> None:
        """Close what is open."""


class ApiSource(AgreementBot):
    """The local API. It deletes only what a path can name (`cures`)."""

    deletes_rows = False

    async def delete(self, row: Row, cure: Cure) -> None:
        """Send the DELETE that names this row alone; see `Source`."""
        if not cure.url:
            raise Unreached(f"the local API has no path for the row of {row.node} alone")
        timeout = aiohttp.ClientTimeout(total=_DELETE_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.delete(cure.url, allow_redirects=False) as reply,
            ):
                status = reply.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreached(
                f"DELETE {cure.url}: {unreached(error) or f'{type(error).__name__}: {error}'}; is the agbot running?"
            ) from error
        if status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            raise Unreached(f"DELETE {cure.url}: the answer is {status}")


def for_reading(settings: AgbotSettings, clock: Clock) -> AgreementBot | Tables | None:
    """Return the source for the daemon: the API, which also shows that no agbot runs."""
    return AgreementBot(settings, clock) if settings.api else _database(settings, clock)


def for_deleting(settings: AgbotSettings, clock: Clock) -> Source | None:
    """Return the source for the doctor: the database, in which every single row can be deleted."""
    return _database(settings, clock) or (ApiSource(settings, clock) if settings.api else None)


def _database(settings: AgbotSettings, clock: Clock) -> Tables | None:
    """Return the database.

    Raises:
        OSError: its driver is not installed.
    """
    if not settings.database:
        return None
    try:
        from agbot.agreementbot.tables import Tables  # noqa: PLC0415 - see above
    except ImportError as error:
        message = f"[agbot] database needs the extra postgres: pip install 'agbot[postgres]' ({error})"
        raise OSError(message) from error
    return Tables(settings.database, clock, seconds=settings.request_seconds)
