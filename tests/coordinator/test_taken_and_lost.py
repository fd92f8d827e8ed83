"""What is taken out of memory for work that then fails, or whose caller gives up, is there for the next try."""

from __future__ import annotations

import asyncio

from agbot.coordinator.permission import Granted
from agbot.fleet.changes import Read, What
from agbot.fleet.reads import Why
from agbot.rules.ids import GroupId, group_id, node_id
from agbot.rules.limits import Limits
from agbot.sim.agbot_rows import ServiceRow
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.store.contract import Entry
from tests.support.faulty_store import Failure, Slow
from tests.support.hub import AGBOT, ORG, Hub
from tests.support.virtual_time import in_virtual_time


class Tripping(list[tuple[Read, Why]]):
    """The notebook of the reads, whose next entry about one node fails in a way that no one has foreseen."""

    def __init__(self) -> None:
        super().__init__()
        self.trips_at: set[Read] = set()

    def append(self, entry: tuple[Read, Why]) -> None:
        if entry[0] in self.trips_at:
            self.trips_at.clear()
            raise ZeroDivisionError(f"at {entry[0].id}")
        super().append(entry)


def tripping() -> tuple[Hub, Tripping]:
    reads = Tripping()
    return Hub(reads=reads), reads


@in_virtual_time
async def test_a_group_is_read_again_after_a_round_of_reads_that_failed_in_an_unforeseen_way() -> None:
    hub, reads = tripping()
    hub.group("g1", "n1", "n2")
    await hub.start()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await asyncio.sleep(5)
    reads.trips_at.add(Read(what=What.NODE, id=node_id(ORG, "n1")))
    await asyncio.sleep(45)
    assert not reads.trips_at
    assert [each.facts["part"] for each in hub.events("part.failed")] == ["reads"]
    reads.clear()

    await asyncio.sleep(120)

    assert reads.count((Read(what=What.NODE, id=node_id(ORG, "n1")), Why.HEARTBEAT)) >= 2
    assert hub.events("part.recovered")
    await hub.stop()


@in_virtual_time
async def test_a_node_that_joined_in_its_upgrade_is_deferred_although_a_read_beside_it_failed() -> None:
    hub, reads = tripping()
    hub.group("g1", "n1", "n2")
    hub.group("g2", "a1", "a2")
    await hub.start()
    await asyncio.sleep(20)
    for node in ("n3", "a3"):
        seed.node(hub.exchange, ORG, node)
    hub.report("n3", "initiated")
    await asyncio.sleep(20)
    reads.trips_at.add(Read(what=What.STATUSES, id=node_id(ORG, "a3")))

    hub.admin("POST", "/hagroups/g2/nodes/a3")
    hub.admin("POST", "/hagroups/g1/nodes/n3")
    await asyncio.sleep(30)

    assert not reads.trips_at
    assert [entry.node for entry in hub.events("deferral.begun")] == [f"{ORG}/n3"]
    await hub.stop()


@in_virtual_time
async def test_a_stuck_row_is_journalled_although_the_question_that_found_it_was_given_up_and_its_write_failed() -> (
    None
):
    store = Slow()
    hub = Hub(store=store, shows_rows=True)
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.rows.services.append(ServiceRow(org=ORG, group="g1", policy=f"{ORG}/no-such-policy", node=f"{ORG}/n1"))
    await hub.live("n1", "n2", seconds=184)
    await hub._cancel()  # noqa: SLF001 - no cycle finds it first
    await asyncio.sleep(10)
    listed = hub.coordinator._unasked._listed  # noqa: SLF001 - the part of a question that reads the lists
    store.slow_event = "agbot.stuck"
    asking = asyncio.create_task(listed.follow(group_id(ORG, "g1")))
    await asyncio.sleep(1)
    asking.cancel()
    store.fail_next(Failure.BEFORE_COMMIT)
    await asyncio.sleep(20)
    assert hub.events("agbot.stuck") == []

    await hub.coordinator.cycle()
    await hub.coordinator.cycle()

    assert [entry.node for entry in hub.events("agbot.stuck")] == [f"{ORG}/n1"]
    await hub.stop()


