"""The Exchange is the scarce resource: what a question, a cycle and a bad hour cost it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.coordinator.permission import Granted
from agbot.exchange.errors import Unreachable
from agbot.fleet import plan
from agbot.fleet.absence import CONFIRM_AFTER
from agbot.fleet.changes import Read, What
from agbot.fleet.picture import Picture
from agbot.fleet.reads import Why
from agbot.rules.facts import Member, Sight
from agbot.rules.ids import NodeId, node_id
from agbot.rules.lease import State
from agbot.rules.records import Hold
from agbot.settings.model import AgbotSettings, ExchangeSettings
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from agbot.store.contract import ENTRY_BYTES, JournalQuery
from tests.support.hub import AGBOT, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

FEED = ("POST", "/orgs/{org}/changes")
NODE = ("GET", "/orgs/{org}/nodes/{node}")
STATUSES = ("GET", "/orgs/{org}/nodes/{node}/managementStatus")


def spent(hub: Hub, before: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    return hub.transport.requests - before


async def warm_pair() -> Hub:
    """Start a hub with a group of two that has seen one whole upgrade of n1, and is known."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    for node in ("n1", "n2"):
        hub.report(node, "ha node waiting")
    await hub.start()
    await hub.ask("n1", "g1")
    hub.report("n1", "downloaded")
    await asyncio.sleep(3)
    hub.report("n1", "successful")
    await asyncio.sleep(3)
    hub.heartbeat("n1")
    await hub.live("n1", "n2", seconds=61)
    return hub


@in_virtual_time
async def test_a_thousand_idle_groups_cost_one_feed_request_per_poll_and_a_look_at_the_clock_every_five_minutes() -> (
    None
):
    hub = Hub()
    for number in range(1000):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    await asyncio.sleep(90)  # the feed's overlap repeats the burst of their creation for a minute
    before = hub.transport.requests.copy()

    await asyncio.sleep(600)

    assert spent(hub, before) == {FEED: 60, ("GET", "/orgs/{org}/agbots/{agbot}"): 2}


@in_virtual_time
async def test_a_grant_costs_the_feed_and_one_read_when_the_group_is_known() -> None:
    hub = await warm_pair()
    before = hub.transport.requests.copy()

    answer = await hub.ask("n2", "g1", is_remembered=True)

    assert isinstance(answer, Granted)
    assert spent(hub, before) == {FEED: 1, NODE: 1}


async def about_to_ask(*names: str) -> Hub:
    """Start a hub with a group that no one has asked in, of which the first member has downloaded in the order of an agent's life."""
    hub = Hub()
    hub.group("g1", *names)
    await hub.start()
    # idle: the heartbeats that were read at the start prove nothing any more
    await asyncio.sleep(1200)
    for name in names:
        hub.heartbeat(name)
    hub.report(names[0], "download started")
    await hub.live(*names, seconds=600)
    hub.report(names[0], "ha node waiting")
    await hub.live(*names, seconds=63)  # between two polls of the feed
    return hub


@in_virtual_time
async def test_the_first_question_of_a_cold_group_finds_everything_else_read_ahead() -> None:
    for names in (("n1", "n2"), ("n1", "n2", "n3", "n4"), tuple(f"n{number}" for number in range(1, 13))):
        hub = await about_to_ask(*names)
        before = hub.transport.requests.copy()

        answer = await hub.ask("n1", "g1", is_remembered=True)

        assert isinstance(answer, Granted)
        assert spent(hub, before) == {FEED: 1, NODE: 1}
        await hub.stop()


@in_virtual_time
async def test_a_report_in_the_moment_before_the_question_costs_that_one_read_more() -> None:
    hub = await about_to_ask("n1", "n2")
    hub.report("n1", "ha node waiting")
    before = hub.transport.requests.copy()

    assert isinstance(await hub.ask("n1", "g1"), Granted)

    assert spent(hub, before) == {FEED: 1, NODE: 1, STATUSES: 1}


@in_virtual_time
async def test_what_is_read_ahead_of_a_question_ends_when_the_question_does_not_come() -> None:
    hub = await about_to_ask("n1", "n2")
    await asyncio.sleep(300)
    before = hub.transport.requests.copy()

    await asyncio.sleep(100)

    assert spent(hub, before) == {FEED: 10}


@in_virtual_time
async def test_looking_ahead_costs_a_cycle_by_the_number_of_those_expected_and_not_by_its_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, really = 0, Picture.member

    def counted(picture: Picture, node: NodeId) -> Member | Sight:
        nonlocal looks
        looks += 1
        return really(picture, node)

    monkeypatch.setattr(Picture, "member", counted)
    cost: dict[int, int] = {}
    for groups in (10, 40):
        hub = Hub()
        for number in range(groups):
            hub.group(f"g{number}", f"a{number}", f"b{number}")
        await hub.start()
        for number in range(groups):
            hub.report(f"a{number}", "ha node waiting")
        await asyncio.sleep(15)
        before = looks
        await asyncio.sleep(30)
        cost[groups] = looks - before
        await hub.stop()

    assert cost[10] > 0
    assert cost[40] <= 4 * cost[10]


