"""Scenarios of a hub with the guard: triggers in the agbot's database decide its upgrades.

See `scenarios`.
"""

from __future__ import annotations

from dataclasses import replace

from agbot.sim.fleet import quick
from agbot.sim.links import Kind
from agbot.sim.stage import SERVICE_NEW, SERVICE_OLD, Scenario, Stage

_TURN_SECONDS = 900.0
_SLOW = replace(quick(), install_seconds=(60.0, 90.0))
"""Long enough for the agbot to try several times meanwhile."""


async def _guarded(stage: Stage) -> None:
    await stage.deploy(SERVICE_OLD)
    await stage.clock.sleep(30.0)
    stage.publish()
    holder = await stage.wait_for_holder()
    if holder is not None:
        stage.cue(f"{holder.name} upgrades; the agbot wants to upgrade the service of every member, by itself")
        stage.redeploy(SERVICE_NEW)
    seconds = _TURN_SECONDS * len(stage.nodes)
    await stage.wait("the new service on every member", lambda: stage.serve(SERVICE_NEW), seconds)


def _services_waited(stage: Stage) -> list[str]:
    ended = next((one.ended_at for one in stage.begun() if stage.holder and one.node == stage.holder.name), None)
    early = [one.node for one in stage.begun(Kind.SERVICE) if ended is None or one.began_at < ended]
    return [*stage.one_at_a_time(), *([f"the service of {early[0]} was not kept waiting"] if early else [])]


GUARDED = Scenario(
    name="guarded",
    sentence=(
        "An unmodified agbot begins service upgrades by itself; the guard in its PostgreSQL keeps them waiting "
        "while a member upgrades its agent, then they go on by themselves."
    ),
    play=_guarded,
    expect=_services_waited,
    habits=_SLOW,
    needs_agbot=True,
)