class Stumbling(list[Entry]):
    """Where events are published, which fails once for one event in a way that no one has foreseen."""

    event = ""

    def append(self, entry: Entry) -> None:
        if entry.event == self.event:
            self.event = ""
            raise ZeroDivisionError(entry.event)
        super().append(entry)


@in_virtual_time
async def test_changes_that_came_with_one_that_could_not_be_taken_in_are_not_lost() -> None:
    emitted = Stumbling()
    hub = Hub(emitted=emitted)
    hub.group("g1", "n1", "n2")
    await hub.start()
    await asyncio.sleep(30)
    emitted.event = "org.discovered"

    seed.org(hub.exchange, "o2")
    hub.report("n1", "downloaded")
    await asyncio.sleep(30)

    assert hub.lease("g1").holder == f"{ORG}/n1"
    await hub.stop()


@in_virtual_time
async def test_a_node_that_joined_in_its_upgrade_is_deferred_as_soon_as_its_status_can_be_read() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await asyncio.sleep(20)
    seed.node(hub.exchange, ORG, "n3")
    hub.report("n3", "initiated")
    await asyncio.sleep(20)
    fault = Fault(kind=FaultKind.STATUS, status=500, path="/nodes/n3/managementStatus$", caller=f"IBM/{AGBOT}")
    down = hub.exchange.faults.add(fault)
    hub.admin("POST", "/hagroups/g1/nodes/n3")
    await asyncio.sleep(60)
    assert hub.events("deferral.begun") == []
    hub.exchange.faults.remove(down)

    await asyncio.sleep(30)

    assert [entry.node for entry in hub.events("deferral.begun")] == [f"{ORG}/n3"]
    await hub.stop()


@in_virtual_time
async def test_a_node_that_joined_in_its_upgrade_is_deferred_after_a_judgement_that_failed_in_an_unforeseen_way() -> (
    None
):
    def failing(group: GroupId) -> Limits:
        raise ZeroDivisionError(group)

    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await asyncio.sleep(20)
    seed.node(hub.exchange, ORG, "n3")
    hub.report("n3", "initiated")
    await asyncio.sleep(20)
    hub.coordinator.set_limits(failing)
    hub.admin("POST", "/hagroups/g1/nodes/n3")
    await asyncio.sleep(30)
    assert "deferrals" in {entry.facts["part"] for entry in hub.events("part.failed")}

    hub.coordinator.set_limits(lambda _: Limits())
    await asyncio.sleep(30)

    assert [entry.node for entry in hub.events("deferral.begun")] == [f"{ORG}/n3"]
    assert hub.coordinator.overview().ready
    await hub.stop()


@in_virtual_time
async def test_an_unasked_upgrade_is_seen_although_the_read_of_another_report_failed_beside_it() -> None:
    hub, reads = tripping()
    hub.group("g1", "n1", "n2")
    hub.group("g2", "a1", "a2")
    await hub.start()
    await asyncio.sleep(30)
    reads.trips_at.add(Read(what=What.STATUSES, id=node_id(ORG, "n1")))
    hub.report("n1", "waiting")
    hub.report("a1", "downloaded")

    await asyncio.sleep(30)

    assert not reads.trips_at
    assert hub.lease("g2").holder == f"{ORG}/a1"
    await hub.stop()


@in_virtual_time
async def test_a_node_that_has_joined_is_read_once_however_long_that_takes() -> None:
    """Two kinds of reads go on beside each other, and both look for nodes that have joined."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    seed.node(hub.exchange, ORG, "n3")
    await hub.start()
    await asyncio.sleep(20)
    hub.exchange.faults.add(Fault(kind=FaultKind.LATENCY, seconds=6, path="/nodes/n3/managementStatus$"))
    begun = len(hub.reads)

    hub.admin("POST", "/hagroups/g1/nodes/n3")
    await asyncio.sleep(60)

    status = Read(what=What.STATUSES, id=f"{ORG}/n3")
    assert [read for read, _ in hub.reads[begun:] if read == status] == [status]
    await hub.stop()
