"""A peer that lives but whose service is down is no peer to rely on: what is read for that, and what it decides."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from agbot.coordinator.permission import Answer, Granted
from agbot.rules.ids import group_id, node_id
from agbot.rules.records import Hold
from agbot.sim.faults import Fault, FaultKind
from agbot.sim.habits import Outcome
from agbot.sim.node import SimNode
from agbot.sim.node_services import Message, MessageKind, Service
from tests.membership.living import GROUP, IDLE_CYCLE, Living, living
from tests.observed.upgrading import AFTER, BEFORE, BRISK, deploy, members, serve, serves
from tests.support.hub import NEW, ORG, codes
from tests.support.virtual_time import in_virtual_time

AGREEMENTS = ("GET", "/orgs/{org}/nodes/{node}/agreements")
STATUS = ("GET", "/orgs/{org}/nodes/{node}/status")
NMP = "up2"
"""A policy for no node: the agents leave the asking to the test."""


@asynccontextmanager
async def serving(members_of_group: int = 2) -> AsyncIterator[Living]:
    """Run a hub with a group whose members serve, and an agbot that repairs nothing and shows that it has begun nothing."""
    async with living(members_of_group, habits=BRISK, has_agbot=True, shows_rows=True) as hub:
        hub.fleet.publish(ORG, NMP, NEW, group="nobody")
        await serve(hub, *members(hub))
        hub.fleet.agbot.stop()
        await asyncio.sleep(IDLE_CYCLE)
        yield hub


async def ask(hub: Living, node: SimNode, *, is_remembered: bool = False) -> Answer:
    return await hub.ask(node.spec.id, GROUP, NMP, is_remembered=is_remembered)


async def turns(node: SimNode, state: str) -> None:
    """Let the node's containers be in a state, and the node say so.

    The feed shows an agbot nothing of it.
    """
    for one in node.services.instances.values():
        one.state = state
    await node.services.report()


async def long_after_the_last_release(hub: Living) -> list[SimNode]:
    """Let the end of an agreement be no sign of a service upgrade any more; return the members."""
    hub.limits = replace(hub.limits, max_upgrade_seconds=1800.0)
    await hub.live(seconds=hub.limits.max_upgrade_seconds + 60)
    return members(hub)


@in_virtual_time
async def test_a_member_does_not_go_down_while_the_service_of_its_only_peer_is_down() -> None:
    async with serving() as hub:
        asker, peer = members(hub)
        await turns(peer, "exited")

        answer = await ask(hub, asker)

        assert codes(answer) == ["peers-unavailable"]
        assert hub.seen(peer).why_unavailable == "its service o1/svc-dp 1.0.0 is exited"
        explained = hub.coordinator.explain(node_id(ORG, asker.spec.id))
        assert explained is not None
        rule = next(each for each in explained.rules if each.rule == "peers")
        assert rule.facts["services"] == ["o1/svc-dp"]
        assert "the only other member is not available, 1 must be (min_available 1)" in rule.text


@in_virtual_time
async def test_it_goes_as_soon_as_the_service_runs_again() -> None:
    async with serving() as hub:
        asker, peer = members(hub)
        await turns(peer, "exited")
        assert codes(await ask(hub, asker)) == ["peers-unavailable"]

        await turns(peer, "running")
        await asyncio.sleep(60)

        assert isinstance(await ask(hub, asker, is_remembered=True), Granted)


@in_virtual_time
async def test_a_service_that_is_down_everywhere_keeps_no_one_from_upgrading() -> None:
    """Nothing is taken away by going down, and the repair may be in the new agent."""
    async with serving() as hub:
        asker, peer = members(hub)
        for node in (asker, peer):
            await turns(node, "exited")

        assert isinstance(await ask(hub, asker), Granted)


@in_virtual_time
async def test_whoever_says_that_containers_may_end_is_not_kept_by_one_that_has() -> None:
    async with serving() as hub:
        hub.limits = replace(hub.limits, services_must_run=False)
        asker, peer = members(hub)
        await turns(peer, "exited")
        before = hub.transport.requests.copy()

        assert isinstance(await ask(hub, asker), Granted)
        assert AGREEMENTS not in hub.transport.requests - before


@in_virtual_time
async def test_between_the_end_of_an_agreement_and_the_next_one_the_peer_does_not_count() -> None:
    async with serving() as hub:
        asker, peer = await long_after_the_last_release(hub)
        await peer.services.give_up()
        await asyncio.sleep(IDLE_CYCLE)

        assert codes(await ask(hub, asker)) == ["peers-unavailable"]
        assert "one of its agreements ended" in hub.seen(peer).why_unavailable

        await hub.fleet.agbot.adopt(peer, f"{ORG}/dp")
        await asyncio.sleep(60)
        assert isinstance(await ask(hub, asker, is_remembered=True), Granted)


@in_virtual_time
async def test_an_agreement_that_ended_for_good_keeps_the_peers_only_for_a_while() -> None:
    async with serving() as hub:
        asker, peer = await long_after_the_last_release(hub)
        await peer.services.give_up()
        await asyncio.sleep(IDLE_CYCLE)
        assert codes(await ask(hub, asker)) == ["peers-unavailable"]

        await hub.live(seconds=hub.limits.lease_seconds)

        assert isinstance(await ask(hub, asker, is_remembered=True), Granted)


@in_virtual_time
async def test_a_bad_release_that_one_member_has_keeps_the_others_up() -> None:
    """The brake stops the release after the first member.

    An agent upgrade of the others would leave the group without the service.
    """
    async with living(2, habits=BRISK, has_agbot=True) as hub:
        hub.fleet.publish(ORG, NMP, NEW, group="nobody")
        await serve(hub, *members(hub))
        for node in members(hub):
            node.services.outcomes[AFTER] = Outcome.CRASHES
        deploy(hub, AFTER)
        await hub.until(lambda: bool(hub.events("brake.set")), 200)
        broken = next(node for node in members(hub) if serves(AFTER, node, state="exited"))
        sound = next(node for node in members(hub) if node is not broken)
        await hub.live(seconds=120)
        assert serves(BEFORE, sound)

        answer = await ask(hub, sound)

        assert "peers-unavailable" in codes(answer)
        assert hub.seen(broken).why_unavailable == f"its service o1/svc-dp {AFTER} is exited"


@in_virtual_time
async def test_the_first_question_reads_what_each_peer_runs_and_the_next_ones_nothing_of_it() -> None:
    async with serving(3) as hub:
        first, second, _third = members(hub)
        before = hub.transport.requests.copy()
        await ask(hub, first)
        cold = hub.transport.requests - before
        assert (cold[AGREEMENTS], cold[STATUS]) == (2, 2)

        before = hub.transport.requests.copy()
        assert codes(await ask(hub, second))[0] == "lease-held"
        assert codes(await ask(hub, second, is_remembered=True))[0] == "lease-held"
        assert AGREEMENTS not in hub.transport.requests - before


@in_virtual_time
async def test_while_somebody_waits_what_its_peers_run_is_read_every_few_minutes() -> None:
    async with serving(3) as hub:
        waiter = members(hub)[0]
        await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="fair"))
        spent: Counter[tuple[str, str]] = Counter()
        for _minute in range(20):
            assert codes(await ask(hub, waiter, is_remembered=True)) == ["paused"]
            before = hub.transport.requests.copy()
            await asyncio.sleep(60)
            spent += hub.transport.requests - before

        assert 2 * 4 <= spent[AGREEMENTS] <= 2 * 6


@in_virtual_time
async def test_a_group_in_which_no_one_waits_costs_no_such_read() -> None:
    async with serving(3) as hub:
        await ask(hub, members(hub)[0])
        before = hub.transport.requests.copy()

        await asyncio.sleep(170)

        assert AGREEMENTS not in hub.transport.requests - before


@in_virtual_time
async def test_what_cannot_be_read_stops_no_one_and_is_not_read_in_every_cycle() -> None:
    """What members run is advice: not knowing it is no reason to stop a fleet."""
    async with serving(3) as hub:
        waiter, broken = members(hub)[0], members(hub)[1]
        path = f"/nodes/{broken.spec.id}/status$"
        hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=path))
        await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="fair"))
        assert codes(await ask(hub, waiter)) == ["paused"]
        before = hub.transport.requests.copy()
        for _minute in range(10):
            await asyncio.sleep(60)
            assert codes(await ask(hub, waiter, is_remembered=True)) == ["paused"]

        assert (hub.transport.requests - before)[AGREEMENTS] <= 10 * 6 + 6 + 10
        await hub.coordinator.resume(ORG, subject=None, reason="over", who="eva")
        assert isinstance(await ask(hub, waiter), Granted)


@in_virtual_time
async def test_a_member_that_is_down_is_looked_at_soon_only_where_that_keeps_somebody_waiting() -> None:
    async with serving(3) as hub:
        waiter, down = members(hub)[0], members(hub)[1]
        await turns(down, "exited")

        async def spent(minutes: int) -> int:
            before = hub.transport.requests.copy()
            for _minute in range(minutes):
                await ask(hub, waiter, is_remembered=True)
                await asyncio.sleep(60)
            return (hub.transport.requests - before)[AGREEMENTS]

        await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="fair"))
        assert await spent(20) <= 3 * 6
        hub.limits = replace(hub.limits, min_available=2)
        assert codes(await ask(hub, waiter)) == ["paused", "peers-unavailable"]
        assert await spent(10) >= 10 * 4


@in_virtual_time
async def test_an_agreement_that_flaps_for_another_service_keeps_no_one_waiting() -> None:
    async with serving() as hub:
        asker, peer = await long_after_the_last_release(hub)
        for minute in range(5):
            await peer.services.settle(f"flap-{minute}", Service(org=ORG, url="svc-other", version="1.0.0"))
            peer.services.deliver(Message(kind=MessageKind.CANCEL, agreement=f"flap-{minute}"))
            await asyncio.sleep(30)

            assert isinstance(await ask(hub, asker), Granted)


@in_virtual_time
async def test_of_several_services_that_went_down_together_the_first_that_is_back_is_not_all() -> None:
    async with serving() as hub:
        await serve(hub, *members(hub), policy="dp2")
        asker, peer = await long_after_the_last_release(hub)
        await peer.services.give_up()
        await asyncio.sleep(IDLE_CYCLE)
        await hub.fleet.agbot.adopt(peer, f"{ORG}/dp")
        await asyncio.sleep(20)

        answer = await ask(hub, asker)

        assert codes(answer) == ["peers-unavailable"]
        assert not isinstance(answer, Granted)
        assert answer.reasons[0].text.endswith("and o1/svc-dp2 does not run)")
        await hub.fleet.agbot.adopt(peer, f"{ORG}/dp2")
        await asyncio.sleep(60)
        assert isinstance(await ask(hub, asker, is_remembered=True), Granted)


@in_virtual_time
async def test_an_old_report_of_services_is_not_shown_as_the_present() -> None:
    async with serving() as hub:
        asker, peer = members(hub)
        await turns(peer, "exited")
        await ask(hub, asker)
        assert hub.seen(peer).available is False
        hub.limits = replace(hub.limits, services_must_run=False)
        assert isinstance(await ask(hub, asker), Granted)
        hub.limits = replace(hub.limits, services_must_run=True)
        await turns(peer, "running")

        await hub.live(seconds=170)
        assert not hub.is_free()
        await hub.coordinator.release(group_id(ORG, GROUP), token=None, reason="test", who="eva")
        await hub.live(seconds=200)

        assert hub.seen(peer).why_unavailable == ""
