"""The connection to the guard's tables, as the settings state. Its driver is an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agbot.settings.load import Loaded

if TYPE_CHECKING:
    from agbot.guard.link import Links


def guard_links(loaded: Loaded) -> Links | None:
    """Return the connection, not open; None if the guard is not enabled."""
    settings = loaded.settings
    if not settings.guard.enabled:
        return None
    from agbot.guard.link import Links, Unjudged  # noqa: PLC0415 - see above
    from agbot.guard.scripts import Schemas  # noqa: PLC0415 - see above
    from agbot.store.postgres.address import Address  # noqa: PLC0415 - see above

    store, guard = settings.store, settings.guard
    unjudged = Unjudged(
        agents=guard.agents_without_leader,
        services=guard.services_without_leader,
        lease_seconds=settings.rules.lease_seconds,
    )
    address = Address(url=store.url, schema=store.schema, password=loaded.secrets.store_password)
    return Links(address, Schemas(ours=store.schema, theirs=guard.agbot_schema), unjudged)
