"""Scenarios of upgrades that begin without a question to the coordinator. See `scenarios`.

Either an agent asks the agbot itself, or the agbot begins an upgrade. A bypass cannot be stopped,
but no other member may upgrade at the same time.
"""

from __future__ import annotations

from dataclasses import replace

from agbot.sim.fleet import quick
from agbot.sim.links import Kind
from agbot.sim.machine import Asks
from agbot.sim.stage import NEW, SERVICE_NEW, SERVICE_OLD, Scenario, Stage

_TURN_SECONDS = 900.0
_HASTY = replace(quick(), ask_seconds=10.0, heartbeat_seconds=10.0, install_seconds=(60.0, 90.0))
"""The habits of the node that bypasses: its upgrade begins before any other node asks."""


async def _bypassing(stage: Stage) -> None:
    await _with_one_that_asks(stage, Asks.AGBOT)


async def _unaware(stage: Stage) -> None:
    await _with_one_that_asks(stage, Asks.NO_ONE)


async def _with_one_that_asks(stage: Stage, whom: Asks) -> None:
    properties = {"group": stage.group}
    node = await stage.fleet.add_node(
        stage.org, f"{stage.group}-bypass", properties=properties, habits=_HASTY, asks=whom
    )
    stage.fleet.join(stage.org, stage.group, node.spec.id)
    stage.nodes.append(node)
    stage.holder = node
    await stage.clock.sleep(30.0)
    stage.publish()
    await stage.wait("the upgrade of the node that bypasses", lambda: node.down_for is not None, _TURN_SECONDS)
    stage.cue(f"{node.name} upgrades without a question to the coordinator")
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the new agent on every member", lambda: stage.are_at(NEW), seconds)


async def _unasked_service(stage: Stage) -> None:
    await stage.deploy(SERVICE_OLD)
    stage.fleet.agbot.unasked.add(stage.policy)
    await stage.clock.sleep(30.0)
    stage.redeploy(SERVICE_NEW)
    holder = await stage.wait_for_holder()
    if holder is not None:
        stage.cue(f"the agbot has begun with {holder.name}, without a question")
    stage.publish()
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the new service on every member", lambda: stage.serve(SERVICE_NEW), seconds)
    await stage.wait("the new agent on every member", lambda: stage.are_at(NEW), seconds)


def _bypasser_went_first(stage: Stage) -> list[str]:
    first = stage.begun()[0].node if stage.begun() else "no node"
    mine = stage.holder.name if stage.holder else ""
    return [*stage.one_at_a_time(), *([] if first == mine else [f"{first} went first, not {mine}"])]


def _services_went_first(stage: Stage) -> list[str]:
    services = [one.ended_at for one in stage.begun(Kind.SERVICE) if one.ended_at]
    early = [one.node for one in stage.begun() if services and one.began_at < max(services)]
    return [*stage.one_at_a_time(), *([f"{early[0]} upgraded its agent in between"] if early else [])]


BYPASS_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="bypassing",
        sentence="A member's agent asks the agbot instead of the coordinator; the others wait until its upgrade ends.",
        play=_bypassing,
        expect=_bypasser_went_first,
        members=2,
        habits=quick(),
        needs_agbot=True,
    ),
    Scenario(
        name="unaware",
        sentence="A member's agent does not know of its group and does not ask; the others wait until its upgrade ends.",
        play=_unaware,
        expect=_bypasser_went_first,
        members=2,
        habits=quick(),
    ),
    Scenario(
        name="service-unasked",
        sentence="The agbot upgrades a service without a question; agents wait until all members have the new service.",
        play=_unasked_service,
        expect=_services_went_first,
        habits=quick(),
        needs_agbot=True,
    ),
)
