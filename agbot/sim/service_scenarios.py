"""Scenarios of service upgrades, each in a group with one deployment policy. See `scenarios`."""

from __future__ import annotations

from agbot.sim.fleet import quick
from agbot.sim.habits import Outcome
from agbot.sim.links import Kind
from agbot.sim.stage import SERVICE_NEW, SERVICE_OLD, Scenario, Stage

_TURN_SECONDS = 300.0
"""Long enough for one member and the rest after it."""

_LATEST = "1.2.0"


async def _everywhere(stage: Stage, version: str) -> None:
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait(f"service {version} on every member", lambda: stage.serve(version), seconds)


async def _rollout(stage: Stage) -> None:
    await stage.deploy(SERVICE_OLD)
    stage.redeploy(SERVICE_NEW)
    await _everywhere(stage, SERVICE_NEW)


async def _bad(stage: Stage, outcome: Outcome, *versions: str) -> None:
    await stage.deploy(SERVICE_OLD)
    for node in stage.nodes:
        node.services.outcomes[SERVICE_NEW] = outcome
    stage.redeploy(*versions)
    await stage.wait_for_holder()
    await stage.clock.sleep(900.0)


async def _never_starts(stage: Stage) -> None:
    await _bad(stage, Outcome.NEVER_STARTS, SERVICE_NEW)


async def _crashes(stage: Stage) -> None:
    await _bad(stage, Outcome.CRASHES, SERVICE_NEW)


async def _falls_back(stage: Stage) -> None:
    await _bad(stage, Outcome.NEVER_STARTS, SERVICE_NEW, SERVICE_OLD)


def _only_one_went(stage: Stage) -> list[str]:
    went = {one.node for one in stage.begun(Kind.SERVICE)}
    rest = stage.others()
    wrong = [] if len(went) == 1 else [f"{len(went)} members upgraded, not 1: {', '.join(sorted(went))}"]
    return wrong if stage.serve(SERVICE_OLD, rest) else [*wrong, "the others no longer run the old version"]


async def _dies(stage: Stage) -> None:
    await stage.deploy(SERVICE_OLD)
    stage.redeploy(SERVICE_NEW)
    holder = await stage.wait_for_holder()
    if holder is not None:
        stage.cue(f"{holder.name} dies after its agreement was cancelled")
        holder.die()
        rest = stage.others()
        await stage.wait("the new service on the others", lambda: stage.serve(SERVICE_NEW, rest), 2400.0)
        holder.come_back()
        await _everywhere(stage, SERVICE_NEW)


async def _agbot_restarts(stage: Stage) -> None:
    await stage.deploy(SERVICE_OLD)
    stage.redeploy(SERVICE_NEW)
    if await stage.wait_for_holder() is not None:
        stage.cue("the agbot restarts during the upgrade")
        stage.fleet.agbot.stop()
        await stage.clock.sleep(30.0)
        stage.fleet.agbot.start()
    await _everywhere(stage, SERVICE_NEW)


async def _twice(stage: Stage) -> None:
    await stage.deploy(SERVICE_OLD)
    stage.redeploy(SERVICE_NEW)
    await stage.wait_for_holder()
    stage.redeploy(_LATEST)
    await _everywhere(stage, _LATEST)


SERVICE_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="service-rollout",
        sentence="A new service reaches every member, one at a time, with a rest in between.",
        play=_rollout,
        habits=quick(),
        needs_agbot=True,
        minutes=15.0,
    ),
    Scenario(
        name="service-never-starts",
        sentence="A release whose containers never start stops at the first member.",
        play=_never_starts,
        expect=_only_one_went,
        habits=quick(),
        needs_agbot=True,
        minutes=20.0,
    ),
    Scenario(
        name="service-crashes",
        sentence="A release that crashes 20 s after its start does not reach the second member.",
        play=_crashes,
        expect=_only_one_went,
        habits=quick(),
        needs_agbot=True,
        minutes=20.0,
    ),
    Scenario(
        name="service-falls-back",
        sentence="On the first member, a release that fails is replaced by the next lower version; the rollout stops there.",
        play=_falls_back,
        expect=_only_one_went,
        habits=quick(),
        needs_agbot=True,
        minutes=20.0,
    ),
    Scenario(
        name="service-node-dies",
        sentence="A member dies after its agreement was cancelled; the others do not wait for it indefinitely.",
        play=_dies,
        habits=quick(),
        needs_agbot=True,
        minutes=60.0,
    ),
    Scenario(
        name="service-agbot-restarts",
        sentence="The agbot restarts in the middle of an upgrade and continues it.",
        play=_agbot_restarts,
        habits=quick(),
        needs_agbot=True,
        minutes=20.0,
    ),
    Scenario(
        name="service-published-twice",
        sentence="The policy is published again in the middle of an upgrade; every member ends with the last version.",
        play=_twice,
        habits=quick(),
        needs_agbot=True,
        minutes=30.0,
    ),
)
