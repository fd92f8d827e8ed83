"""A yes that did not reach its asker: it is given again under the same token, unless another member has begun meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.permission import Answer, Granted
from agbot.rules.ids import node_id
from agbot.rules.lease import Lease
from agbot.sim.agbot_rows import AgentRow
from agbot.store.contract import NOTHING, Lost, Writes
from tests.support.examples import some
from tests.support.faulty_store import FaultyStore
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

NODES = ("n1", "n2", "n3")
ROW = AgentRow(org=ORG, group="g1", node="n2", nmp=NMP)


class _SlowStore(FaultyStore):
    """Takes a while for each change of a lease."""

    seconds = 0.0

    async def swap(self, expected: Lease, new: Lease, writes: Writes = NOTHING) -> Lease | Lost:
        await asyncio.sleep(self.seconds)
        return await super().swap(expected, new, writes)


async def ready(*, shows_rows: bool = True, store: FaultyStore | None = None) -> Hub:
    hub = Hub(shows_rows=shows_rows, store=store or FaultyStore())
    hub.group("g1", *NODES)
    await hub.start()
    hub.report("n1", "ha node waiting")
    await hub.live(*NODES, seconds=61)
    return hub


def is_again(answer: Answer) -> bool:
    return isinstance(answer, Granted) and answer.repeated and answer.token == 1


@pytest.mark.parametrize("how", some(["lost", "killed", "not listed"]))
@in_virtual_time
async def test_who_has_not_begun_waits_for_another_member_that_has_begun_since_its_lost_yes(how: str) -> None:
    hub = await ready(shows_rows=how != "not listed")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    if how == "killed":
        await hub.crash()
    hub.report("n2", "downloaded")
    if how != "not listed":
        hub.rows.agents.append(ROW)
    await hub.live(*NODES, seconds=60)

    assert codes(await hub.ask("n1", "g1"))[0] == "overlap"
    assert hub.lease("g1").holder == f"{ORG}/n1"
    explained = hub.coordinator.explain(node_id(ORG, "n1"))
    assert explained is not None
    assert explained.answer.startswith(
        f"{ORG}/n1 is waiting to upgrade {ORG}/{NMP}: {ORG}/n2 has been in the middle of"
    )

    hub.rows.agents.clear()
    hub.report("n2", "successful")
    await hub.live(*NODES, seconds=60)
    assert is_again(await hub.ask("n1", "g1"))
    assert [(each.node, each.facts["why"]) for each in hub.events("wait.ended")] == [
        (f"{ORG}/n1", "the permission that it holds was given again")
    ]
    group = next(each for each in hub.coordinator.groups() if each.id == f"{ORG}/g1")
    assert not group.waiting
    await hub.stop()


@in_virtual_time
async def test_what_the_agbot_has_begun_a_moment_ago_is_looked_for_before_a_yes_is_given_again() -> None:
    hub = await ready()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    await asyncio.sleep(0.5)
    hub.report("n2", "downloaded")
    hub.rows.agents.append(ROW)

    assert codes(await hub.ask("n1", "g1"))[0] == "overlap"
    await hub.stop()


@in_virtual_time
async def test_who_has_begun_gets_its_yes_again_whoever_has_begun_beside_it() -> None:
    hub = await ready()
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "downloaded")
    hub.report("n2", "downloaded")
    hub.rows.agents.append(ROW)
    await hub.live(*NODES, seconds=30)

    assert is_again(await hub.ask("n1", "g1"))
    await hub.stop()


@in_virtual_time
async def test_a_yes_whose_commit_took_long_is_not_given_beside_what_has_begun_meanwhile() -> None:
    store = _SlowStore()
    hub = await ready(store=store)
    await hub._cancel()  # noqa: SLF001 - the next cycle is seconds away
    store.seconds = 8.0
    asking = asyncio.create_task(hub.ask("n1", "g1"))
    await asyncio.sleep(4)
    hub.report("n2", "downloaded")
    hub.rows.agents.append(ROW)

    assert codes(await asking)[0] == "overlap"
    await hub.stop()


@in_virtual_time
async def test_a_yes_whose_commit_took_long_is_given_if_nothing_has_begun() -> None:
    store = _SlowStore()
    hub = await ready(store=store)
    store.seconds = 8.0

    answer = await hub.ask("n1", "g1")

    assert isinstance(answer, Granted)
    assert answer.token == 1
    assert len(hub.events("lease.granted")) == 1
    await hub.stop()
