"""A living hub is read, forecast, and then rolled out by the real coordinator: both are compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from agbot.events.leases import LeaseReleased
from agbot.forecast import following, reading
from agbot.forecast.course import Course
from agbot.forecast.durations import durations
from agbot.forecast.reading import Wanted
from agbot.forecast.running import Running
from agbot.forecast.snapshot import Orders, Snapshot
from agbot.rules.ids import OrgId
from agbot.rules.lease import Kind
from agbot.rules.limits import Limits
from agbot.store.contract import JournalQuery
from tests.membership.living import STEADY
from tests.scenarios.rollouts import UP, Rollout, rollout
from tests.support.direct_transport import DirectTransport
from tests.support.hub import ORG
from tests.support.virtual_time import in_virtual_time

_HABITS = replace(STEADY, install_seconds=(240.0, 300.0))
"""As long as real upgrades: what agents wait for between two of them is small against it."""
_LIMITS = Limits(max_groups_in_org=2, canary_percent=15.0)


async def take(hub: Rollout) -> Snapshot:
    """Read the hub, and count the requests."""
    hub.client._transport = DirectTransport(hub.exchange)  # noqa: SLF001 - a counter of its own
    wanted = Wanted(org=OrgId(ORG), services=True, properties=True)
    return await reading.take(
        hub.client, wanted, Orders(), url="http://exchange/v1", now=hub.clock.now(), progress=lambda _done, _of: None
    )


async def forecast(known: Snapshot, seconds: float) -> Course:
    plan = following.of_agents(known, known.aims[UP], lambda _group: _LIMITS, known.taken_at)
    lasts = durations(known, {Kind.AGENT: seconds})
    return await Running(known, plan, lambda _group: _LIMITS, lasts).run()


async def ends(hub: Rollout) -> list[tuple[datetime, float]]:
    """Return when each lease ended, and how long it was held."""
    entries = await hub.store.journal(JournalQuery(after=0, events=("lease.released",), limit=100))
    return [(entry.at, event.held_seconds) for entry in entries if isinstance(event := entry.read(), LeaseReleased)]


@in_virtual_time
async def test_a_rollout_ends_when_it_was_forecast_with_the_durations_that_it_had() -> None:
    async with rollout({f"g{number}": 2 for number in range(6)}, limits=_LIMITS, habits=_HABITS) as hub:
        hub.publish()
        known = await take(hub)

        sent = hub.client._transport.requests  # type: ignore[attr-defined]  # noqa: SLF001 - see `take`
        assert {method for method, _ in sent} == {"GET"}, "a forecast writes nothing"
        assert len(known.nodes) == 12

        await hub.until_all()
        await hub.fleet.clock.sleep(30)  # until the last lease is released
        real = await ends(hub)
        lasts = sum(seconds for _, seconds in real) / len(real)
        course = await forecast(known, lasts)

        forecast_span, real_span = course.ends_at - known.taken_at, max(at for at, _ in real) - known.taken_at
        assert (course.upgraded, list(course.blocked)) == (12, [])
        assert abs(forecast_span - real_span) < 0.25 * real_span, f"forecast {forecast_span}, was {real_span}"
