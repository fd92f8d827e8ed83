"""A group is effective as soon as it exists: a member's very next question is answered under it, whatever the change feed has reported.

Time stands still in most of these: what the administrator does and the questions after it fall into
the same moment.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agbot.coordinator.permission import Granted
from agbot.rules.lease import State
from agbot.sim.exchange import seed
from tests.membership.living import FROZEN, GROUP, STEADY, TURN, living
from tests.support.hub import NEW, NMP, OLD, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


async def hub_with_nodes(*names: str) -> Hub:
    """Start a hub whose nodes are in no group.

    A minute later the coordinator knows all there is to know.
    """
    hub = Hub()
    for name in names:
        seed.node(hub.exchange, ORG, name, version=OLD)
        hub.report(name, "ha node waiting")
    await hub.start()
    await hub.live(*names, seconds=60)
    return hub


@in_virtual_time
async def test_a_group_created_while_the_feed_is_frozen_gates_the_very_next_questions() -> None:
    hub = await hub_with_nodes("n1", "n2")
    hub.exchange.faults.add(FROZEN)
    await hub.live("n1", "n2", seconds=20)

    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])

    first = await hub.ask("n1", "g1")
    assert isinstance(first, Granted)
    assert first.token == 1
    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    assert hub.events("lease.exempted") == []


@in_virtual_time
async def test_a_group_created_in_the_second_of_the_question_gates_it() -> None:
    hub = await hub_with_nodes("n1", "n2")
    began = asyncio.get_running_loop().time()

    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    answers = [await hub.ask("n1", "g1"), await hub.ask("n2", "g1")]

    assert asyncio.get_running_loop().time() == began
    assert isinstance(answers[0], Granted)
    assert codes(answers[1])[0] == "lease-held"


@in_virtual_time
async def test_two_questions_at_the_same_moment_after_a_creation_give_one_grant() -> None:
    hub = await hub_with_nodes("n1", "n2")

    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    answers = await asyncio.gather(hub.ask("n1", "g1"), hub.ask("n2", "g1"))

    assert [isinstance(answer, Granted) for answer in answers].count(True) == 1
    assert hub.lease("g1").token == 1


@in_virtual_time
async def test_who_asked_for_the_group_before_it_existed_is_gated_once_it_does() -> None:
    """What was stated before, and remembered, does not stand any more."""
    hub = await hub_with_nodes("n1", "n2")
    hub.exchange.faults.add(FROZEN)
    for node in ("n1", "n2"):
        assert codes(await hub.ask(node, "g1", is_remembered=True)) == ["not-a-member"]

    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])

    assert isinstance(await hub.ask("n1", "g1", is_remembered=True), Granted)
    assert codes(await hub.ask("n2", "g1", is_remembered=True))[0] == "lease-held"


@in_virtual_time
async def test_who_was_reported_that_it_is_no_member_is_gated_once_it_is_one() -> None:
    """The group is known and the feed is silent: memory alone would go on saying so."""
    hub = await hub_with_nodes("n1", "n2", "n3")
    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert codes(await hub.ask("n3", "g1")) == ["not-a-member"]
    hub.exchange.faults.add(FROZEN)

    hub.admin("POST", "/hagroups/g1/nodes/n3")

    assert codes(await hub.ask("n3", "g1", is_remembered=True))[0] == "lease-held"


@in_virtual_time
async def test_a_group_that_was_known_to_be_gone_is_read_whole_before_the_first_answer_under_it() -> None:
    """Otherwise the asker would be the only member known, and no one's absence would hold it back."""
    hub = await hub_with_nodes("n1", "n2")
    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    await hub.ask("n1", "g1")
    hub.admin("DELETE", "/hagroups/g1")
    await hub.live("n1", seconds=400)
    hub.exchange.faults.add(FROZEN)

    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])

    assert codes(await hub.ask("n1", "g1")) == ["peers-unavailable"]


@in_virtual_time
async def test_a_peer_that_waits_already_keeps_its_place_when_another_joins_behind_a_frozen_feed() -> None:
    hub = await hub_with_nodes("n1", "n2", "n3")
    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    hub.exchange.faults.add(FROZEN)

    hub.admin("POST", "/hagroups/g1/nodes/n3")

    assert codes(await hub.ask("n3", "g1"))[0] == "lease-held"
    assert codes(await hub.ask("n2", "g1", is_remembered=True))[0] == "lease-held"
    assert hub.lease("g1").token == 1
    view = hub.coordinator.group(hub.lease("g1").group)
    assert view is not None
    assert [each.node for each in view.waiting] == [f"{ORG}/n2", f"{ORG}/n3"]


@in_virtual_time
async def test_a_member_that_has_just_left_behind_a_frozen_feed_is_not_granted_the_old_groups_lease() -> None:
    hub = await hub_with_nodes("n1", "n2")
    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert codes(await hub.ask("n2", "g1"))[0] == "lease-held"
    await hub.coordinator.release(hub.lease("g1").group, token=1, reason="played", who="a test")
    hub.exchange.faults.add(FROZEN)

    hub.admin("DELETE", "/hagroups/g1/nodes/n2")

    assert codes(await hub.ask("n2", "g1", is_remembered=True)) == ["not-a-member"]
    assert hub.lease("g1").state is State.FREE


@in_virtual_time
async def test_a_move_behind_a_frozen_feed_is_answered_under_the_new_group() -> None:
    hub = await hub_with_nodes("n1", "n2", "n3", "n4")
    seed.group(hub.exchange, ORG, "g1", ["n1", "n2"])
    seed.group(hub.exchange, ORG, "g2", ["n3", "n4"])
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.exchange.faults.add(FROZEN)

    hub.admin("DELETE", "/hagroups/g1/nodes/n2")
    hub.admin("POST", "/hagroups/g2/nodes/n2")

    assert codes(await hub.ask("n2", "g1")) == ["not-a-member"]
    answer = await hub.ask("n2", "g2", NMP)
    assert isinstance(answer, Granted)
    assert answer.token == 1
    assert codes(await hub.ask("n3", "g2"))[0] == "lease-held"


@in_virtual_time
async def test_agents_whose_group_is_created_while_they_download_take_turns_though_the_feed_was_frozen() -> None:
    async with living(0) as hub:
        slow = replace(STEADY, download_seconds=(90.0, 90.0))
        nodes = [await hub.add(name, slow) for name in ("n1", "n2", "n3")]
        hub.publish()
        frozen = hub.freeze()
        await hub.until_stated(nodes[0], "download started")

        hub.fleet.create_group(ORG, GROUP, ["n1", "n2", "n3"])

        await hub.live(seconds=TURN)  # while it is known to stand still no one begins
        hub.exchange.faults.remove(frozen)
        await hub.until(lambda: hub.runs(NEW, *nodes), 4 * TURN)
        assert sorted(token or 0 for _, token in await hub.grants()) == [1, 2, 3]
        assert hub.fleet.observer.max_concurrent_by_group[f"{ORG}/{GROUP}"] == 1
