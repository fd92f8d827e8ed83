"""A living hub whose agbot has its tables in a guarded PostgreSQL, on a virtual clock.

The database's clock is the real one, which hardly moves meanwhile: a gate that is known for 30 s is
known for the whole of a test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agbot.guard.link import Links, Unjudged
from agbot.rules.limits import Limits
from agbot.settings.model import AgbotSettings, ExchangeSettings
from agbot.sim.agbot_database import AgbotDatabase
from agbot.sim.episodes import Tolerance
from agbot.sim.habits import Habits
from agbot.sim.machine import Asks
from agbot.store.postgres.address import Address
from agbot.store.postgres.store import PostgresStore
from tests.membership.living import GROUP, Living
from tests.observed.upgrading import BRISK, members, serve
from tests.support.guarded import COORDINATOR, SCHEMAS, Guarded
from tests.support.hub import AGBOT, ORG, Hub
from tests.support.virtual_time import VirtualLoop


def _stand_still_for_the_database() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.stands_still_for_sockets = True


@asynccontextmanager
async def guarded_hub(
    database: Guarded, limits: Limits | None = None, *, served_by: str = ""
) -> AsyncIterator[tuple[Hub, AgbotDatabase]]:
    """Run a hub whose nodes do nothing by themselves, and the agbot on which a test makes the claims.

    With `served_by` only the organisations that this agbot serves are coordinated.
    """
    _stand_still_for_the_database()
    address = Address(url=database.url(COORDINATOR))
    links, rows = Links(address, SCHEMAS, Unjudged()), database.agbot()
    settings = ExchangeSettings(
        url="http://exchange/v1", identity=f"IBM/{AGBOT}", organisations=() if served_by else ("*",)
    )
    hub = Hub(
        limits=limits or Limits(),
        settings=settings,
        agbot=AgbotSettings(identity=served_by),
        store=PostgresStore(address),
        guard=links.of,
    )
    try:
        await hub.start()
        yield hub, rows
        await hub.stop()
    finally:
        await hub.store.close()
        await links.close()
        rows.close()


@asynccontextmanager
async def guarded_living(
    database: Guarded, members_of_group: int = 2, habits: Habits = BRISK, *, unjudged: Unjudged | None = None
) -> AsyncIterator[Living]:
    """Run a hub with a group `g1` of nodes that serve an old version and ask the agbot, which asks nobody but its database."""
    _stand_still_for_the_database()
    address = Address(url=database.url(COORDINATOR))
    links = Links(address, SCHEMAS, unjudged or Unjudged())
    rows = database.agbot()
    hub = Living(agbot_asks=False, rows=rows, store=PostgresStore(address), guard=links.of)
    hub.fleet.observer.tolerance = Tolerance(is_guarded=True)
    try:
        async with hub.fleet as fleet:
            fleet.add_agbot()
            await fleet.add_group(ORG, GROUP, members_of_group, habits=habits)
            for node in members(hub):
                fleet.redirect_questions(node, Asks.AGBOT)
            await hub.start()
            await serve(hub, *members(hub))
            yield hub
            hub.judge()
            await hub.stop()
    finally:
        await hub.store.close()
        await links.close()
        rows.close()
