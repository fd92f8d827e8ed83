"""The controls of a rollout, over the whole hub on a virtual clock: allowances, approvals, holds, brakes, canary, pace, order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.permission import Granted
from agbot.rules.ids import PolicyId, group_id, node_id, policy_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits, Order
from agbot.rules.records import Allowance, Approval, Hold
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.examples import some
from tests.support.faulty_store import Failure, FaultyStore
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

UP1 = policy_id(ORG, NMP)


def allowance(hub: Hub, node: str, hours: float = 1) -> Allowance:
    now = hub.clock.now()
    until = now + timedelta(hours=hours)
    return Allowance(
        node=node_id(ORG, node), subject=policy_id(ORG, NMP), since=now, until=until, by="ada", why="urgent"
    )


def approval(hub: Hub, scope: str) -> Approval:
    return Approval(scope=scope, kind=Kind.AGENT, subject=UP1, since=hub.clock.now(), by="ada", why="tested")


async def upgrade(hub: Hub, node: str, group: str, end: str = "successful") -> None:
    """Let a node upgrade from its question to its end."""
    hub.heartbeat(node)
    hub.report(node, "ha node waiting")
    answer = await hub.ask(node, group)
    assert isinstance(answer, Granted), codes(answer)
    hub.report(node, "initiated")
    await hub.live(node, seconds=20)
    hub.report(node, end)
    await hub.live(node, seconds=70)


@in_virtual_time
async def test_an_allowance_lets_one_upgrade_past_offline_peers_once_and_survives_a_restart() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.live("n1", seconds=400)
    hub.report("n1", "ha node waiting")
    assert codes(await hub.ask("n1", "g1")) == ["peers-unavailable"]

    assert isinstance(await hub.coordinator.allow(allowance(hub, "n1")), Done)
    await hub.crash()
    hub.heartbeat("n1")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert hub.events("lease.granted")[-1].facts["allowed_by"] == "ada"

    hub.report("n1", "successful")
    await hub.live("n1", seconds=30)
    assert codes(await hub.ask("n1", "g1")) == ["peers-unavailable"]
    await hub.stop()


@in_virtual_time
async def test_an_allowance_does_not_let_its_node_past_a_failure_that_came_after_it() -> None:
    hub = Hub(limits=Limits(agent_soak_seconds=60))
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    hub.heartbeat("n3")
    hub.report("n2", "ha node waiting")
    await upgrade(hub, "n1", "g1")
    assert isinstance(await hub.coordinator.allow(allowance(hub, "n2")), Done)  # while the group rests
    await hub.live("n2", "n3", seconds=60)
    await upgrade(hub, "n3", "g1", "rollback successful")

    for node in ("n1", "n3"):
        hub.heartbeat(node)
    hub.report("n2", "ha node waiting")
    assert codes(await hub.ask("n2", "g1")) == ["brake"]
    explained = hub.coordinator.explain(node_id(ORG, "n2"))
    assert explained is not None
    assert "before it failed: that does not override the failure" in explained.answer

    await hub.coordinator.allow(allowance(hub, "n2"))
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_an_allowance_that_is_not_used_lapses_and_one_for_no_one_is_refused() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    await hub.coordinator.allow(allowance(hub, "n1", hours=0.1))
    await hub.live("n1", "n2", seconds=400)

    assert [each.node for each in hub.events("allowance.ended")] == [node_id(ORG, "n1")]
    assert isinstance(await hub.coordinator.allow(allowance(hub, "nobody")), NotDone)
    await hub.stop()


@in_virtual_time
async def test_the_first_member_waits_for_an_approval_and_the_others_need_none() -> None:
    hub = Hub(limits=Limits(approval=True))
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.heartbeat("n2")
    hub.report("n1", "ha node waiting")
    assert codes(await hub.ask("n1", "g1")) == ["not-approved"]

    await hub.coordinator.approve(approval(hub, "o1/g1"))
    await upgrade(hub, "n1", "g1")
    await upgrade(hub, "n2", "g1")
    assert hub.lease("g1").token == 2
    await hub.stop()


@in_virtual_time
async def test_a_release_that_is_bad_everywhere_stops_after_the_first_few_groups_and_one_word_resumes_it() -> None:
    hub = Hub()
    for number in range(5):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    for number in range(3):
        hub.heartbeat(f"b{number}")
        await upgrade(hub, f"a{number}", f"g{number}", "rollback successful")
    hub.heartbeat("b4")
    hub.report("a4", "ha node waiting")
    answer = await hub.ask("a4", "g4")
    assert codes(answer) == ["org-brake"]
    explained = hub.coordinator.explain(node_id(ORG, "a4"))
    assert explained is not None
    assert "failed in 3 groups of o1 (o1/g0, o1/g1, o1/g2)" in explained.answer

    mistaken = [
        await hub.coordinator.resume(ORG, subject=each, reason="?", who="ada") for each in (None, PolicyId("up1"))
    ]
    assert all(
        isinstance(each, NotDone) and each.text.endswith("Brakes there are lifted with --subject o1/up1")
        for each in mistaken
    )
    done = await hub.coordinator.resume(ORG, subject=UP1, reason="repaired", who="ada")
    assert isinstance(done, Done)
    assert "o1/g0, where it failed on o1/a0" in done.text
    hub.heartbeat("b4")
    assert isinstance(await hub.ask("a4", "g4"), Granted)
    await hub.stop()


@in_virtual_time
async def test_the_canary_goes_first_and_the_rest_when_it_has_finished_and_rested() -> None:
    hub = Hub(limits=Limits(canary_percent=20, agent_soak_seconds=300))
    for number in range(5):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    for node in ("b0", "b1"):
        hub.heartbeat(node)
    for node in ("a0", "b0", "a1"):
        hub.report(node, "ha node waiting")
    assert isinstance(await hub.ask("a0", "g0"), Granted)
    assert codes(await hub.ask("a1", "g1")) == ["canary"]

    hub.report("a0", "successful")
    await hub.live("a0", "b0", "b1", seconds=60)
    assert codes(await hub.ask("b0", "g0")) == ["soaking"]
    assert codes(await hub.ask("a1", "g1")) == ["canary"]
    await hub.live("a0", "b0", "b1", seconds=300)
    hub.heartbeat("a0")
    assert isinstance(await hub.ask("b0", "g0"), Granted)
    hub.report("b0", "successful")
    await hub.live("a0", "b0", "b1", seconds=400)
    assert isinstance(await hub.ask("a1", "g1"), Granted)
    await hub.stop()


Ending = Callable[[Hub], Awaitable[None]]


async def is_unconfirmed(hub: Hub) -> None:
    await hub.live("a0", "b0", "a1", "b1", "a2", "b2", seconds=250)


async def is_forced(hub: Hub) -> None:
    await hub.coordinator.release(group_id(ORG, "g0"), token=None, reason="stuck", who="ada")


async def is_reset(hub: Hub) -> None:
    hub.report("a0", "initiated")
    await hub.live("a0", "b0", "b1", seconds=10)
    hub.report("a0", "reset")
    await hub.live("a0", "b0", "a1", "b1", "a2", "b2", seconds=700)


async def loses_its_node(hub: Hub) -> None:
    hub.report("a0", "initiated")
    hub.admin("DELETE", "/nodes/a0")


async def loses_its_group(hub: Hub) -> None:
    hub.report("a0", "initiated")
    hub.admin("DELETE", "/hagroups/g0")


async def has_nothing_to_do(hub: Hub) -> None:
    hub.report("a0", "no action required")


async def fails_and_is_resumed(hub: Hub) -> None:
    hub.report("a0", "rollback successful")
    await hub.live("a0", "b0", "b1", seconds=10)
    await hub.coordinator.resume(group_id(ORG, "g0"), subject=UP1, reason="a disk was full", who="ada")


@pytest.mark.parametrize(
    "end",
    some(
        [is_unconfirmed, is_forced, is_reset, loses_its_node, loses_its_group, has_nothing_to_do, fails_and_is_resumed]
    ),
)
def test_a_canary_whose_end_proves_nothing_gives_its_place_to_one_other_group(end: Ending) -> None:
    @in_virtual_time
    async def story() -> None:
        hub = Hub(limits=Limits(canary_percent=20))
        for number in range(5):
            hub.group(f"g{number}", f"a{number}", f"b{number}")
        await hub.start()
        hub.heartbeat("b0")
        if end is not is_unconfirmed:
            hub.report("a0", "ha node waiting")
        assert isinstance(await hub.ask("a0", "g0"), Granted)
        await end(hub)
        await hub.live("a0", "b0", "a1", "b1", "a2", "b2", seconds=20) if end is not loses_its_node else None
        for node in ("b1", "b2"):
            hub.heartbeat(node)
        await asyncio.sleep(5)
        assert hub.lease("g0").tenure is None

        assert isinstance(await hub.ask("a1", "g1"), Granted)
        assert codes(await hub.ask("a2", "g2")) == ["canary"]
        hub.report("a1", "successful")
        await hub.live("a1", "b1", "b2", "b3", seconds=60)
        assert isinstance(await hub.ask("a2", "g2"), Granted)
        assert isinstance(await hub.ask("a3", "g3"), Granted)
        await hub.stop()

    story()


@in_virtual_time
async def test_no_more_groups_upgrade_at_once_than_may() -> None:
    hub = Hub(limits=Limits(max_groups_in_org=1))
    for number in range(2):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    for node in ("a0", "b0", "a1", "b1"):
        hub.heartbeat(node)
        hub.report(node, "ha node waiting")
    assert isinstance(await hub.ask("a0", "g0"), Granted)
    assert codes(await hub.ask("a1", "g1")) == ["paced"]
    hub.report("a0", "successful")
    await hub.live("a0", "b0", "a1", "b1", seconds=20)
    assert isinstance(await hub.ask("a1", "g1"), Granted)
    await hub.stop()


@pytest.mark.parametrize(
    "limits",
    [Limits(max_groups_in_org=1), Limits(max_groups_in_fleet=1), Limits(canary_percent=20)],
    ids=["organisation", "fleet", "canary"],
)
def test_of_many_that_ask_in_the_same_moment_no_more_go_than_may(limits: Limits) -> None:
    """Each of them sees the others' grants although no store has committed them yet."""

    @in_virtual_time
    async def story() -> None:
        hub = Hub(limits=limits)
        for number in range(5):
            hub.group(f"g{number}", f"a{number}", f"b{number}")
        await hub.start()
        for number in range(5):
            hub.heartbeat(f"b{number}")
            hub.report(f"a{number}", "ha node waiting")

        answers = await asyncio.gather(*(hub.ask(f"a{number}", f"g{number}") for number in range(5)))

        assert [isinstance(answer, Granted) for answer in answers].count(True) == 1
        await hub.stop()

    story()


