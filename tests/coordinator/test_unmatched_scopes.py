"""A scope of the settings that matches no group is named once the fleet is known, and until it matches."""

from __future__ import annotations

import asyncio

from agbot.rules.limits import Limits
from agbot.settings.model import ExchangeSettings, Scope
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, ORG, Hub
from tests.support.virtual_time import in_virtual_time

PACE = 60.0
IDLE_CYCLE = 12.0
MISTYPED = f'[scope."{ORG}/pumsp-*"]'


def scopes(*patterns: str) -> tuple[Scope, ...]:
    return tuple(Scope(pattern=pattern, values={"min_available": 0}) for pattern in patterns)


def settings_of(*orgs: str) -> ExchangeSettings:
    return ExchangeSettings(url="http://exchange/v1", identity=f"IBM/{AGBOT}", organisations=orgs)


async def hub_of(*patterns: str) -> Hub:
    hub = Hub(scopes=scopes(*patterns), settings=settings_of(ORG))
    hub.group("pumps-1", "n1", "n2")
    await hub.start()
    return hub


def told(hub: Hub) -> list[tuple[str, object]]:
    return [(each.event, each.facts["scope"]) for each in hub.emitted if each.event.startswith("settings.")]


@in_virtual_time
async def test_it_is_named_once_in_the_log_and_stays_in_the_status() -> None:
    hub = await hub_of("o1", "o1/pumps-*", "*/pumps-1", "o1/pumsp-*", "o2")

    await asyncio.sleep(10 * PACE)

    assert told(hub) == [("settings.unmatched", 'scope."o1/pumsp-*"'), ("settings.unmatched", "scope.o2")]
    assert hub.coordinator.overview().unmatched_scopes == (
        f"{MISTYPED} matches no HA group (did you mean o1/pumps-1?)",
        "[scope.o2] matches no organisation; known are o1",
    )
    await hub.stop()


@in_virtual_time
async def test_it_is_named_no_more_once_a_group_has_come_and_again_when_that_is_gone() -> None:
    hub = await hub_of("o1/mills-*")
    await asyncio.sleep(IDLE_CYCLE)
    assert len(hub.coordinator.overview().unmatched_scopes) == 1

    hub.group("mills-1", "n3")
    await hub.live(seconds=PACE + IDLE_CYCLE)
    assert hub.coordinator.overview().unmatched_scopes == ()

    hub.admin("DELETE", "/hagroups/mills-1")
    await hub.live(seconds=PACE + 2 * IDLE_CYCLE)
    assert len(hub.coordinator.overview().unmatched_scopes) == 1
    assert [name for name, _ in told(hub)] == ["settings.unmatched", "settings.matched", "settings.unmatched"]
    await hub.stop()


@in_virtual_time
async def test_nothing_is_named_while_an_organisation_cannot_be_read() -> None:
    hub = Hub(scopes=scopes("o1/pumsp-*"), settings=settings_of(ORG))
    hub.group("pumps-1", "n1")
    broken = hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=r".*/hagroups$"))
    await hub.start()
    await asyncio.sleep(3 * PACE)
    assert told(hub) == []

    hub.exchange.faults.remove(broken)
    await asyncio.sleep(2 * PACE)
    assert [name for name, _ in told(hub)] == ["settings.unmatched"]
    await hub.stop()


@in_virtual_time
async def test_after_a_reload_the_new_scopes_count() -> None:
    hub = await hub_of("o1/pumsp-*")
    await asyncio.sleep(IDLE_CYCLE)

    hub.coordinator.set_limits(lambda _group: Limits(), scopes("o1/pumps-*", "o1/millls-*"))
    await asyncio.sleep(IDLE_CYCLE)

    assert [scope for _, scope in told(hub)] == ['scope."o1/pumsp-*"', 'scope."o1/millls-*"']
    assert len(hub.coordinator.overview().unmatched_scopes) == 1
    await hub.stop()


@in_virtual_time
async def test_the_names_of_all_groups_are_gone_through_only_when_a_group_has_come_or_gone() -> None:
    hub = await hub_of("o1/pumsp-*")
    looked = list[int]()
    groups = hub.coordinator._situation.picture.groups  # noqa: SLF001 - what costs with the size of the fleet

    def counted() -> object:
        looked.append(1)
        return groups()

    hub.coordinator._situation.picture.groups = counted  # type: ignore[method-assign,assignment]  # noqa: SLF001 - see above
    await asyncio.sleep(10 * PACE)
    before = len(looked)
    seed.group(hub.exchange, ORG, "mills-1", [])
    await asyncio.sleep(10 * PACE)

    assert (before <= 1, len(looked)) == (True, before + 1)
    await hub.stop()
