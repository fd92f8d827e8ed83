"""Every story of the simulator, reported by the real coordinator: it ends as it says, no one overlaps, and nothing stays stuck."""

from __future__ import annotations

import pytest

from agbot.sim.bypass_scenarios import BYPASS_SCENARIOS
from agbot.sim.scenarios import AGENT_SCENARIOS
from agbot.sim.service_scenarios import SERVICE_SCENARIOS
from agbot.sim.stage import Scenario
from tests.scenarios.rollouts import rollout
from tests.support import virtual_time
from tests.support.examples import some
from tests.support.hub import ORG

PLAIN = (*AGENT_SCENARIOS, *SERVICE_SCENARIOS)


async def _emitted(scenario: Scenario, *, shows_rows: bool) -> list[str]:
    async with rollout({}, shows_rows=shows_rows) as hub:
        stage = await scenario.set_up(hub.fleet, ORG)
        await scenario.play(stage)
        return scenario.wrong(stage)


@pytest.mark.parametrize("scenario", some(PLAIN), ids=lambda scenario: scenario.name)
def test_a_story_ends_as_it_says_and_its_group_goes_on_afterwards(scenario: Scenario) -> None:
    assert virtual_time.run(_emitted(scenario, shows_rows=True)) == []


@pytest.mark.parametrize("scenario", some(SERVICE_SCENARIOS, every=4), ids=lambda scenario: scenario.name)
def test_a_story_about_services_ends_so_without_the_agbots_api_as_well(scenario: Scenario) -> None:
    """It reports nothing about agents: their stories are the same without it."""
    assert virtual_time.run(_emitted(scenario, shows_rows=False)) == []


@pytest.mark.parametrize("scenario", some(BYPASS_SCENARIOS), ids=lambda scenario: scenario.name)
def test_who_upgrades_without_a_question_is_waited_for(scenario: Scenario) -> None:
    assert virtual_time.run(_emitted(scenario, shows_rows=True)) == []
