"""Scenarios of agent upgrades, each in one HA group: what happens, and what the result must be.

They run in the demo and in tests. A scenario acts on the member that gets permission first, so it
is valid for every order of turns.
"""

from __future__ import annotations

from dataclasses import replace

from agbot.sim.episodes import Episode, Excuse
from agbot.sim.fleet import quick
from agbot.sim.habits import Fate, Habits
from agbot.sim.stage import FIXED, NEW, SERVICE_NEW, SERVICE_OLD, Scenario, Stage

_TURN_SECONDS = 900.0
"""Long enough for one member: question, cron, install."""

_PROOF_SECONDS = 9000.0
"""Long enough for the coordinator to examine a lease that expires at default settings (two hours)
and was renewed by heartbeats alone."""

_QUICK = quick()


async def _rollout(stage: Stage) -> None:
    stage.publish()
    cron_seconds = stage.nodes[0].habits.cron_seconds
    seconds = (_TURN_SECONDS + cron_seconds) * len(stage.nodes)
    await stage.wait("the new agent on every member", lambda: stage.are_at(NEW), seconds)


async def _dead_node(stage: Stage) -> None:
    stage.publish()
    holder = await stage.wait_for_holder()
    if holder is not None:
        stage.cue(f"{holder.name} dies with its permission")
        holder.die()
        await stage.clock.sleep(2400.0)


def _stopped_after_first(stage: Stage) -> list[str]:
    begun = [one.node for one in stage.begun()]
    return [] if len(begun) == 1 else [f"{len(begun)} members upgraded, not 1: {', '.join(begun)}"]


async def _bad_release(stage: Stage) -> None:
    for node in stage.nodes:
        node.fate = Fate.ROLLS_BACK
    stage.publish()
    await stage.wait("the first failure", lambda: any(_ended(one) for one in stage.begun()), _TURN_SECONDS)
    await stage.clock.sleep(900.0)
    if _stopped_after_first(stage):
        stage.missed.append("the brake did not stop a second member")
    for node in stage.nodes:
        node.fate = Fate.SUCCEEDS
    stage.publish(FIXED)
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the repaired agent on every member", lambda: stage.are_at(FIXED), seconds)


def _bad_version_went_once(stage: Stage) -> list[str]:
    """Check what was installed, not only how many members upgraded.

    A waiting member keeps asking under the bad download for a while.
    """
    victims = [node.name for node in stage.nodes if NEW in node.installs]
    wrong = [] if len(victims) == 1 else [f"{NEW} was installed on {len(victims)} members, not 1: {', '.join(victims)}"]
    return [*stage.one_at_a_time(), *wrong]


def _ended(episode: Episode) -> bool:
    return episode.ended_at is not None


async def _joining(stage: Stage) -> None:
    joining = await stage.fleet.add_node(
        stage.org,
        f"{stage.group}-late",
        properties={"group": stage.group},
        habits=replace(_QUICK, install_seconds=(400.0, 400.0)),
    )
    stage.publish()
    await stage.wait("the late node's own upgrade", lambda: joining.down_for is not None, _TURN_SECONDS)
    stage.cue(f"{joining.name} joins while its upgrade is under way")
    stage.fleet.join(stage.org, stage.group, joining.spec.id)
    stage.holder = joining
    stage.nodes.append(joining)
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the new agent on every member", lambda: stage.are_at(NEW), seconds)


def _was_deferred(stage: Stage) -> list[str]:
    late = [one for one in stage.begun() if stage.holder is not None and one.node == stage.holder.name]
    good = [one for one in late if one.excuse is Excuse.DEFERRED and one.how == "successful"]
    return [] if good else ["the node that joined did not finish as a deferred one"]


async def _offline_peer(stage: Stage) -> None:
    await stage.deploy(SERVICE_OLD)
    here, peer = stage.nodes
    stage.cue(f"{peer.name} goes offline")
    peer.die()
    await stage.clock.sleep(420.0)
    stage.cue("its agreement is cancelled by node health")
    await stage.fleet.agbot.drop_agreements(peer.name)
    stage.publish()
    stage.redeploy(SERVICE_NEW)
    await stage.wait("the new service", lambda: stage.serve(SERVICE_NEW, [here]), 300.0)
    await stage.clock.sleep(300.0)
    if stage.begun():
        stage.missed.append("the agent upgrade did not wait for the offline peer")
    stage.cue(f"{peer.name} is back")
    peer.come_back()
    stage.fleet.agbot.take_up(peer.name)
    await stage.wait("the new service on both", lambda: stage.serve(SERVICE_NEW, [here, peer]), 300.0)
    await stage.wait("the new agent on both", lambda: stage.are_at(NEW), 4 * _TURN_SECONDS)


async def _deleted_node(stage: Stage) -> None:
    stage.publish()
    holder = await stage.wait_for_holder()
    if holder is not None:
        stage.cue(f"{holder.name} is deleted from the Exchange")
        stage.fleet.delete_node(holder)
        await _others_follow(stage)


async def _unregistered(stage: Stage) -> None:
    stage.publish()
    holder = await stage.wait_for_holder()
    if holder is not None:
        stage.cue(f"{holder.name} is unregistered")
        await holder.unregister()
        await _others_follow(stage)


