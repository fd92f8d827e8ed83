"""What the coordinator computes holds in the triggers without a coordinator, for as long as it is known to be right.

Holds, windows, brakes and rests are in `test_living`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from agbot.coordinator.contract import Done
from agbot.guard.link import Unjudged
from agbot.rules.limits import Limits
from agbot.rules.records import Hold
from agbot.settings.model import GuardSettings
from agbot.sim.agbot_database import AgbotDatabase
from agbot.sim.agbot_rows import AgentRow
from tests.support.examples import some
from tests.support.guarded import Guarded
from tests.support.guarded_living import guarded_hub
from tests.support.hub import NMP, ORG, Hub
from tests.support.virtual_time import in_virtual_time

YEAR = 365 * 24 * 3600
CYCLE = 3.0


def agent(node: str, group: str = "g1") -> AgentRow:
    return AgentRow(org=ORG, group=group, node=node, nmp=NMP)


async def granted(agbot: AgbotDatabase, row: AgentRow, within: float = 120.0) -> None:
    """Let an agent ask until it has its yes."""
    for _ in range(int(within / CYCLE)):
        if agbot.claim_agent(row):
            return
        await asyncio.sleep(CYCLE)
    pytest.fail(f"{row} is kept waiting")


async def nobody_first(_hub: Hub, _agbot: AgbotDatabase) -> None:
    """Nothing has to be done for a reason that holds for the first one."""


async def another_group_goes(_hub: Hub, agbot: AgbotDatabase) -> None:
    """Let a member of the other group have its lease."""
    await granted(agbot, agent("n3", "g2"))


async def another_member_goes_before(hub: Hub, _agbot: AgbotDatabase) -> None:
    """Let the member that comes first in the order wait, and be able to go when it asks again, at the gateway."""
    now = hub.clock.now()
    assert isinstance(await hub.coordinator.hold(Hold(scope=ORG, since=now, by="ada", why="a moment")), Done)
    await hub.ask("n1", "g1")
    assert isinstance(await hub.coordinator.resume(ORG, subject=None, reason="over", who="ada"), Done)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One reason to wait, and what is known of it ahead."""

    limits: Limits
    comes: Callable[[Hub, AgbotDatabase], Awaitable[None]]
    code: str
    about: tuple[str, str, str]
    """Kind, subject and node of the gate; empty: it is about each."""
    known: tuple[float, float]
    """For how long it is known to be right, in seconds: from, to."""


A_MINUTE = (1.0, 60.0)
"""A reason that may end at any time."""
CASES = {
    "approval": Case(
        limits=Limits(approval=True),
        comes=nobody_first,
        code="not-approved",
        about=("agent", f"{ORG}/{NMP}", ""),
        known=(YEAR, 100 * YEAR),
    ),
    "pace": Case(
        limits=Limits(max_groups_in_org=1),
        comes=another_group_goes,
        code="paced",
        about=("", "", ""),
        known=A_MINUTE,
    ),
    "canary": Case(
        limits=Limits(canary_percent=50.0),
        comes=another_group_goes,
        code="canary",
        about=("agent", f"{ORG}/{NMP}", ""),
        known=A_MINUTE,
    ),
    "order": Case(
        limits=Limits(order="name"),
        comes=another_member_goes_before,
        code="turn",
        about=("agent", f"{ORG}/{NMP}", f"{ORG}/n2"),
        known=A_MINUTE,
    ),
}


@pytest.mark.parametrize("case", some(CASES.values(), every=2), ids=CASES)
@in_virtual_time
async def test_a_reason_is_written_with_its_time_and_afterwards_the_setting_decides(hub: Guarded, case: Case) -> None:
    hub.install()
    async with guarded_hub(hub, case.limits) as (living, agbot):
        living.group("g1", "n1", "n2")
        living.group("g2", "n3", "n4")
        await living.live("n1", "n2", "n3", "n4", seconds=15)
        await case.comes(living, agbot)
        assert not agbot.claim_agent(agent("n2"))
        await asyncio.sleep(CYCLE)
        gates = hub.read(
            "SELECT kind, subject, node, extract(epoch FROM known_until - now())::float8 FROM agbot_ha.guard_gate "
            "WHERE scope = %s AND verdict = 'wait' AND code = %s",
            f"{ORG}/g1",
            case.code,
        )
        assert [(kind, subject, node) for kind, subject, node, _ in gates] == [case.about]
        assert case.known[0] < gates[0][-1] <= case.known[1]

        await living._cancel()  # noqa: SLF001 - the coordinator is gone
        hub.read("UPDATE agbot_ha.guard_setting SET judged_until = now(), agents_without_leader = 'go'")
        assert not agbot.claim_agent(agent("n2")), "it is known to be right, whatever the setting is"
        assert hub.outcomes()[-1][-1] == case.code
        hub.read("UPDATE agbot_ha.guard_gate SET known_until = now()")
        hub.read("UPDATE agbot_ha.guard_setting SET agents_without_leader = 'wait'")
        assert not agbot.claim_agent(agent("n2"))
        assert hub.outcomes()[-1][-1] == "no-leader"
        hub.read("UPDATE agbot_ha.guard_setting SET agents_without_leader = 'go'")
        assert agbot.claim_agent(agent("n2"))


@pytest.mark.parametrize("settings", [GuardSettings(), Unjudged()])
def test_the_safe_side_is_the_default_when_what_is_known_is_over(settings: GuardSettings | Unjudged) -> None:
    found = (
        (settings.agents, settings.services)
        if isinstance(settings, Unjudged)
        else (settings.agents_without_leader, settings.services_without_leader)
    )
    assert found == ("wait", "wait")


@in_virtual_time
async def test_a_member_that_came_with_its_upgrade_passes_until_that_has_ended_and_no_longer(hub: Guarded) -> None:
    hub.install()
    async with guarded_hub(hub) as (living, agbot):
        living.group("g1", "n1", "n2")
        living.group("g2", "late")
        living.report("late", "initiated")
        await living.live("n1", "n2", "late", seconds=15)
        living.admin("DELETE", "/hagroups/g2/nodes/late")
        living.admin("POST", "/hagroups/g1/nodes/late")
        await living.live("n1", "n2", "late", seconds=15)
        await granted(agbot, agent("late"))
        assert hub.read("SELECT node, code FROM agbot_ha.guard_gate WHERE verdict = 'pass'") == [
            (f"{ORG}/late", "deferred")
        ]
        living.report("late", "successful")
        await asyncio.sleep(2 * CYCLE)
        agbot.delete_agents()
        await granted(agbot, agent("n1"))
        agbot.delete_agents()
        assert not agbot.claim_agent(agent("late")), "its next upgrade would go beside that of n1"


@in_virtual_time
async def test_a_hold_that_ends_by_itself_is_a_gate_until_then(hub: Guarded) -> None:
    hub.install()
    async with guarded_hub(hub) as (living, _):
        now = living.clock.now()
        hold = Hold(scope=ORG, since=now, by="ada", why="audit", until=now + timedelta(hours=1))
        assert isinstance(await living.coordinator.hold(hold), Done)
        await asyncio.sleep(CYCLE)
        ((known,),) = hub.read("SELECT extract(epoch FROM known_until - now())::float8 FROM agbot_ha.guard_gate")
        assert 3500 < known <= 3600
