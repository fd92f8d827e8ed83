"""Every story of the simulator, told by the real coordinator: it ends as it says, nobody overlaps, and nothing stays stuck."""

from __future__ import annotations

import pytest

from agbot.sim.scenarios import AGENT_SCENARIOS
from agbot.sim.service_scenarios import SERVICE_SCENARIOS
from agbot.sim.stage import Scenario
from tests.scenarios.rollouts import rollout
from tests.support import virtual_time
from tests.support.hub import ORG

ALL = (*AGENT_SCENARIOS, *SERVICE_SCENARIOS)


async def _told(scenario: Scenario) -> list[str]:
    async with rollout({}) as hub:
        stage = await scenario.set_up(hub.fleet, ORG)
        await scenario.play(stage)
        return scenario.wrong(stage)


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_a_story_ends_as_it_says_and_its_group_goes_on_afterwards(scenario: Scenario) -> None:
    assert virtual_time.run(_told(scenario)) == []
