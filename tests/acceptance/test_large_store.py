"""A store that has become large: it starts, and becomes small, while nodes are answered and systemd sees that the daemon lives."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, granted, group_of_three, is_late
from tests.acceptance.systemd import WATCHDOG_SECONDS, systemd
from tests.support.examples import thorough
from tests.support.old_entries import entries_in, fill
from tests.support.patience import allowed_seconds, in_time, until

ENTRIES = 12_000


async def with_large_store(site: Site) -> None:
    """Make a store of 60 MB, all of it older than the settings keep it."""
    daemon = await site.start_ready()
    daemon.terminate()
    assert await daemon.ended() == 0
    fill(site.store_file, ENTRIES, datetime.now(UTC) - timedelta(days=90))


async def test_a_large_store_becomes_small_while_nodes_are_answered_and_the_watchdog_is_fed(
    hub: Hub, site: Site
) -> None:
    await group_of_three(hub)
    # what is slow here is the machine: an answer in which the disk takes seconds is no refusal
    site.tables["exchange"] |= {"request_seconds": 10.0, "view_max_age_seconds": 10.0}
    site.tables["gateway"]["answer_seconds"] = 10.0
    site.write()
    await with_large_store(site)

    with systemd() as manager:
        daemon = await site.start_ready(**manager.environ)
        refusals, left, fed, longest = [], entries_in(site.store_file), 0, 0.0
        loop = asyncio.get_running_loop()
        assert left > ENTRIES // 10, "what is old is not deleted at once"
        last_fed = loop.time()
        while entries_in(site.store_file) > 100:
            status, message = await ask(site, "anna")
            if status != HTTPStatus.CREATED and not is_late(message):
                refusals.append(message)
            received = len(manager.stated("WATCHDOG"))
            if received > fed:
                fed, last_fed = received, loop.time()
            longest = max(longest, loop.time() - last_fed)
            await asyncio.sleep(0.02)

        assert refusals == []
        assert longest < allowed_seconds(WATCHDOG_SECONDS)
        assert await site.shows("/readyz", 200)
        assert daemon.events("cycle.failed") == []
        daemon.terminate()
        assert await daemon.ended() == 0


@thorough
async def test_a_stop_in_the_middle_of_it_is_quick_and_the_next_start_goes_on(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    await with_large_store(site)

    daemon = await site.start_ready()
    with in_time(5.0):
        daemon.terminate()
        assert await daemon.ended() == 0
    left = entries_in(site.store_file)
    assert left > 0

    await site.start_ready()
    await until("the rest to go", lambda: entries_in(site.store_file) < 100)


@thorough
async def test_a_file_is_made_smaller_by_one_command_and_the_lease_stays(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    await with_large_store(site)
    daemon = await site.start_ready()
    await granted(site, "anna")
    await until("the old to go", lambda: entries_in(site.store_file) < 100)
    measured = await until("a size of after that", lambda: bytes_measured(site, "log"))
    words = ("store", "compact", "--config", str(site.settings_file))
    refused = await site.programs.run(*words)
    daemon.terminate()
    assert await daemon.ended() == 0

    stated = await site.programs.run(*words, "--json")

    assert refused.code != 0
    assert "systemctl stop agbot" in refused.err
    assert measured["main"] > 50_000_000, "the metric shows what a compaction would give back"
    assert 0 < measured["log"] < 50_000_000
    sizes = json.loads(stated.out)
    assert sizes["bytes_before"] > 50_000_000
    assert sizes["bytes_after"] < 1_000_000
    daemon = await site.start_ready()
    assert daemon.events("store.changed") == []
    assert (await until("its size", lambda: bytes_measured(site, "main")))["main"] < 1_000_000
    assert (await site.leases())["g1"]["holder"] == "o1/anna"
    assert (await ask(site, "ben"))[0] == 409


async def bytes_measured(site: Site, file: str) -> dict[str, float]:
    """Return what the metric of the store's files shows; nothing while it shows none of this file."""
    families = text_string_to_metric_families((await site.get("/metrics"))[1])
    samples = [sample for family in families for sample in family.samples]
    sizes = {each.labels["file"]: each.value for each in samples if each.name == "agbot_store_bytes"}
    return sizes if sizes.get(file) else {}
