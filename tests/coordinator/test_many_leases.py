"""What many leases at once cost the Exchange and the store."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from agbot.coordinator import attention
from agbot.coordinator.intake import planning
from agbot.coordinator.intake.planning import Planning
from agbot.coordinator.permission import Granted
from agbot.coordinator.review.housekeeping import Housekeeping
from agbot.fleet.plan import Activity
from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease, State
from agbot.rules.records import Waiter
from agbot.store.contract import Lost, Writes
from agbot.store.memory import MemoryStore
from tests.support.hub import Hub, codes
from tests.support.virtual_time import in_virtual_time

GROUPS = 12
NODES = ("GET", "/orgs/{org}/nodes")
LIST_OF_GROUPS = ("GET", "/orgs/{org}/hagroups")
STATUSES = ("GET", "/orgs/{org}/nodes/{node}/managementStatus")


async def all_upgrade() -> Hub:
    """Start a hub in which one member of each group upgrades."""
    hub = Hub(keeps_pace=True)
    for number in range(GROUPS):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    for number in range(GROUPS):
        hub.report(f"a{number}", "ha node waiting")
        assert isinstance(await hub.ask(f"a{number}", f"g{number}"), Granted)
        hub.report(f"a{number}", "downloaded")
    await hub.live(*everyone(), seconds=20)
    return hub


def everyone() -> list[str]:
    return [f"{member}{number}" for number in range(GROUPS) for member in "ab"]


@in_virtual_time
async def test_heartbeats_of_many_nodes_cost_one_list_of_nodes_and_no_list_of_groups() -> None:
    hub = await all_upgrade()
    before = hub.transport.requests.copy()

    await hub.live(*everyone(), seconds=90)

    spent = Counter(hub.transport.requests) - before
    assert 3 <= spent[NODES] <= 4
    assert spent[LIST_OF_GROUPS] == 0
    await hub.stop()


@in_virtual_time
async def test_heartbeats_of_very_many_groups_are_read_more_rarely_but_never_so_rarely_that_a_node_seems_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = await all_upgrade()
    monkeypatch.setattr(attention, "_MOST_GROUPS_PER_SECOND", GROUPS / 60)  # as with thousands of times as many groups
    await hub.live(*everyone(), seconds=120)
    before = hub.transport.requests.copy()
    await hub.live(*everyone(), seconds=240)
    assert 3 <= (Counter(hub.transport.requests) - before)[NODES] <= 5

    monkeypatch.setattr(attention, "_MOST_GROUPS_PER_SECOND", GROUPS / 36000)
    await hub.live(*everyone(), seconds=900)
    assert all(hub.lease(f"g{number}").state is State.HELD for number in range(GROUPS))
    await hub.stop()


@in_virtual_time
async def test_very_many_groups_are_planned_about_once_for_each_list_of_their_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, planned = await all_upgrade(), Counter[GroupId]()
    activity = Planning.activity

    def counted(self: Planning, group: GroupId, *, has_joined: bool) -> Activity:
        planned[group] += 1
        return activity(self, group, has_joined=has_joined)

    monkeypatch.setattr(attention, "_MOST_GROUPS_PER_SECOND", GROUPS / 60)
    monkeypatch.setattr(planning, "_MOST_STATUS_READS_PER_SECOND", GROUPS / 36000)
    await hub.live(*everyone(), seconds=120)
    monkeypatch.setattr(Planning, "activity", counted)
    before = hub.transport.requests.copy()
    await hub.live(*everyone(), seconds=600)

    lists = (Counter(hub.transport.requests) - before)[NODES]
    assert planned.total() <= 1.3 * GROUPS * (lists + 1)
    await hub.stop()


@in_virtual_time
async def test_statuses_of_holders_are_checked_at_a_limited_rate_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = await all_upgrade()
    monkeypatch.setattr(planning, "_MOST_STATUS_READS_PER_SECOND", 0.02)  # as with hundreds of times as many leases
    await hub.live(*everyone(), seconds=120)
    before = hub.transport.requests.copy()

    await hub.live(*everyone(), seconds=GROUPS / 0.02)

    assert (Counter(hub.transport.requests) - before)[STATUSES] == pytest.approx(GROUPS, abs=GROUPS / 2)
    assert all(hub.lease(f"g{number}").state is State.HELD for number in range(GROUPS))
    await hub.stop()


@in_virtual_time
async def test_the_end_of_an_upgrade_frees_the_lease_within_a_cycle_however_rarely_statuses_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = await all_upgrade()
    monkeypatch.setattr(planning, "_MOST_STATUS_READS_PER_SECOND", 0.001)
    await hub.live(*everyone(), seconds=120)

    hub.report("a3", "successful")
    await asyncio.sleep(3)

    assert hub.lease("g3").state is State.FREE
    await hub.stop()


@in_virtual_time
async def test_leases_that_a_heartbeat_renews_in_the_same_moment_are_written_in_one_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = await all_upgrade()
    before = {number: hub.lease(f"g{number}").tenure for number in range(GROUPS)}
    written, really = list[int](), MemoryStore.write

    async def write(store: MemoryStore, writes: Writes) -> None:
        written.extend([len(writes.moved)] if writes.moved else [])
        await really(store, writes)

    monkeypatch.setattr(MemoryStore, "write", write)
    await hub.live(*everyone(), seconds=240)

    stored = (await hub.store.load()).leases
    for number in range(GROUPS):
        known, lease = before[number], hub.lease(f"g{number}")
        assert known is not None
        assert lease.tenure is not None
        assert lease.tenure.renewed_at - known.renewed_at > timedelta(seconds=100)
        assert stored[lease.group] == lease
    assert sum(written) >= GROUPS
    assert len(written) <= 4
    await hub.stop()


@in_virtual_time
async def test_what_many_holders_report_in_the_same_moment_is_committed_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = await all_upgrade()
    at_once, most, really = 0, 0, MemoryStore.swap

    async def swap(store: MemoryStore, expected: Lease, new: Lease, writes: Writes) -> Lease | Lost:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(1)
        at_once -= 1
        return await really(store, expected, new, writes)

    monkeypatch.setattr(MemoryStore, "swap", swap)
    for number in range(GROUPS):
        hub.report(f"a{number}", "successful")
    await hub.live(*everyone(), seconds=8)

    assert most > GROUPS / 2
    assert all(hub.lease(f"g{number}").state is State.FREE for number in range(GROUPS))
    await hub.stop()


@in_virtual_time
async def test_an_upgrade_ends_while_many_new_waiters_are_still_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = await all_upgrade()
    really = MemoryStore.write

    async def write(store: MemoryStore, writes: Writes) -> None:
        if any(isinstance(record, Waiter) for record in writes.put):
            await asyncio.sleep(60)
        await really(store, writes)

    monkeypatch.setattr(MemoryStore, "write", write)
    assert "lease-held" in codes(await hub.ask("b1", "g1"))
    await asyncio.sleep(5)
    hub.report("a3", "successful")
    await asyncio.sleep(4)

    assert hub.lease("g3").state is State.FREE
    assert not hub.events("wait.changed")
    await asyncio.sleep(60)
    assert len(hub.events("wait.changed")) == 1
    await hub.stop()


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[float]:
    """Let what a cycle does after its reviews take so long; note when it begins."""
    begun, really = list[float](), Housekeeping.run

    async def run(housekeeping: Housekeeping) -> None:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(seconds)
        await really(housekeeping)

    monkeypatch.setattr(Housekeeping, "run", run)
    return begun


@in_virtual_time
async def test_an_upgrade_that_ends_during_a_long_cycle_frees_the_lease_before_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = await all_upgrade()
    begun = slow(monkeypatch, 60)
    await asyncio.sleep(5)
    hub.report("a3", "successful")
    await asyncio.sleep(4)

    assert hub.lease("g3").state is State.FREE
    assert len(begun) == 1
    await asyncio.sleep(60)
    assert "released o1/g3" in hub.coordinator.overview().sentence
    await hub.stop()


@in_virtual_time
async def test_a_cycle_begins_when_its_interval_has_passed_since_the_last_one_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = await all_upgrade()
    for seconds, interval in ((0.5, 2.0), (1.5, 2.0), (3.0, 3.2)):
        begun = slow(monkeypatch, seconds)
        await asyncio.sleep(40)
        assert begun[-1] - begun[-2] == pytest.approx(interval, abs=0.1)
        monkeypatch.undo()
        await asyncio.sleep(5)
    await hub.stop()


@in_virtual_time
async def test_a_group_that_has_seen_its_upgraded_member_healthy_is_not_handled_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = await all_upgrade()
    handled, really = Counter[str](), Planning.activity

    def activity(planning: Planning, group: GroupId, *, has_joined: bool = False) -> Activity:
        handled[group] += 1
        return really(planning, group, has_joined=has_joined)

    monkeypatch.setattr(Planning, "activity", activity)
    hub.report("a3", "successful")
    hub.report("a5", "successful")
    await hub.live(*(each for each in everyone() if each != "a5"), seconds=60)  # a5 gives no proof
    handled.clear()

    await hub.live(*(each for each in everyone() if each != "a5"), seconds=300)

    assert handled["o1/g3"] == 0
    assert handled["o1/g5"] > 50
    await hub.stop()