@in_virtual_time
async def test_the_grants_of_one_second_share_one_look_at_the_feed() -> None:
    hub = Hub()
    for number in range(20):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    for number in range(20):
        hub.report(f"a{number}", "ha node waiting")
    await asyncio.sleep(15)
    before = hub.transport.requests.copy()

    answers = await asyncio.gather(*(hub.ask(f"a{number}", f"g{number}") for number in range(20)))

    assert all(isinstance(answer, Granted) for answer in answers)
    assert spent(hub, before) == {FEED: 1, NODE: 20}


@in_virtual_time
async def test_a_refusal_costs_no_read_when_the_asker_is_remembered() -> None:
    hub = await warm_pair()
    await hub.ask("n2", "g1")
    before = hub.transport.requests.copy()

    answer = await hub.ask("n1", "g1", is_remembered=True)

    assert "lease-held" in codes(answer)
    assert spent(hub, before) == {}


@in_virtual_time
async def test_a_wave_of_unknown_policies_leaves_nothing_behind() -> None:
    hub = await warm_pair()
    for number in range(50):
        assert codes(await hub.ask("n1", "g1", f"invented-{number}"))[0] == "unknown-policy"

    group = hub.coordinator.group(hub.lease("g1").group)
    assert group is not None
    assert group.waiting == []


@in_virtual_time
async def test_many_heartbeats_of_one_organisation_are_read_in_bulk() -> None:
    hub = Hub()
    names = [f"n{number}" for number in range(20)]
    hub.group("big", *names)
    await hub.start()
    for name in names:
        hub.report(name, "ha node waiting")
    await hub.ask("n0", "big")
    before = hub.transport.requests.copy()

    await hub.live(*names, seconds=31)

    assert spent(hub, before)[NODE] == 0
    assert spent(hub, before)["GET", "/orgs/{org}/nodes"] == 1


@in_virtual_time
async def test_with_the_exchange_unreachable_at_the_start_nothing_is_granted_and_it_recovers_by_itself() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    down = hub.exchange.faults.add(Fault(kind=FaultKind.DROP, caller=f"IBM/{AGBOT}"))
    await hub.start()

    assert codes(await hub.ask("n1", "g1"))[0] == "view-stale"
    assert not hub.coordinator.overview().ready
    assert [entry.event for entry in hub.emitted if entry.event.startswith("exchange.")] == ["exchange.failed"]

    hub.exchange.faults.remove(down)
    await asyncio.sleep(12)
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert [entry.event for entry in hub.emitted if entry.event.startswith("exchange.")] == [
        "exchange.failed",
        "exchange.recovered",
    ]


