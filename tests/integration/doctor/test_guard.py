"""The guard where the settings enable it, and where it is left over."""

from __future__ import annotations

from pathlib import Path

import pytest

from agbot.doctor.finding import Verdict
from tests.integration.doctor.ward import of, ward
from tests.support.guarded import COORDINATOR, Guarded, prepare
from tests.support.postgres import Postgres


@pytest.fixture
def guarded(postgres_server: Postgres, postgres_database: str) -> Guarded:
    return prepare(postgres_server, postgres_database)


async def test_a_guard_that_is_enabled_and_gone_or_disabled_is_named_and_one_that_is_left_over_too(
    tmp_path: Path, guarded: Guarded
) -> None:
    async with ward(tmp_path) as hub:
        hub.tables["store"] = {"url": f'"{guarded.url(COORDINATOR)}"'}

        async def found(*, enabled: bool) -> list[tuple[Verdict, str]]:
            hub.tables["guard"] = {"enabled": str(enabled).lower()}
            return [(each.verdict, each.found) for each in of(await hub.examine(), "guard")]

        assert await found(enabled=False) == []
        [(verdict, text)] = await found(enabled=True)
        assert (verdict, "the guard is not installed" in text) == (Verdict.WARNING, True)
        guarded.install()
        [(verdict, text)] = await found(enabled=False)
        assert (verdict, "no coordinator decides what" in text) == (Verdict.WARNING, True)
        [(verdict, text)] = await found(enabled=True)
        assert (verdict, "no coordinator decides at present" in text) == (Verdict.OK, True)
        guarded.server.run(guarded.database, "ALTER TABLE ha_workload_upgrade DISABLE TRIGGER USER")
        assert await found(enabled=True) == [
            (Verdict.WRONG, "the trigger of guard_service_asks on public.ha_workload_upgrade is disabled")
        ]
        hub.tables["store"] = {"url": '"postgresql://stranger@127.0.0.1:9/agbot"'}
        [(verdict, text)] = await found(enabled=True)
        assert verdict is Verdict.WRONG