async def _others_follow(stage: Stage) -> None:
    rest = stage.others()
    seconds = _TURN_SECONDS * len(rest) + 600.0
    await stage.wait("the new agent on the others", lambda: stage.are_at(NEW, rest), seconds)


async def _policy_deleted(stage: Stage) -> None:
    stage.publish()
    holder = await stage.wait_for_holder()
    if holder is None:
        return
    stage.cue("the policy is deleted")
    stage.fleet.delete_nmp(stage.org, stage.nmp)
    await stage.wait("the end of the holder's upgrade", lambda: holder.down_for is None, 300.0)
    if stage.are_at(NEW, [holder]):
        stage.missed.append("the holder installed before it learned of the deletion")
    await stage.clock.sleep(60.0)
    stage.publish(FIXED)
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the next policy's agent on every member", lambda: stage.are_at(FIXED), seconds)


async def _recreated(stage: Stage) -> None:
    stage.publish()
    if await stage.wait_for_holder() is None:
        return
    stage.cue("the group is deleted and created again")
    stage.fleet.delete_group(stage.org, stage.group)
    stage.fleet.create_group(stage.org, stage.group, [node.spec.id for node in stage.nodes])
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the new agent on every member", lambda: stage.are_at(NEW), seconds)


async def _lost_report(stage: Stage) -> None:
    for node in stage.nodes:
        node.fate = Fate.LOSES_REPORT
    stage.publish()
    if await stage.wait_for_holder() is not None:
        for node in stage.others():
            node.fate = Fate.SUCCEEDS
        seconds = _PROOF_SECONDS + _TURN_SECONDS * len(stage.nodes)
        await stage.wait("the new agent on every member", lambda: stage.are_at(NEW), seconds)


def _cluster_went_alone(stage: Stage) -> list[str]:
    excused = [one for one in stage.begun() if one.excuse is Excuse.CLUSTER and one.how == "successful"]
    return [] if excused else ["the cluster node did not upgrade by itself"]


AGENT_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="rollout",
        sentence="A new agent reaches every member, one at a time.",
        play=_rollout,
        expect=Stage.one_at_a_time,
    ),
    Scenario(
        name="dead-node",
        sentence="A member dies with its permission; the others keep the old agent, and no other member is put at risk.",
        play=_dead_node,
        expect=_stopped_after_first,
        habits=replace(_QUICK, cron_seconds=300.0, cron_phase=(0.9, 1.0)),
        minutes=50.0,
    ),
    Scenario(
        name="bad-release",
        sentence="An upgrade that fails stops at the first member; the repaired version reaches all.",
        play=_bad_release,
        expect=_bad_version_went_once,
        habits=replace(_QUICK, revision_seconds=(30.0, 150.0)),
        minutes=45.0,
    ),
    Scenario(
        name="joining",
        sentence="A node joins while its own upgrade is under way: it finishes first and counts as a member from then on.",
        play=_joining,
        expect=_was_deferred,
        members=2,
        habits=_QUICK,
    ),
    Scenario(
        name="offline-peer",
        sentence="With its only peer offline, a member keeps its agent, but gets its new service at once.",
        play=_offline_peer,
        members=2,
        habits=_QUICK,
        needs_agbot=True,
    ),
    Scenario(
        name="cluster-node",
        sentence="A cluster node upgrades by itself; the devices of its group still take turns.",
        play=_rollout,
        expect=_cluster_went_alone,
        members=2,
        cluster_members=1,
        habits=_QUICK,
    ),
    Scenario(
        name="deleted-node",
        sentence="The member that holds the permission is deleted; the others continue.",
        play=_deleted_node,
        habits=_QUICK,
    ),
    Scenario(
        name="unregistered",
        sentence="The member that holds the permission is unregistered; the others continue.",
        play=_unregistered,
        habits=_QUICK,
    ),
    Scenario(
        name="policy-deleted",
        sentence="The policy is deleted while a member holds the permission; the lease is free for the next policy.",
        play=_policy_deleted,
        expect=Stage.one_at_a_time,
        # cron is late enough for the holder to learn of the deletion first
        habits=replace(_QUICK, cron_seconds=600.0, cron_phase=(0.9, 1.0), heartbeat_seconds=20.0),
        minutes=60.0,
    ),
    Scenario(
        name="recreated-group",
        sentence="The group is deleted and created again in the middle of an upgrade; every member gets its turn.",
        play=_recreated,
        habits=_QUICK,
    ),
    Scenario(
        name="slow-cron",
        sentence="A node takes 20 minutes to use its permission; it keeps it as long as it sends heartbeats.",
        play=_rollout,
        expect=Stage.one_at_a_time,
        members=2,
        habits=replace(Habits(), cron_seconds=1200.0, cron_phase=(0.9, 1.0)),
        minutes=60.0,
    ),
    Scenario(
        name="lost-report",
        sentence="A node's success is never reported; its agent's version proves it, and the group continues.",
        play=_lost_report,
        expect=Stage.one_at_a_time,
        habits=_QUICK,
        minutes=150.0,
    ),
)
"""All of them begin with agents of version `stage.OLD`."""
