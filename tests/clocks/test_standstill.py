"""A feed that answers and stands still, alone or with the whole Exchange: found by what is read anyway, within a bound for each."""

from __future__ import annotations

from agbot.coordinator.permission import Granted
from agbot.settings.model import ExchangeSettings
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.clocks.blindness import bad, held, upgrading
from tests.support.examples import thorough
from tests.support.hub import AGBOT, ORG, Hub, codes
from tests.support.virtual_time import in_virtual_time


def frozen(kind: FaultKind = FaultKind.FREEZE) -> Fault:
    return Fault(kind=kind, caller=f"^IBM/{AGBOT}$")


def emitted(hub: Hub) -> list[str]:
    return [entry.event for entry in hub.emitted if entry.event.partition(".")[0] in {"feed", "exchange"}]


async def quiet(*, resync_seconds: float = 3600) -> Hub:
    """Return a hub in which one upgrade has ended well an hour ago: its policy is known, and nothing goes on."""
    settings = ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", resync_seconds=resync_seconds)
    hub = Hub(settings=settings)
    hub.group("g1", "n1", "n2")
    await hub.start()
    hub.report("n1", "ha node waiting")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.report("n1", "initiated")
    await hub.live("n1", "n2", seconds=60)
    hub.report("n1", "successful")
    await hub.live("n1", "n2", seconds=300)
    return hub


@in_virtual_time
async def test_who_asks_first_behind_a_frozen_feed_of_a_quiet_hub_is_not_granted_by_what_was_known_before_it() -> None:
    hub = await quiet()
    fault = hub.exchange.faults.add(frozen())
    hub.write_policy(enabled=False)
    hub.report("n2", "ha node waiting")
    await hub.live("n1", "n2", seconds=60)

    refused = await hub.ask("n2", "g1")
    await hub.live("n1", "n2", seconds=15)

    assert codes(refused) == ["view-stale"]
    assert "stands still" in refused.reasons[0].text  # type: ignore[union-attr]  # a refusal
    assert any("stands still" in text for text in hub.coordinator.overview().not_ready)
    explained = hub.coordinator.explain(hub.question("n2", "g1").node)
    assert explained is not None
    assert explained.answer == (
        "o1/n2 is not asking to upgrade anything. It reports o1/up1: ha node waiting. "
        "No upgrade follows from a policy that is disabled: o1/up1."
    ), "the policy was read for the question"
    assert emitted(hub) == ["feed.stalled"]

    hub.exchange.faults.remove(fault)
    await hub.live("n1", "n2", seconds=15)
    assert codes(await hub.ask("n2", "g1")) == ["policy-disabled"]
    assert emitted(hub) == ["feed.stalled", "feed.recovered"]
    await hub.stop()


@in_virtual_time
async def test_the_policy_of_somebody_who_waits_shows_a_frozen_feed_within_two_heartbeats_and_half_a_minute() -> None:
    hub = await upgrading()
    hub.exchange.faults.add(frozen())
    hub.write_policy(enabled=False)

    await hub.live("n1", "n2", "n3", seconds=2 * 30 + 30 + 15)

    assert emitted(hub) == ["feed.stalled"]
    await hub.stop()


@in_virtual_time
async def test_where_no_one_asks_a_node_that_was_written_again_shows_it_with_the_next_full_look() -> None:
    hub = await quiet(resync_seconds=600)
    hub.exchange.faults.add(frozen())
    versions = {"softwareVersions": {"horizon": "2"}}
    seed.send(hub.exchange, "PATCH", f"/orgs/{ORG}/nodes/n2", versions, caller=f"{ORG}/n2")
    await hub.live("n1", "n2", seconds=30)
    assert emitted(hub) == []

    await hub.live(seconds=600 * 1.25 + 30 + 15)

    assert emitted(hub) == ["feed.stalled"]
    assert not hub.coordinator.overview().ready
    await hub.stop()


@in_virtual_time
async def test_what_is_written_without_a_row_is_no_standstill() -> None:
    """An agbot is shown neither new agreements nor what containers do, and a heartbeat makes no row at all."""
    hub = await quiet(resync_seconds=600)
    agreement = {
        "services": [{"orgid": ORG, "url": "svc"}],
        "agreementService": {"orgid": ORG, "pattern": "", "url": f"{ORG}/svc"},
        "state": "finalized",
    }
    for hour in range(3):
        body: dict[str, object] = dict(agreement)
        path = f"/orgs/{ORG}/nodes/n1/agreements/ag{hour}"
        seed.send(hub.exchange, "PUT", path, body, caller=f"{ORG}/n1")
        await hub.live("n1", "n2", seconds=3600)

    assert emitted(hub) == []
    hub.report("n2", "ha node waiting")
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@in_virtual_time
async def test_an_old_copy_of_the_exchange_is_found_within_five_minutes_and_is_as_none() -> None:
    hub = await upgrading()
    copy = hub.exchange.faults.add(frozen(FaultKind.STALE))

    await hub.live("n1", "n2", "n3", seconds=320)
    refused = await hub.ask("n2", "g1")
    assert emitted(hub) == ["exchange.failed"]
    assert any("our own record is as it was" in text for text in hub.coordinator.overview().not_ready)
    assert not isinstance(refused, Granted)
    await hub.live("n1", "n2", "n3", seconds=3600)
    assert held(hub).token == 1
    assert bad(hub) == []

    hub.exchange.faults.remove(copy)
    await hub.live("n1", "n2", "n3", seconds=60)
    assert emitted(hub) == ["exchange.failed", "exchange.recovered"]
    assert (held(hub).token, bad(hub)) == (1, [])
    hub.report("n1", "successful")
    await hub.live("n1", "n2", "n3", seconds=60)
    assert isinstance(await hub.ask("n2", "g1"), Granted)
    await hub.stop()


@thorough
@in_virtual_time
async def test_a_holder_that_died_behind_an_old_copy_is_found_out_all_the_same() -> None:
    """P6: only the time before the copy was new, and after, counts as silence."""
    hub = await upgrading()
    await hub.live("n2", "n3", seconds=600)
    copy = hub.exchange.faults.add(frozen(FaultKind.STALE))
    await hub.live("n2", "n3", seconds=3600)
    assert [entry.event for entry in hub.emitted if entry.event == "lease.released"] == []

    hub.exchange.faults.remove(copy)
    await hub.live("n2", "n3", seconds=2400)

    assert hub.lease("g1").last_end is not None
    await hub.stop()
