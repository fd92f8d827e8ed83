"""The time at which a wait ends by itself is stated as what it is: the earliest one, or the latest."""

from __future__ import annotations

from agbot.coordinator.contract import Explanation
from agbot.coordinator.permission import Granted
from agbot.rules.ids import node_id
from agbot.rules.limits import Limits
from tests.support.hub import ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_the_end_of_the_time_for_the_proof_after_a_rest_is_the_latest_and_that_of_the_rest_the_earliest() -> None:
    hub = Hub(limits=Limits(agent_soak_seconds=60, rest_proof_seconds=900))
    hub.group("g1", "n1", "n2", "n3")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", "n3", seconds=20)
    hub.report("n1", "successful")
    hub.report("n2", "ha node waiting")
    await hub.live("n2", "n3", seconds=20)

    resting = await explained(hub)
    await hub.live("n2", "n3", seconds=60)
    unproven = await explained(hub)

    assert resting.earliest is not None
    assert not resting.at_latest
    assert "it has sent no heartbeat since" in unproven.answer
    assert unproven.earliest is not None
    assert unproven.at_latest
    assert [each.rule for each in unproven.rules if each.at_latest] == ["rested"]
    await hub.live("n1", "n2", "n3", seconds=31)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    assert hub.clock.now() < unproven.earliest
    await hub.stop()


async def explained(hub: Hub) -> Explanation:
    assert codes(await hub.ask("n2", "g1")) == ["soaking"]
    found = hub.coordinator.explain(node_id(ORG, "n2"))
    assert found is not None
    return found
