"""A coordinator notices that the triggers on which it relies are gone."""

from __future__ import annotations

import pytest

from agbot.coordinator.guarded.port import GuardUnavailableError
from agbot.guard.link import Links, Unjudged
from agbot.store.memory import MemoryStore
from agbot.store.postgres.address import Address
from tests.support.guarded import COORDINATOR, SCHEMAS, Guarded


async def test_a_trigger_that_is_missing_or_disabled_is_noticed_in_the_next_cycle(hub: Guarded) -> None:
    """The agbot's tables may be created again, or a person disables triggers: then nothing decides its claims."""
    hub.install()
    links = Links(Address(url=hub.url(COORDINATOR)), SCHEMAS, Unjudged())
    link = links.of(MemoryStore())
    try:
        await link.write(30.0, [], [], resets=False)
        for change in (
            "ALTER TABLE ha_workload_upgrade DISABLE TRIGGER agbot_guard_asks",
            "DROP TRIGGER agbot_guard_answered ON ha_group_updates",
        ):
            hub.server.run(hub.database, change)
            with pytest.raises(
                GuardUnavailableError, match="trigger of the guard is missing or disabled; run `agbot gua"
            ):
                await link.write(30.0, [], [], resets=False)
            hub.server.run(hub.database, "ALTER TABLE ha_workload_upgrade ENABLE TRIGGER ALL")
    finally:
        await links.close()