@in_virtual_time
async def test_while_the_exchange_cannot_be_read_a_running_upgrade_keeps_its_lease_for_hours() -> None:
    """Our blindness is no evidence about the node."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n1", "ha node waiting")
    await hub.start()
    await hub.ask("n1", "g1")
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=60)
    down = hub.exchange.faults.add(Fault(kind=FaultKind.DROP))
    await hub.live(seconds=3600)
    assert hub.lease("g1").state is State.HELD

    hub.exchange.faults.remove(down)
    await hub.live("n1", "n2", seconds=60)
    assert hub.lease("g1").state is State.HELD
    hub.report("n1", "successful")
    await asyncio.sleep(5)
    assert hub.lease("g1").state is State.FREE


@in_virtual_time
async def test_a_frozen_feed_delays_the_release_but_never_loses_it() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.report("n1", "ha node waiting")
    await hub.start()
    await hub.ask("n1", "g1")
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=10)
    hub.exchange.faults.add(Fault(kind=FaultKind.FREEZE))

    hub.report("n1", "successful")
    await hub.live("n1", "n2", seconds=90)

    assert hub.lease("g1").state is State.FREE


@in_virtual_time
async def test_one_organisations_failure_is_its_own() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    seed.org(hub.exchange, "o2")
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=".*/orgs/o2/.*"))
    await hub.start()
    await asyncio.sleep(10)

    failing = {each.org: each.failing for each in hub.coordinator.overview().orgs}
    assert failing["o2"]
    assert not failing[ORG]
    assert isinstance(await hub.ask("n1", "g1"), Granted)


@in_virtual_time
async def test_a_hanging_exchange_costs_a_bounded_number_of_requests() -> None:
    hub = Hub()
    for number in range(50):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    for number in range(50):
        await hub.ask(f"a{number}", f"g{number}")
    hub.exchange.faults.add(Fault(kind=FaultKind.HANG))
    before = hub.transport.requests.copy()

    await asyncio.sleep(120)

    assert spent(hub, before).total() < 60


@in_virtual_time
async def test_an_asker_whose_exchange_read_fails_is_refused_and_nothing_is_granted() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.exchange.faults.add(Fault(kind=FaultKind.DROP, caller=f"{ORG}/n1"))

    with pytest.raises(Unreachable):
        await hub.ask("n1", "g1")

    assert hub.lease("g1").token == 0


@in_virtual_time
async def test_organisations_that_are_named_come_with_those_of_the_served_agbot_and_a_question_adds_none() -> None:
    settings = ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", organisations=("o2",))
    hub = Hub(settings=settings, agbot=AgbotSettings(identity="IBM/real"))
    for org in ("o2", "o3"):
        seed.org(hub.exchange, org)
    seed.agbot(hub.exchange, "IBM", "real")
    seed.serves(hub.exchange, "IBM/real", "o3")
    hub.group("g1", "n1", "n2")
    await hub.start()
    assert [each.org for each in hub.coordinator.overview().orgs] == ["o2", "o3"]
    assert codes(await hub.ask("n1", "g1")) == ["view-stale"]
    await asyncio.sleep(CONFIRM_AFTER.total_seconds() + 5)

    assert codes(await hub.ask("n1", "g1")) == ["org-excluded"]
    await asyncio.sleep(5)

    assert [each.org for each in hub.coordinator.overview().orgs] == ["o2", "o3"]


@in_virtual_time
async def test_a_clock_that_is_off_against_the_exchange_changes_no_decision() -> None:
    for ahead_seconds in (-3600.0, 3600.0):
        hub = Hub(clock_ahead_seconds=ahead_seconds)
        hub.group("g1", "n1", "n2")
        hub.report("n1", "ha node waiting")
        await hub.start()
        assert isinstance(await hub.ask("n1", "g1"), Granted)
        hub.report("n1", "initiated")
        await hub.live("n1", "n2", seconds=700)
        assert hub.lease("g1").state is State.HELD
        hub.report("n1", "successful")
        await asyncio.sleep(5)
        assert hub.lease("g1").state is State.FREE
        await hub.stop()


@in_virtual_time
async def test_resyncs_bound_what_a_lost_change_can_do() -> None:
    settings = ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", resync_seconds=600)
    hub = Hub(settings=replace(settings))
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.exchange.faults.add(Fault(kind=FaultKind.FREEZE))
    hub.admin("DELETE", "/hagroups/g1/nodes/n2")

    await asyncio.sleep(800)

    view = hub.coordinator.group(hub.lease("g1").group)
    assert view is not None
    assert [member.node for member in view.members] == [f"{ORG}/n1"]


@in_virtual_time
async def test_journal_entries_older_than_the_retention_are_dropped() -> None:
    hub = Hub(journal_age=timedelta(hours=1))
    hub.group("g1", "n1", "n2")
    hub.report("n1", "ha node waiting")
    await hub.start()
    await hub.ask("n1", "g1")
    assert await hub.store.journal(JournalQuery())

    await hub.live(seconds=2.5 * 3600)

    kept = await hub.store.journal(JournalQuery())
    assert all(hub.clock.now() - entry.at < timedelta(hours=3) for entry in kept)
    assert "lease.granted" not in {entry.event for entry in kept}


@in_virtual_time
async def test_the_oldest_journal_entries_are_dropped_while_all_take_more_room_than_is_given() -> None:
    hub = Hub(journal_bytes=4_000)
    await hub.start()
    for _ in range(20):
        await hub.coordinator.hold(Hold(scope=ORG, since=hub.clock.now(), by="eva", why="the trade fair"))
    before = await hub.store.journal(JournalQuery())
    assert len(before) == 20

    await hub.live(seconds=3700)

    kept = await hub.store.journal(JournalQuery())
    assert 8 < len(kept) < 4_000 / ENTRY_BYTES  # each has facts as well
    assert kept == before[: len(kept)]


@in_virtual_time
async def test_a_read_of_a_whole_organisation_that_fails_once_is_tried_again_at_once() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=503, path=f".*/orgs/{ORG}/hagroups$", times=1))

    await hub.start()
    await asyncio.sleep(2)

    assert {each.org: each.groups for each in hub.coordinator.overview().orgs}[ORG] == 1
    assert hub.events("org.failed") == []


@pytest.mark.parametrize("what", [What.NODE, What.STATUSES])
@in_virtual_time
async def test_each_wanted_read_that_an_outage_prevents_is_a_failure(what: What) -> None:
    hub = Hub()
    nodes = [f"n{number}" for number in range(20)]
    hub.group("g1", *nodes)
    await hub.start()
    hub.exchange.faults.add(Fault(kind=FaultKind.DROP, path=f"/orgs/{ORG}/nodes.*", caller=f"IBM/{AGBOT}"))
    reads = [Read(what=what, id=node_id(ORG, node)) for node in nodes]

    failures = await hub.coordinator._reader.refresh(plan.at_once(reads, Why.GRANT))  # noqa: SLF001 - the part itself

    assert set(reads) <= failures.keys()
    await hub.stop()
