"""Deletes one row of the agbot, through its local API or in its database.

The daemon only reads. `delete` is for `agbot doctor --cure`, which a person runs.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

import aiohttp

from agbot.agreementbot.client import AgreementBot, Listing
from agbot.agreementbot.cures import Cure
from agbot.foreign_text import unreached
from agbot.rules.facts import Row

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
