"""Every story holds when somebody answers faultlessly, and does not when somebody answers yes to everybody."""

from __future__ import annotations

import pytest

from agbot.sim.bypass_scenarios import BYPASS_SCENARIOS
from agbot.sim.scenarios import AGENT_SCENARIOS
from agbot.sim.service_scenarios import SERVICE_SCENARIOS
from agbot.sim.stage import Scenario, Stage, perform
from tests.sim.gates import ORG, Ask, always_yes, fleet_of
from tests.support.examples import some
from tests.support.virtual_time import in_virtual_time

_ALL = (*AGENT_SCENARIOS, *SERVICE_SCENARIOS, *BYPASS_SCENARIOS)
_ABOUT_TAKING_TURNS = ("rollout", "bad-release", "slow-cron", "service-rollout", "service-crashes")


async def _played(scenario: Scenario, ask: Ask | None = None, seed: int = 0) -> tuple[Stage, list[str]]:
    async with fleet_of(ask, seed=seed) as fleet:
        if scenario.needs_agbot:
            fleet.add_agbot()
        stage = await scenario.set_up(fleet, ORG)
        await scenario.play(stage)
        return stage, scenario.wrong(stage)


@pytest.mark.parametrize("seed", some(range(3)))
@pytest.mark.parametrize("scenario", _ALL, ids=lambda scenario: scenario.name)
@in_virtual_time
async def test_a_story_ends_as_it_says_when_one_goes_at_a_time(scenario: Scenario, seed: int) -> None:
    _, wrong = await _played(scenario, seed=seed)

    assert wrong == []


@pytest.mark.parametrize("scenario", [one for one in _ALL if one.name in _ABOUT_TAKING_TURNS], ids=lambda one: one.name)
@in_virtual_time
async def test_a_story_goes_wrong_when_everybody_may_go(scenario: Scenario) -> None:
    stage, wrong = await _played(scenario, always_yes)

    assert wrong != []
    assert stage.fleet.observer.max_concurrent_by_group[stage.name] == len(stage.nodes)


@in_virtual_time
async def test_all_stories_about_agents_can_be_played_at_the_same_time() -> None:
    async with fleet_of() as fleet:
        stages = await perform(fleet, ORG, AGENT_SCENARIOS)
        wrong = [scenario.wrong(stage) for scenario, stage in zip(AGENT_SCENARIOS, stages, strict=True)]
        report = fleet.report()

    assert wrong == [[] for _ in AGENT_SCENARIOS]
    assert report["max_concurrent_in_any_group"] == 1
    assert report["violations"] == []


@in_virtual_time
async def test_the_same_seed_gives_the_same_story() -> None:
    first, _ = await _played(AGENT_SCENARIOS[0], seed=7)
    second, _ = await _played(AGENT_SCENARIOS[0], seed=7)
    other, _ = await _played(AGENT_SCENARIOS[0], seed=8)

    def timed(stage: Stage) -> list[float]:
        return [(one.began_at - stage.begun()[0].began_at).total_seconds() for one in stage.begun()]

    assert timed(first) == timed(second) != timed(other)


def test_every_story_has_a_name_of_its_own_and_a_sentence() -> None:
    assert len({scenario.name for scenario in _ALL}) == len(_ALL)
    assert all(scenario.sentence.endswith(".") for scenario in _ALL)
