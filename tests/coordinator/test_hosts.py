"""Reboots of hosts, over the whole hub on a virtual clock: one lease with all other upgrades."""

from __future__ import annotations

from agbot.coordinator.contract import NotDone
from agbot.coordinator.permission import Answer, Granted
from agbot.exchange.credentials import Credentials
from agbot.rules import host
from agbot.rules.facts import Ask, Node
from agbot.rules.ids import OrgId, group_id, node_id
from agbot.rules.lease import Claim, Kind, State
from agbot.rules.limits import Limits
from agbot.rules.reasons import Cause
from agbot.rules.records import Approval
from agbot.sim.exchange import seed
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time

SUBJECT = host.subject_of(OrgId(ORG))


def question(node: str) -> Ask:
    claim = Claim(holder=node_id(ORG, node), kind=Kind.HOST, subject=SUBJECT)
    return Ask(group=group_id(ORG, "g1"), claim=claim)


async def pre_reboot(hub: Hub, node: str) -> Answer:
    """Ask as the gateway does for a host."""
    name = node_id(ORG, node)

    async def confirm() -> Node:
        seen = await hub.client.node(name, Credentials(identity=name, secret=seed.token_of(node)))
        assert seen is not None
        return seen

    return await hub.coordinator.ask(question(node), confirm)


async def steady_state(hub: Hub, node: str) -> bool:
    """Report as the gateway does for a host; return whether a lease was freed."""
    ended = await hub.coordinator.report_end(question(node), succeeded=True, who=node_id(ORG, node))
    return ended.released


async def started(limits: Limits | None = None) -> Hub:
    hub = Hub(limits=limits or Limits())
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    await hub.live("n1", "n2", "n3", seconds=35)
    return hub


@in_virtual_time
async def test_a_reboot_and_an_agent_upgrade_wait_for_each_other_and_the_holder_may_ask_again() -> None:
    hub = await started()
    first, again = await pre_reboot(hub, "n1"), await pre_reboot(hub, "n1")
    assert isinstance(first, Granted)
    assert isinstance(again, Granted)
    assert again.token == first.token
    assert codes(await pre_reboot(hub, "n2")) == ["lease-held"]
    hub.report("n2", "ha node waiting")
    assert codes(await hub.ask("n2", "g1")) == ["lease-held"]

    assert not await steady_state(hub, "n3"), "it holds no lease"
    assert await steady_state(hub, "n1")
    assert hub.lease("g1").last_end is not None
    assert codes(await hub.ask("n2", "g1")) == ["soaking"], "the rebooted node is to be seen healthy first"
    await hub.live("n1", "n2", "n3", seconds=35)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    assert codes(await pre_reboot(hub, "n3")) == ["lease-held"]
    assert [str(entry.facts["kind"]) for entry in hub.events("lease.granted")] == ["host", "agent"]
    await hub.stop()


@in_virtual_time
async def test_a_host_that_takes_long_keeps_the_lease_while_its_node_is_alive_and_over_a_restart() -> None:
    hub = await started()
    await pre_reboot(hub, "n1")
    await hub.live("n1", "n2", "n3", seconds=1500)
    await hub.crash()
    await hub.live("n1", "n2", "n3", seconds=60)

    assert hub.lease("g1").state is State.HELD
    assert await steady_state(hub, "n1")
    await hub.stop()


@in_virtual_time
async def test_a_host_that_does_not_come_back_becomes_suspect_and_stops_the_reboots_of_its_group() -> None:
    hub = await started(Limits(lease_seconds=300, dead_after_seconds=900))
    await pre_reboot(hub, "n1")
    await hub.live("n2", "n3", seconds=500)
    assert hub.lease("g1").state is State.SUSPECT
    assert "lease-suspect" in codes(await pre_reboot(hub, "n2"))
    await hub.live("n2", "n3", seconds=900)

    end = hub.lease("g1").last_end
    assert end is not None
    assert end.cause is Cause.EXPIRED
    assert codes(await pre_reboot(hub, "n2")) == ["brake"]
    await hub.live("n2", "n3", seconds=300)
    assert codes(await pre_reboot(hub, "n2")) == ["brake"], "no policy lifts it"
    await hub.coordinator.resume("o1/g1", subject=SUBJECT, reason="the disk was replaced", who="ada")
    assert isinstance(await pre_reboot(hub, "n2"), Granted)
    await hub.stop()


@in_virtual_time
async def test_one_that_comes_back_late_ends_its_suspect_lease_by_itself() -> None:
    hub = await started(Limits(lease_seconds=300))
    await pre_reboot(hub, "n1")
    await hub.live("n2", "n3", seconds=600)
    assert hub.lease("g1").state is State.SUSPECT
    hub.heartbeat("n1")

    assert await steady_state(hub, "n1")
    await hub.live("n1", "n2", "n3", seconds=35)
    assert isinstance(await pre_reboot(hub, "n2"), Granted)
    await hub.stop()


@in_virtual_time
async def test_it_needs_available_peers_and_neither_an_approval_nor_a_canary() -> None:
    hub = await started(Limits(approval=True, canary_percent=1.0, min_available=2))
    assert isinstance(await pre_reboot(hub, "n1"), Granted)
    await steady_state(hub, "n1")
    await hub.live("n2", "n3", seconds=400)

    assert codes(await pre_reboot(hub, "n2")) == ["soaking", "peers-unavailable"]
    now = hub.clock.now()
    approval = Approval(scope="o1/g1", kind=Kind.HOST, subject=SUBJECT, since=now, by="ada", why="why not")
    assert isinstance(await hub.coordinator.approve(approval), NotDone)
    await hub.stop()


@in_virtual_time
async def test_a_node_that_has_asked_for_its_host_has_asked_here_also_after_a_restart() -> None:
    hub = await started()
    await pre_reboot(hub, "n1")
    await pre_reboot(hub, "n2")
    await hub.live("n1", "n2", "n3", seconds=35)
    await hub.crash()
    await hub.live("n1", "n2", "n3", seconds=35)

    assert list(hub.coordinator.overview().never_asked_named) == [node_id(ORG, "n3")]
    await hub.stop()


@in_virtual_time
async def test_the_rules_on_a_reboot_name_no_policy_because_a_host_follows_none() -> None:
    hub = await started()
    await pre_reboot(hub, "n1")
    await pre_reboot(hub, "n2")
    hub.report("n3", "ha node waiting")
    await hub.ask("n3", "g1")

    named = {}
    for node in ("n2", "n3"):
        found = hub.coordinator.explain(node_id(ORG, node))
        assert found is not None
        named[node] = {each.rule for each in found.rules}
    assert named["n3"] - named["n2"] == {"policy"}
    await hub.stop()


async def test_who_has_never_asked_is_counted_again_once_an_organisation_was_read() -> None:
    """A probe during the start sees no member; a second later that would read as if all of them had asked."""
    hub = Hub()
    hub.group("g1", "n1", "n2")
    assert hub.coordinator.overview().never_asked == 0

    await hub.start()

    assert hub.coordinator.overview().never_asked == 2
