"""The guard's part of the demo: a real PostgreSQL, with an agbot's tables and the guard.

The story is left out where there is no server or no driver.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agbot.sim.agbot_database import AgbotDatabase
    from agbot.sim.database_server import DatabaseServer


class LeftOutError(Exception):
    """Why the story is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedDatabase:
    """A guarded hub's database."""

    server: DatabaseServer
    rows: AgbotDatabase
    """The agbot's connection."""
    url: str
    """For the coordinator."""

    async def remove(self) -> None:
        """End the server; nothing is left."""
        self.rows.close()
        await asyncio.to_thread(self.server.remove)


async def start() -> GuardedDatabase:
    """Start the server and install the guard, as `agbot guard install` does.

    Raises:
        LeftOutError: that is not possible on this machine.
    """
    return await asyncio.to_thread(_start)


def _start() -> GuardedDatabase:
    try:
        from agbot.guard import installing
        from agbot.guard.scripts import Schemas
        from agbot.sim.database_server import COORDINATOR, DatabaseServer, NoServerError
        from agbot.store.postgres.address import Address
    except ImportError as error:
        message = f"{error.name} is not installed (pip install 'agbot[postgres]')"
        raise LeftOutError(message) from error
    try:
        server = DatabaseServer()
    except (NoServerError, OSError) as error:
        raise LeftOutError(str(error)) from error
    try:
        rows, url = server.hub(), server.url(COORDINATOR)
        address = Address(url=url)
        installing.prepare_store(address)
        installing.perform(address, lambda connection: installing.install(connection, Schemas()))
    except BaseException:
        server.remove()
        raise
    return GuardedDatabase(server=server, rows=rows, url=url)
