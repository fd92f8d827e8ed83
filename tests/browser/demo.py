"""The demo's hub in its bad hour: one rollout that is done, under way, waiting, failed and suspect in one group or another.

Time runs fast until that is so, and at the usual speed from then on, so that the hub takes next to
no processor while the tests look at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agbot.cli.demo.clock import DemoClock
from agbot.cli.demo.observed import Observed
from agbot.cli.demo.running import DemoHub, running_hub
from agbot.cli.demo.stories import ORG, Plan
from agbot.rules.limits import Limits
from agbot.settings.windows import parse
from agbot.sim.fleet import GROUP_PROPERTY, quick
from agbot.sim.habits import Fate
from tests.support.patience import until

NMP: Final = "agent-2.32"
POLICY: Final = f"{ORG}/{NMP}"
FAILED, SUSPECT, UNAPPROVED, CLOSED = "shop-07", "shop-11", "bank", "harbour"
"""Groups in which the upgrade fails, never reports its end, needs an approval, and a window."""
RESUMED, RELEASED, APPROVED, ALLOWED = "shop-08", "shop-12", "credit", "dock"
"""The same for the tests that act on them: those of the views may run later."""
GROUPS: Final = (*(f"shop-{number:02}" for number in range(1, 13)), UNAPPROVED, CLOSED, APPROVED, ALLOWED)
_FATES: Final = {
    FAILED: Fate.ROLLS_BACK,
    SUSPECT: Fate.DIES_INSTALLING,
    RESUMED: Fate.ROLLS_BACK,
    RELEASED: Fate.DIES_INSTALLING,
}
_FAST: Final = 150.0
_NIGHT: Final = "daily 23:58-23:59"
_DEAD_AFTER_SECONDS: Final = 30 * 86_400.0
"""A lease that is suspect stays so, however long a busy machine takes for the rest of the bad hour."""


@asynccontextmanager
async def bad_hour(folder: Path, *, fast: float = _FAST) -> AsyncIterator[DemoHub]:
    """Run the hub, with time at the usual speed, from the bad hour on."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    clock, plan = DemoClock(fast, noon), Plan(groups=0, stories=())
    async with running_hub(plan, clock=clock, chance_seed=7, folder=folder, observed=Observed()) as hub:
        hub.daemon.coordinator.set_limits(_limits)
        for number, group in enumerate(GROUPS):
            await _add(hub, group, members=2 + number % 2)
        hub.fleet.publish(ORG, NMP, "2.32.0", group="shops")
        await until("the bad hour", lambda: _is_bad(hub))
        clock.speed = 1.0
        yield hub


async def _add(hub: DemoHub, group: str, *, members: int) -> None:
    fate = _FATES.get(group, Fate.SUCCEEDS)
    habits = replace(quick(), ask_seconds=60.0, install_seconds=(60.0, 240.0), cron_seconds=240.0)
    names = [f"{group}-{letter}" for letter in "abc"[:members]]
    for name in names:
        node = await hub.fleet.add_node(ORG, name, properties={GROUP_PROPERTY: "shops"}, habits=habits)
        node.fate = fate
    hub.fleet.create_group(ORG, group, names)


def _limits(group: str) -> Limits:
    name = group.partition("/")[2]
    windows = (parse(_NIGHT),) if name in {CLOSED, ALLOWED} else ()
    return Limits(approval=name in {UNAPPROVED, APPROVED}, windows=windows, dead_after_seconds=_DEAD_AFTER_SECONDS)


def _is_bad(hub: DemoHub) -> bool:
    overview = hub.daemon.coordinator.overview()
    return overview.suspect > 1 and overview.brakes > 1 and hub.observed.releases["succeeded"] >= 14


def serve(port_file: Path, folder: Path) -> None:
    """Run it until it is interrupted, for a look at it."""

    async def run() -> None:
        async with bad_hour(folder) as hub:
            port_file.write_text(hub.daemon.console.url)  # noqa: ASYNC240 - once, at the start
            await asyncio.Event().wait()

    asyncio.run(run())
