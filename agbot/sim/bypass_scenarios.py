"""Stories about upgrades that nobody asked the coordinator for: of an agent that asks the agbot itself, and of the agbot. See `scenarios`.

Who bypasses cannot be held back. What must come of it is that nobody else goes meanwhile.
"""

from __future__ import annotations

from dataclasses import replace

from agbot.sim.fleet import quick
from agbot.sim.links import Kind
from agbot.sim.node import Asks
from agbot.sim.stage import NEW, SERVICE_NEW, SERVICE_OLD, Scenario, Stage

_TURN_SECONDS = 900.0
_HASTY = replace(quick(), ask_seconds=10.0, heartbeat_seconds=10.0, install_seconds=(60.0, 90.0))
"""Of the node that bypasses: it is under way before anybody else asks for the first time."""


async def _bypassing(stage: Stage) -> None:
    await _with_one_that_asks(stage, Asks.AGBOT)


async def _unaware(stage: Stage) -> None:
    await _with_one_that_asks(stage, Asks.NOBODY)


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
    stage.cue(f"{node.name} upgrades without having asked here")
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the new agent on every member", lambda: stage.are_at(NEW), seconds)


async def _unasked_service(stage: Stage) -> None:
    await stage.deploy(SERVICE_OLD)
    stage.fleet.agbot.unasked.add(stage.policy)
    await stage.clock.sleep(30.0)
    stage.redeploy(SERVICE_NEW)
    holder = await stage.wait_for_holder()
    if holder is not None:
        stage.cue(f"the agbot has begun with {holder.name}, unasked")
    stage.publish()
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the new service on every member", lambda: stage.serve(SERVICE_NEW), seconds)
    await stage.wait("the new agent on every member", lambda: stage.are_at(NEW), seconds)


def _one_at_a_time(stage: Stage) -> list[str]:
    most = stage.fleet.observer.max_concurrent_by_group[stage.name]
    return [] if most == 1 else [f"at most {most} members were down at once, not 1"]


def _bypasser_went_first(stage: Stage) -> list[str]:
    first = stage.begun()[0].node if stage.begun() else "nobody"
    mine = stage.holder.name if stage.holder else ""
    return [*_one_at_a_time(stage), *([] if first == mine else [f"{first} went first, not {mine}"])]


def _services_went_first(stage: Stage) -> list[str]:
    services = [one.ended_at for one in stage.begun(Kind.SERVICE) if one.ended_at]
    early = [one.node for one in stage.begun() if services and one.began_at < max(services)]
    return [*_one_at_a_time(stage), *([f"{early[0]} upgraded its agent in between"] if early else [])]


BYPASS_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="bypassing",
        sentence="A member's agent asks the agbot itself and not here; the others wait until it is through.",
        play=_bypassing,
        expect=_bypasser_went_first,
        members=2,
        habits=quick(),
        needs_agbot=True,
    ),
    Scenario(
        name="unaware",
        sentence="A member's agent does not know of its group and asks nobody; the others wait until it is through.",
        play=_unaware,
        expect=_bypasser_went_first,
        members=2,
        habits=quick(),
    ),
    Scenario(
        name="service-unasked",
        sentence="The agbot upgrades a service without a question; agents wait until it has been through all members.",
        play=_unasked_service,
        expect=_services_went_first,
        habits=quick(),
        needs_agbot=True,
    ),
)
