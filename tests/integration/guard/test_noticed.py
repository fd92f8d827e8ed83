"""A coordinator notices that the triggers on which it relies are gone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agbot.console.page import attention
from agbot.coordinator.guarded.port import GuardGoneError
from agbot.coordinator.listings import Orders
from agbot.guard import installing, status
from agbot.guard.link import Links, Unjudged
from agbot.store.contract import JournalQuery
from agbot.store.memory import MemoryStore
from agbot.store.postgres.address import Address
from agbot.store.postgres.store import PostgresStore
from tests.support.guarded import COORDINATOR, SCHEMAS, Guarded
from tests.support.guarded_living import guarded_living
from tests.support.virtual_time import in_virtual_time

NOW = datetime(2026, 3, 4, tzinfo=UTC)


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
                GuardGoneError, match="trigger of the guard is missing or disabled, so the agbot's own upgrades begin"
            ):
                await link.write(30.0, [], [], resets=False)
            hub.server.run(hub.database, "ALTER TABLE ha_workload_upgrade ENABLE TRIGGER ALL")
    finally:
        await links.close()


async def test_the_triggers_learn_how_long_an_upgrade_may_take(hub: Guarded) -> None:
    hub.install()
    address = Address(url=hub.url(COORDINATOR))
    links, store = Links(address, SCHEMAS, Unjudged(upgrade_seconds=60.0)), PostgresStore(address)
    await store.open()
    try:
        await links.of(store).write(30.0, [], [], resets=False)
    finally:
        await links.close()
        await store.close()
    assert hub.read("SELECT upgrade_seconds FROM agbot_ha.guard_setting") == [(60.0,)]


@in_virtual_time
async def test_the_guard_of_the_program_before_is_used_until_it_is_updated(hub: Guarded) -> None:
    """Between the update of the program and `agbot guard install`, nothing waits for a person."""
    hub.install()
    hub.read("UPDATE agbot_ha.guard_setting SET version = 4")
    hub.read("ALTER TABLE agbot_ha.guard_setting DROP COLUMN upgrade_seconds")
    async with guarded_living(hub) as living:

        def is_judged() -> bool:
            return hub.read("SELECT judged_until > clock_timestamp() FROM agbot_ha.guard_setting") == [(True,)]

        await living.until(is_judged, 60.0)
        assert living.coordinator.overview().guard == "works"
        with hub.coordinator() as connection:
            assert status.look(connection, SCHEMAS).troubles == (
                "an older program has installed version 4; `agbot guard install` updates it",
            )
            installing.install(connection, SCHEMAS)
        hub.read("UPDATE agbot_ha.guard_setting SET upgrade_seconds = 1")

        def is_set() -> bool:
            return hub.read("SELECT upgrade_seconds FROM agbot_ha.guard_setting") != [(1.0,)]

        await living.until(is_set, 60.0)
        assert living.coordinator.overview().guard == "works"


async def test_a_guard_that_was_removed_is_named_without_a_statement_of_sql(hub: Guarded) -> None:
    hub.install()
    links = Links(Address(url=hub.url(COORDINATOR)), SCHEMAS, Unjudged())
    link = links.of(MemoryStore())
    try:
        hub.uninstall()
        for use in (link.has_news(), link.undelivered(), link.write(30.0, [], [], resets=True)):
            with pytest.raises(
                GuardGoneError, match=": the guard is not installed, so the agbot's own upgrades"
            ) as found:
                await use
            assert not [word for word in ("LINE", "SELECT", "DELETE", "relation") if word in str(found.value)]
    finally:
        await links.close()


@pytest.mark.parametrize("gone", ["uninstall", "ALTER TABLE ha_workload_upgrade DISABLE TRIGGER USER"])
@in_virtual_time
async def test_a_guard_that_is_gone_needs_a_person_and_is_in_the_journal_until_it_is_back(
    hub: Guarded, gone: str
) -> None:
    hub.install()
    async with guarded_living(hub) as living:

        def state() -> str:
            return living.coordinator.overview().guard

        await living.until(lambda: state() == "works", 60.0)
        hub.uninstall() if gone == "uninstall" else hub.server.run(hub.database, gone)
        await living.until(lambda: state() == "fails", 60.0)
        await living.clock.sleep(60.0)
        written = await living.store.journal(JournalQuery(after=0, limit=1000))
        assert [entry.event for entry in written].count("guard.failed") == 1
        seen = living.coordinator.overview()
        assert "`agbot guard install` repairs it" in seen.guard_failing
        found = attention.items(seen, Orders(holds=(), allowances=(), approvals=(), brakes=(), windows=()), [], NOW)
        assert ("bad", "The guard does not work") in [(each.level, each.title) for each in found]
        hub.install()
        await living.until(lambda: state() == "works", 60.0)
        written = await living.store.journal(JournalQuery(after=0, limit=1000))
        assert [entry.event for entry in written if entry.event.startswith("guard.")] == [
            "guard.failed",
            "guard.recovered",
        ]
        assert living.coordinator.overview().guard_failing == ""
