"""What an operator names is known, or answered with what is meant; what was permitted can be taken back."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from datetime import timedelta

from agbot.coordinator.contract import Done, NotDone
from agbot.coordinator.listings import AwaitedApproval
from agbot.rules import ids
from agbot.rules.ids import GroupId, node_id, policy_id
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.rules.records import Allowance, Approval, Hold
from tests.support.hub import NMP, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

UP1 = policy_id(ORG, NMP)


@in_virtual_time
async def test_a_name_that_is_not_known_is_answered_with_the_nearest() -> None:
    hub = Hub()
    hub.group("pumps", "north", "south")
    await hub.start()
    since = hub.clock.now()
    mistyped = Allowance(node=node_id(ORG, "suoth"), subject=UP1, since=since, until=since, by="eva", why="x")
    orders = {
        "no HA group o1/pumsp is known (did you mean o1/pumps?)": hub.coordinator.release(
            GroupId("o1/pumsp"), token=None, reason="x", who="eva"
        ),
        "organisation pumps is not known (did you mean o1/pumps?)": hub.coordinator.hold(
            Hold(scope="pumps", since=since, by="eva", why="x")
        ),
        "no node o1/nord is known (did you mean o1/north?)": hub.coordinator.hold(
            Hold(scope="node:o1/nord", since=since, by="eva", why="x")
        ),
        "no node o1/suoth is known (did you mean o1/south?)": hub.coordinator.allow(mistyped),
        "organisation o11 is not known (did you mean o1?)": hub.coordinator.resume(
            "o11", subject=None, reason="x", who="eva"
        ),
    }

    for expected, order in orders.items():
        assert await order == NotDone(text=f"{expected}; nothing was changed", not_found=True)
    await hub.stop()


@in_virtual_time
async def test_a_node_named_as_a_group_or_a_group_as_a_node_is_said_to_be_that_and_no_wider_name_is_suggested() -> None:
    hub = Hub()
    hub.group("kitchen", "kitchen-1", "kitchen-2")
    await hub.start()
    since, one = hub.clock.now(), "o1/kitchen-1"
    approval = Approval(scope=one, kind=Kind.AGENT, subject=UP1, since=since, by="eva", why="x")
    allowance = Allowance(node=node_id(ORG, "kitchen"), subject=UP1, since=since, until=since, by="eva", why="x")
    node = (
        "o1/kitchen-1 is a node of o1/kitchen, not an HA group: `agbot explain o1/kitchen-1` shows it, `agbot hold` and "
        "`agbot resume` take --node o1/kitchen-1, and `agbot allow o1/kitchen-1` is for its next upgrade; nothing was changed"
    )
    group = (
        "o1/kitchen is an HA group, not a node: `agbot status o1/kitchen` shows it and its members; nothing was changed"
    )

    for expected, order in (
        (node, hub.coordinator.hold(Hold(scope=one, since=since, by="eva", why="x"))),
        (node, hub.coordinator.approve(approval)),
        (node, hub.coordinator.resume(one, subject=None, reason="x", who="eva")),
        (node, hub.coordinator.release(GroupId(one), token=None, reason="x", who="eva")),
        (group, hub.coordinator.allow(allowance)),
        (group, hub.coordinator.hold(Hold(scope="node:o1/kitchen", since=since, by="eva", why="x"))),
    ):
        assert await order == NotDone(text=expected, not_found=True)
    await hub.stop()


@in_virtual_time
async def test_an_allowance_and_an_approval_can_be_withdrawn_and_are_then_worth_nothing() -> None:
    hub = Hub(limits=Limits(approval=True))
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.heartbeat("n2")
    hub.report("n1", "ha node waiting")
    node, why = node_id(ORG, "n1"), {"reason": "changed our mind", "who": "eva"}
    now = hub.clock.now()
    allowance = Allowance(node=node, subject=UP1, since=now, until=now + timedelta(hours=1), by="ada", why="urgent")
    approval = Approval(scope="o1/g1", kind=Kind.AGENT, subject=UP1, since=now, by="ada", why="tested")
    assert isinstance(await hub.coordinator.allow(allowance), Done)
    assert isinstance(await hub.coordinator.approve(approval), Done)

    taken = [
        await hub.coordinator.withdraw_allowance(node, **why),
        await hub.coordinator.withdraw_approval("o1/g1", Kind.AGENT, UP1, **why),
    ]

    assert all(isinstance(each, Done) and "it was given by ada at" in each.text for each in taken)
    assert codes(await hub.ask("n1", "g1")) == ["not-approved"]
    ended, withdrawn = hub.events("allowance.ended") + hub.events("approval.withdrawn")
    assert ended.read().in_words() == f"the allowance of {ended.node} has been withdrawn"
    assert [(each.who, each.facts["why"]) for each in (ended, withdrawn)] == [("eva", "changed our mind")] * 2
    again = await hub.coordinator.withdraw_allowance(node, **why)
    assert again == NotDone(text="o1/n1 has no allowance; nothing was changed")
    elsewhere = await hub.coordinator.withdraw_approval("*", Kind.AGENT, UP1, **why)
    assert "is not approved in the whole fleet" in elsewhere.text
    await hub.stop()


@in_virtual_time
async def test_an_approval_is_awaited_while_a_member_waits_for_it_and_no_longer_once_it_is_given() -> None:
    hub = Hub(limits=Limits(approval=True))
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.heartbeat("n2")
    hub.report("n1", "ha node waiting")
    assert hub.coordinator.orders().awaited == []
    assert codes(await hub.ask("n1", "g1")) == ["not-approved"]

    awaited = AwaitedApproval(kind=Kind.AGENT, subject=UP1, groups=1, example=GroupId("o1/g1"))
    assert hub.coordinator.orders().awaited == [awaited]
    elsewhere = Approval(scope="o1/g2", kind=Kind.AGENT, subject=UP1, since=hub.clock.now(), by="ada", why="tested")
    await hub.coordinator.approve(elsewhere)
    assert hub.coordinator.orders().awaited == [awaited]
    await hub.coordinator.approve(replace(elsewhere, scope="o1/g1"))
    assert hub.coordinator.orders().awaited == [], "although n1 has not asked again"
    await hub.stop()


@in_virtual_time
async def test_what_is_not_there_to_end_is_refused_and_only_an_unknown_name_is_not_found() -> None:
    hub = Hub()
    hub.group("g1", "n1", "n2")
    await hub.start()
    why = {"reason": "x", "who": "eva"}

    def orders(group: str, node: str) -> Mapping[str, Awaitable[Done | NotDone]]:
        coordinator = hub.coordinator
        return {
            "release": coordinator.release(GroupId(group), token=None, **why),
            "end a hold": coordinator.resume(group, subject=None, **why),
            "lift brakes": coordinator.resume(group, subject=UP1, **why),
            "end rests": coordinator.resume(f"{ids.REST_SCOPE}{group}", subject=None, **why),
            "withdraw an allowance": coordinator.withdraw_allowance(node_id(ORG, node), **why),
            "withdraw an approval": coordinator.withdraw_approval(group, Kind.AGENT, UP1, **why),
        }

    for is_unknown, given in ((False, orders("o1/g1", "n1")), (True, orders("o1/gl", "nl"))):
        for order, answer in given.items():
            done = await answer
            assert isinstance(done, NotDone), order
            assert done.not_found is is_unknown, (order, done.text)
            assert "nothing was changed" in done.text
    await hub.stop()


@in_virtual_time
async def test_the_end_of_a_nodes_hold_names_those_of_its_group_and_organisation_that_stay() -> None:
    hub = Hub()
    hub.group("pumps", "north", "south")
    await hub.start()
    now, node = hub.clock.now(), f"node:{ORG}/north"
    for scope in (node, f"{ORG}/pumps", ORG, f"node:{ORG}/south"):
        await hub.coordinator.hold(Hold(scope=scope, since=now, by="eva", why="x"))

    of_node = await hub.coordinator.resume(node, subject=None, reason="over", who="eva")
    of_org = await hub.coordinator.resume(ORG, subject=None, reason="over", who="eva")

    assert isinstance(of_node, Done)
    assert isinstance(of_org, Done)
    assert re.findall(r"(\S+) \(x, by", of_node.text) == [f"{ORG}/pumps", ORG]
    assert f"node {ORG}/south (x, by" in of_org.text
    await hub.stop()
