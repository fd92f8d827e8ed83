"""What one node, group or organisation contains harms only itself."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agbot.coordinator.permission import Granted
from agbot.exchange.transport import Reply
from agbot.rules.ids import GroupId
from agbot.rules.lease import State
from agbot.rules.limits import Limits, Order
from agbot.rules.reasons import Cause
from agbot.store.contract import Stored
from agbot.store.memory import MemoryStore
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

DEEP = "[" * 50_000 + "]" * 50_000
NODES = re.compile(r"/orgs/o1/nodes(/[^/]+)?$")
STATUSES = re.compile(r"/orgs/o1/nodes/([^/]+)/managementStatus$")


@dataclass
class Spoiler:
    """Writes invalid text into what the Exchange holds of some nodes."""

    deep_nodes: set[str] = field(default_factory=set)
    late_statuses: set[str] = field(default_factory=set)

    def __call__(self, _method: str, path: str, reply: Reply) -> Reply:
        if NODES.search(path) and self.deep_nodes:
            nodes: dict[str, Any] = json.loads(reply.body)["nodes"]
            emitted = [
                f'"{name}": {json.dumps({**node, "userInput": "HERE"})}'.replace(
                    '"HERE"', DEEP if name.partition("/")[2] in self.deep_nodes else "null"
                )
                for name, node in nodes.items()
            ]
            return replace(reply, body=f'{{"nodes": {{{", ".join(emitted)}}}, "lastIndex": 0}}'.encode())
        about = STATUSES.search(path)
        if about and about[1] in self.late_statuses:
            body = re.sub(rb'"lastUpdated": ?"[^"]*"', b'"lastUpdated": "9999-12-31T23:59:59Z"', reply.body)
            return replace(reply, body=body)
        return reply


def spoilt(hub: Hub) -> Spoiler:
    spoiler = Spoiler()
    hub.transport.spoil = spoiler
    return spoiler


async def two_groups(size: int = 2, limits: Limits | None = None) -> Hub:
    """Start a hub with the groups g1 (a1, a2 …) and g2 (b1, b2 …)."""
    hub = Hub(limits=limits or Limits())
    for group, letter in (("g1", "a"), ("g2", "b")):
        hub.group(group, *(f"{letter}{number}" for number in range(1, size + 1)))
    await hub.start()
    return hub


async def upgrade(hub: Hub, node: str, group: str) -> None:
    """Let a node get the lease and report its end."""
    assert isinstance(await hub.ask(node, group), Granted)
    hub.report(node, "initiated")
    await asyncio.sleep(3)
    hub.report(node, "successful")
    await asyncio.sleep(3)


@in_virtual_time
async def test_a_status_of_the_year_9999_keeps_its_own_lease_and_ends_no_other_review() -> None:
    hub = await two_groups()
    assert isinstance(await hub.ask("a1", "g1"), Granted)
    hub.report("a1", "failed")
    spoilt(hub).late_statuses = {"a1"}
    await asyncio.sleep(5)

    await upgrade(hub, "b1", "g2")

    assert hub.lease("g1").state is State.HELD
    end = hub.lease("g2").last_end
    assert end is not None
    assert end.cause is Cause.SUCCEEDED
    assert hub.coordinator.overview().ready
    assert hub.events("part.failed") == []
    await hub.stop()


@in_virtual_time
async def test_a_node_nested_too_deeply_is_reported_once_by_its_name_and_harms_no_one_else() -> None:
    hub = await two_groups()
    spoilt(hub).deep_nodes = {"a1"}
    assert codes(await hub.ask("a2", "g1")) == []  # known from before, and healthy
    hub.report("a2", "initiated")

    await hub.live("a1", "a2", "b1", "b2", seconds=100)

    assert [(entry.node, entry.facts["what"]) for entry in hub.events("record.unreadable")] == [("o1/a1", "node")]
    await upgrade(hub, "b1", "g2")
    assert hub.lease("g2").state is State.FREE
    assert hub.coordinator.overview().ready
    await hub.stop()


@in_virtual_time
async def test_a_record_that_can_be_read_again_is_reported() -> None:
    hub = await two_groups()
    spoiler = spoilt(hub)
    spoiler.deep_nodes = {"a1"}
    await hub.ask("a2", "g1")
    await hub.live("a1", "a2", seconds=70)
    spoiler.deep_nodes = set()

    await hub.live("a1", "a2", seconds=70)

    assert len(hub.events("record.unreadable")) == 1
    assert [entry.node for entry in hub.events("record.readable")] == ["o1/a1"]
    await hub.stop()


@pytest.mark.parametrize(("size", "waits"), [(2, ["peers-unavailable"]), (3, [])])
@in_virtual_time
async def test_a_member_that_cannot_be_read_is_a_member_that_no_one_can_count_on(size: int, waits: list[str]) -> None:
    hub = Hub()
    hub.group("g1", *(f"a{number}" for number in range(1, size + 1)))
    spoilt(hub).deep_nodes = {"a2"}  # before anything of it was ever read
    await hub.start()
    for number in range(1, size + 1):
        hub.heartbeat(f"a{number}")

    answer = await hub.ask("a1", "g1")

    assert codes(answer) == waits
    if waits:
        assert "a2" in getattr(answer, "reasons")[0].text  # noqa: B009 - only a refusal has reasons
    await hub.stop()


@in_virtual_time
async def test_a_holder_that_cannot_be_read_any_more_is_suspect_when_its_lease_expires() -> None:
    hub = await two_groups(limits=Limits(lease_seconds=300))
    assert isinstance(await hub.ask("a1", "g1"), Granted)
    hub.report("a1", "initiated")
    await asyncio.sleep(5)
    spoilt(hub).deep_nodes = {"a1"}

    await hub.live("a1", "a2", seconds=900)

    assert hub.lease("g1").state is State.SUSPECT
    (emitted,) = hub.events("lease.suspected")
    assert "cannot be read" in str(emitted.facts["why"])
    await hub.stop()


@pytest.mark.parametrize("version", ["2.²", "²", "٣", "9" * 5000, "①"])
@in_virtual_time
async def test_a_version_that_is_no_number_keeps_no_one_from_being_put_in_order(version: str) -> None:
    hub = await two_groups(limits=Limits(order=Order.OLDEST_VERSION))
    hub.admin("PATCH", "/nodes/a1", {"softwareVersions": {"horizon": version}})
    await hub.ask("b1", "g2")

    first, second = await hub.ask("a1", "g1"), await hub.ask("a2", "g1")

    assert isinstance(first, Granted)
    assert codes(second) == ["lease-held"]
    await hub.stop()


@in_virtual_time
async def test_a_group_whose_review_fails_unexpectedly_is_named_and_the_others_go_on_and_the_daemon_is_not_ready() -> (
    None
):
    broken: set[GroupId] = set()

    def limits_of(group: GroupId) -> Limits:
        if group in broken:
            raise ZeroDivisionError("of this group alone")
        return Limits()

    hub = Hub(limits_of=limits_of)
    hub.group("g1", "a1", "a2")
    hub.group("g2", "b1", "b2")
    await hub.start()
    assert isinstance(await hub.ask("a1", "g1"), Granted)
    hub.report("a1", "initiated")
    await asyncio.sleep(5)
    broken.add(GroupId(f"{ORG}/g1"))
    hub.report("a1", "downloaded")

    await upgrade(hub, "b1", "g2")

    assert hub.lease("g2").state is State.FREE
    emitted = hub.events("part.failed")
    assert {entry.group for entry in emitted} == {f"{ORG}/g1"}
    assert len({entry.facts["part"] for entry in emitted}) == len(emitted)  # once each
    assert "ZeroDivisionError: of this group alone" in str(emitted[0].facts["error"])
    overview = hub.coordinator.overview()
    assert not overview.ready
    assert any("of o1/g1): " in sentence for sentence in overview.not_ready)

    broken.clear()
    await asyncio.sleep(5)

    assert hub.coordinator.overview().ready
    assert len(hub.events("part.recovered")) == len(emitted)
    await hub.stop()


@pytest.mark.parametrize(("stated", "waits"), [("initiated", ["peers-unavailable"]), ("successful", [])])
@in_virtual_time
async def test_a_peer_whose_report_of_an_upgrade_cannot_be_read_is_not_counted_on(
    stated: str, waits: list[str]
) -> None:
    hub = await two_groups()
    for member in ("a1", "a2"):
        hub.heartbeat(member)
    spoilt(hub).late_statuses = {"a2"}
    hub.report("a2", stated)
    await asyncio.sleep(15)

    answer = await hub.ask("a1", "g1")

    assert codes(answer) == waits
    await hub.stop()


class Broken(MemoryStore):
    """A store that holds something which no one foresaw."""

    is_broken = True

    async def load(self) -> Stored:
        if self.is_broken:
            raise ValueError("a row from another world")
        return await super().load()


@in_virtual_time
async def test_a_cycle_that_fails_altogether_makes_the_daemon_not_ready_and_a_good_one_ready_again() -> None:
    store = Broken()
    hub = Hub(store=store)
    await store.open()
    with pytest.raises(ValueError, match="another world"):
        await hub.coordinator.cycle()

    overview = hub.coordinator.overview()
    assert not overview.ready
    assert any("the last cycle failed: ValueError: a row from another world" in each for each in overview.not_ready)

    store.is_broken = False
    await hub.coordinator.cycle()
    assert not any("cycle failed" in each for each in hub.coordinator.overview().not_ready)
    await hub.stop()