@in_virtual_time
async def test_a_grant_that_the_store_refuses_keeps_no_other_group_waiting() -> None:
    hub = Hub(limits=Limits(max_groups_in_org=1), store=(store := FaultyStore()))
    for number in range(2):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    for number in range(2):
        hub.heartbeat(f"b{number}")
        hub.report(f"a{number}", "ha node waiting")
    store.fail_next(Failure.BEFORE_COMMIT)
    assert codes(await hub.ask("a0", "g0")) == ["store-unavailable"]
    await hub.live("a0", "b0", "a1", "b1", seconds=30)

    assert isinstance(await hub.ask("a1", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_members_go_in_the_order_of_their_names_where_that_is_set() -> None:
    hub = Hub(limits=Limits(order=Order.NAME))
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    for node in ("n1", "n2", "n3"):
        hub.heartbeat(node)
        hub.report(node, "ha node waiting")
    hub.admin("POST", "/hagroups/g2", {"description": "", "members": []})
    await hub.coordinator.hold(Hold(scope="o1/g1", since=hub.clock.now(), by="ada", why="to gather them"))
    for node in ("n3", "n2", "n1"):
        await hub.ask(node, "g1")
    await hub.coordinator.resume("o1/g1", subject=None, reason="go", who="ada")

    assert codes(await hub.ask("n3", "g1")) == ["turn"]
    assert codes(await hub.ask("n2", "g1")) == ["turn"]
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_hold_of_one_node_keeps_that_node_and_survives_a_restart() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    for node in ("n1", "n2"):
        hub.heartbeat(node)
        hub.report(node, "ha node waiting")
    hold = Hold(scope="node:o1/n1", since=hub.clock.now(), by="ada", why="being moved")
    assert isinstance(await hub.coordinator.hold(hold), Done)
    await hub.crash()
    for node in ("n1", "n2"):
        hub.heartbeat(node)

    answer = await hub.ask("n1", "g1")
    assert codes(answer) == ["paused"]
    assert "by ada: being moved" in str(answer)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_a_hold_says_what_it_replaces_and_a_resume_what_still_holds() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    now = hub.clock.now()
    await hub.coordinator.hold(Hold(scope="*", since=now, by="eva", why="fair"))
    first = await hub.coordinator.hold(
        Hold(scope=ORG, since=now, by="ada", why="audit", until=now + timedelta(hours=2))
    )
    again = await hub.coordinator.hold(Hold(scope=ORG, since=now, by="bob", why="longer"))
    resumed = await hub.coordinator.resume(ORG, subject=None, reason="over", who="bob")
    unknown = await hub.coordinator.hold(Hold(scope="o1/nosuch", since=now, by="ada", why="typo"))

    assert isinstance(first, Done)
    assert isinstance(again, Done)
    assert "This replaces the hold: audit, by ada" in again.text
    assert isinstance(resumed, Done)
    assert "the hold was: longer, by bob" in resumed.text
    assert "Still on hold: the whole fleet (fair, by eva" in resumed.text
    assert isinstance(unknown, NotDone)
    assert group_id(ORG, "nosuch") in unknown.text
    await hub.stop()


@in_virtual_time
async def test_a_former_release_that_hangs_neither_stands_for_the_repaired_one_nor_keeps_it_back() -> None:
    hub = Hub(limits=Limits(canary_percent=20, approval=True))
    for number in range(5):
        hub.group(f"g{number}", f"a{number}", f"b{number}")
    await hub.start()
    nodes = [f"{side}{number}" for side in "ab" for number in range(5)]
    await hub.live(*nodes, seconds=12)
    for node in nodes:
        hub.report(node, "ha node waiting")
    await hub.coordinator.approve(approval(hub, ORG))
    assert isinstance(await hub.ask("a0", "g0"), Granted)
    hub.report("a0", "initiated")
    await hub.live(*nodes, seconds=30)

    hub.admin("DELETE", f"/managementpolicies/{NMP}")
    seed.management_policy(hub.exchange, ORG, NMP, manifest="IBM/repaired")
    await hub.live(*nodes, seconds=12)
    assert codes(await hub.ask("a1", "g1")) == ["not-approved"]
    await hub.coordinator.approve(approval(hub, ORG))
    assert isinstance(await hub.ask("a1", "g1"), Granted)
    assert codes(await hub.ask("a2", "g2")) == ["canary"]
    await hub.stop()


@in_virtual_time
async def test_an_allowance_is_used_up_by_the_next_grant_although_that_did_not_need_it() -> None:
    """Otherwise it would open the next closed window, long after the upgrade that it was given for."""
    hub = Hub()
    hub.group("g", "a", "b")
    hub.report("a", "ha node waiting")
    await hub.start()
    now = hub.clock.now()
    allowance = Allowance(
        node=node_id(ORG, "a"), subject=PolicyId(""), since=now, until=now + timedelta(hours=24), by="eva", why="urgent"
    )
    again = replace(allowance, why="more urgent")
    assert isinstance(await hub.coordinator.allow(allowance), Done)
    done = await hub.coordinator.allow(again)
    assert isinstance(done, Done)
    assert "This replaces the allowance by eva" in done.text
    explained = hub.coordinator.explain(node_id(ORG, "a"))
    assert explained is not None
    assert explained.answer.endswith("eva has allowed its next upgrade once, until 2026-11-24 12:00:01Z: more urgent.")

    assert isinstance(await hub.ask("a", "g"), Granted)

    assert hub.coordinator._situation.ledger.allowances == {}  # noqa: SLF001 - no view shows them
    assert [entry.facts["why"] for entry in hub.events("allowance.ended")] == ["its upgrade began without needing it"]
    assert "allowed_by" not in hub.events("lease.granted")[0].facts
    await hub.stop()


@in_virtual_time
async def test_an_approval_for_what_no_one_knows_is_refused() -> None:
    hub = Hub()
    hub.group("g", "a", "b")
    await hub.start()
    approval = Approval(scope="o1/nosuch", kind=Kind.AGENT, subject=UP1, since=hub.clock.now(), by="eva", why="fine")

    refused = await hub.coordinator.approve(approval)

    assert isinstance(refused, NotDone)
    assert refused.text == "o1/nosuch is not known; nothing was changed"
    given = await hub.coordinator.approve(replace(approval, scope="o1/g"))
    assert isinstance(given, Done)
    assert given.text.endswith("may begin in o1/g; no group in o1/g needs an approval ([rules] approval)")
    await hub.stop()


@in_virtual_time
async def test_a_mistyped_policy_is_neither_approved_nor_allowed_and_replaces_nothing() -> None:
    hub = Hub()
    hub.group("g", "a", "b")
    await hub.start()
    mistyped = PolicyId("o1/up11")
    assert isinstance(await hub.coordinator.allow(allowance(hub, "a")), Done)

    refused = [
        await hub.coordinator.allow(replace(allowance(hub, "a"), subject=mistyped)),
        await hub.coordinator.approve(replace(approval(hub, "o1/g"), subject=mistyped)),
    ]

    assert [each.text for each in refused] == ["o1/up11 does not exist (did you mean o1/up1?); nothing was changed"] * 2
    assert all(isinstance(each, NotDone) for each in refused)
    kept = hub.coordinator._situation.ledger.allowances[node_id(ORG, "a")]  # noqa: SLF001 - no view shows them
    assert kept.subject == UP1
    await hub.stop()


@in_virtual_time
async def test_a_policy_that_cannot_be_looked_up_may_be_there_and_is_approved() -> None:
    hub = Hub()
    hub.group("g", "a", "b")
    await hub.start()
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path="/managementpolicies/"))

    assert isinstance(await hub.coordinator.approve(approval(hub, "o1/g")), Done)
    await hub.stop()


@in_virtual_time
async def test_who_waits_for_holds_is_reported_the_command_that_ends_each_of_them() -> None:
    hub = Hub()
    hub.group("g", "a", "b")
    hub.report("a", "ha node waiting")
    await hub.start()
    for scope in ("*", "o1/g", "node:o1/a", "node:o1/b"):
        await hub.coordinator.hold(Hold(scope=scope, since=hub.clock.now(), by="ada", why="audit"))
    assert codes(await hub.ask("a", "g")) == ["paused"]

    explained = hub.coordinator.explain(node_id(ORG, "a"))

    assert explained is not None
    ends = [f"`agbot resume {name} --reason …`" for name in ("'*'", "o1/g", "--node o1/a")]
    assert explained.unblock == f"wait until the hold ends, or run {' and '.join(ends)}"
    await hub.stop()
