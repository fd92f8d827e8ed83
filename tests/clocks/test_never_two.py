"""Blindness of any kind and length, old answers included, inserted anywhere into an upgrade, never makes a second grant."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agbot.coordinator.permission import Granted
from agbot.rules.limits import Limits
from tests.clocks import blindness
from tests.clocks.blindness import Blindness, upgrading
from tests.support import virtual_time
from tests.support.examples import examples
from tests.support.hub import Hub

Story = list[tuple[float, Blindness, float]]
stories = st.lists(
    st.tuples(st.floats(0, 120), st.sampled_from((*blindness.ALL, *blindness.OLD)), st.floats(1, 750)),
    min_size=1,
    max_size=3,
)


async def refuses_the_others(hub: Hub) -> None:
    for node in ("n2", "n3"):
        assert not isinstance(await hub.ask(node, "g1"), Granted), node
    assert hub.lease("g1").token == 1


async def report(story: Story) -> None:
    """Let the holder upgrade slowly through all of it, alive whenever somebody can see it."""
    hub = await upgrading(limits=Limits(lease_seconds=300))
    for seeing, blind, seconds in story:
        await hub.live("n1", "n2", "n3", seconds=seeing)
        await refuses_the_others(hub)
        await blind(hub, seconds)
        await refuses_the_others(hub)
        await hub.live("n1", "n2", "n3", seconds=30)
        await refuses_the_others(hub)


@settings(max_examples=examples(30))
@given(stories)
def test_blindness_of_any_length_inserted_anywhere_never_makes_a_second_grant(story: Story) -> None:
    virtual_time.run(report(story))
