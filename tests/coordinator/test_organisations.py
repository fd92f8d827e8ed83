"""Whom we coordinate: the setting limits, what is gone disappears, and what no one in a group is concerned by costs nothing."""

from __future__ import annotations

import asyncio

import pytest

from agbot.coordinator.permission import Granted, Refused
from agbot.fleet.changes import What
from agbot.rules.facts import Ask
from agbot.rules.ids import OrgId
from agbot.settings.model import AgbotSettings, ExchangeSettings
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.support.hub import AGBOT, NMP, ORG, Hub, codes
from tests.support.patience import until
from tests.support.spoiling import Spoiling
from tests.support.virtual_time import in_virtual_time

FEED = ("POST", "/orgs/{org}/changes")
OTHER = "o2"


def hub_of(*organisations: str, resync_seconds: float = 3600, served_by: str = "") -> Hub:
    settings = ExchangeSettings(
        url="http://exchange/v1",
        identity=f"IBM/{AGBOT}",
        organisations=organisations,
        resync_seconds=resync_seconds,
    )
    hub = Hub(settings=settings, agbot=AgbotSettings(identity=served_by))
    hub.group("g1", "n1", "n2")
    seed.org(hub.exchange, OTHER)
    seed.management_policy(hub.exchange, OTHER, NMP)
    for node in ("x1", "x2"):
        seed.node(hub.exchange, OTHER, node)
    seed.group(hub.exchange, OTHER, "gx", ["x1", "x2"])
    return hub


def looked_after(hub: Hub) -> set[str]:
    return {view.org for view in hub.coordinator.overview().orgs}


def of_other(hub: Hub) -> Ask:
    question = hub.question("n1", "g1")
    text = str(question.node).replace(ORG, OTHER).replace("n1", "x1")
    moved = type(question.claim)(holder=type(question.node)(text), kind=question.claim.kind, subject=f"{OTHER}/{NMP}")  # type: ignore[arg-type]  # NewTypes are texts
    return Ask(group=f"{OTHER}/gx", claim=moved)  # type: ignore[arg-type]  # as above


@in_virtual_time
async def test_organisations_that_are_named_are_the_only_ones() -> None:
    hub = hub_of(ORG)
    await hub.start()
    seed.node(hub.exchange, OTHER, "x3")

    await asyncio.sleep(30)

    assert looked_after(hub) == {ORG}
    assert all(str(view.id).startswith(f"{ORG}/") for view in hub.coordinator.groups())
    assert "is not among those" in hub.coordinator.why_excluded(OrgId(OTHER))
    assert hub.coordinator.why_excluded(OrgId(ORG)) == ""
    await hub.stop()


@in_virtual_time
async def test_a_node_of_another_organisation_is_refused_for_good_and_hears_why() -> None:
    hub = hub_of(ORG)
    await hub.start()

    answer = await hub.ask_as_agbot(of_other(hub))

    assert isinstance(answer, Refused)
    assert (codes(answer), answer.is_final) == (["org-excluded"], True)
    assert OTHER in answer.reasons[0].text
    assert hub.coordinator.refuse_from_memory(of_other(hub)) == answer
    assert looked_after(hub) == {ORG}
    assert hub.coordinator.overview().waiting == 0
    await hub.stop()


@in_virtual_time
async def test_without_a_limit_a_question_makes_its_organisation_known() -> None:
    hub = hub_of("*")
    await hub.start()
    await asyncio.sleep(15)

    assert not {OTHER, ORG} - looked_after(hub)
    assert "org-excluded" not in codes(await hub.ask_as_agbot(of_other(hub)))
    await hub.stop()


@in_virtual_time
async def test_what_the_real_agbot_serves_is_looked_after_besides_those_that_are_named() -> None:
    hub = hub_of(ORG, served_by="IBM/real")
    seed.agbot(hub.exchange, "IBM", "real")
    served_by_real(hub)
    await hub.start()
    await asyncio.sleep(5)

    assert looked_after(hub) == {ORG, OTHER}
    await hub.stop()


def served_by_real(hub: Hub) -> None:
    """Let the real agbot serve the other organisation."""
    body = {"businessPolOrgid": OTHER, "businessPol": "*", "nodeOrgid": OTHER}
    seed.send(hub.exchange, "POST", "/orgs/IBM/agbots/real/businesspols", body, caller="IBM/real")


@pytest.mark.parametrize("is_announced", [True, False])
@in_virtual_time
async def test_what_the_real_agbot_serves_later_is_looked_after_from_then_on(is_announced: bool) -> None:
    hub = hub_of(ORG, served_by="IBM/real", resync_seconds=120)
    seed.agbot(hub.exchange, "IBM", "real")
    await hub.start()
    await asyncio.sleep(30)
    assert codes(await hub.ask_as_agbot(of_other(hub))) == ["org-excluded"]

    if not is_announced:
        hub.exchange.faults.add(Fault(kind=FaultKind.FREEZE, caller=AGBOT))
    served_by_real(hub)
    await asyncio.sleep(15 if is_announced else 200)

    assert looked_after(hub) == {ORG, OTHER}
    assert "org-excluded" not in codes(await hub.ask_as_agbot(of_other(hub)))
    await hub.stop()


@in_virtual_time
async def test_a_404_at_the_start_of_what_the_real_agbot_serves_excludes_no_organisation() -> None:
    hub = hub_of(ORG, served_by="IBM/real")
    seed.agbot(hub.exchange, "IBM", "real")
    served_by_real(hub)
    hub.transport.spoil = spoiling = Spoiling()
    spoiling.nothing_there(r"/agbots/real/businesspols$", "businessPols", times=2)
    await hub.start()

    assert spoiling.spoilt == 2
    assert codes(await hub.ask_as_agbot(of_other(hub))) == ["view-stale"]
    await asyncio.sleep(45)

    assert looked_after(hub) == {ORG, OTHER}
    await hub.stop()


@in_virtual_time
async def test_while_what_the_real_agbot_serves_has_changed_and_cannot_be_read_nothing_is_excluded_and_all_else_goes_on() -> (
    None
):
    hub = hub_of(ORG, served_by="IBM/real")
    seed.agbot(hub.exchange, "IBM", "real")
    await hub.start()
    await asyncio.sleep(30)
    hub.exchange.faults.add(Fault(kind=FaultKind.STATUS, status=500, path="/agbots/real/", caller=AGBOT))
    served_by_real(hub)
    await asyncio.sleep(15)

    assert codes(await hub.ask_as_agbot(of_other(hub))) == ["view-stale"]
    hub.heartbeat("n2")
    assert isinstance(await hub.ask("n1", "g1"), Granted)
    hub.exchange.faults.clear()
    await asyncio.sleep(45)
    assert looked_after(hub) == {ORG, OTHER}
    await hub.stop()


@pytest.mark.parametrize("organisations", [("*",), (ORG, OTHER)])
@in_virtual_time
async def test_an_organisation_that_was_deleted_disappears_and_comes_back_with_its_first_change(
    organisations: tuple[str, ...],
) -> None:
    hub = hub_of(*organisations)
    await hub.start()
    await asyncio.sleep(15)
    assert OTHER in looked_after(hub)

    seed.send(hub.exchange, "DELETE", f"/orgs/{OTHER}", caller="root/root")
    await asyncio.sleep(45)

    assert OTHER not in looked_after(hub)
    assert [entry.facts["org"] for entry in hub.events("org.gone")] == [OTHER]
    assert not [view for view in hub.coordinator.groups() if str(view.id).startswith(f"{OTHER}/")]

    seed.org(hub.exchange, OTHER)
    seed.node(hub.exchange, OTHER, "x9")
    await asyncio.sleep(15)
    assert OTHER in looked_after(hub)
    await hub.stop()


@in_virtual_time
async def test_one_404_of_an_organisation_makes_it_disappear_no_more_than_an_empty_one_does() -> None:
    hub = hub_of(ORG, "o3", resync_seconds=20)
    seed.org(hub.exchange, "o3")
    hub.transport.spoil = spoiling = Spoiling()
    spoiling.nothing_there(r"/orgs/o3$", "orgs")
    await hub.start()

    await asyncio.sleep(120)

    assert spoiling.spoilt == 1
    assert looked_after(hub) == {ORG, "o3"}
    await hub.stop()


@in_virtual_time
async def test_a_policy_that_concerns_no_one_in_a_group_does_not_make_the_feed_be_followed_closely() -> None:
    hub = hub_of("*")
    seed.org(hub.exchange, "o3")
    await hub.start()
    await asyncio.sleep(700)
    before = hub.transport.requests.copy()

    seed.deployment_policy(hub.exchange, "o3", "flow", service="svc", versions=["1.0.0"])
    await asyncio.sleep(300)

    assert (hub.transport.requests - before)[FEED] <= 32
    await hub.stop()


@in_virtual_time
async def test_members_are_granted_as_before() -> None:
    hub = hub_of(ORG)
    await hub.start()
    hub.heartbeat("n2")

    assert isinstance(await hub.ask("n1", "g1"), Granted)
    assert OrgId(ORG) in looked_after(hub)
    await hub.stop()


@in_virtual_time
async def test_who_asks_about_a_node_of_an_excluded_organisation_hears_that_it_is_excluded() -> None:
    hub = hub_of(ORG)
    await hub.start()

    explained = hub.coordinator.explain(of_other(hub).node)

    assert explained is not None
    assert "organisation o2 is not among those that this coordinator looks after" in explained.answer
    assert explained.group is None
    await hub.stop()


@in_virtual_time
async def test_what_asks_for_another_read_while_an_organisation_is_read_gets_it() -> None:
    hub = hub_of(ORG)
    await hub.start()
    await asyncio.sleep(15)
    slow = Fault(kind=FaultKind.LATENCY, seconds=5, path=f"/orgs/{ORG}/nodes", caller=f"IBM/{AGBOT}")
    hub.exchange.faults.add(slow)
    organisations, picture = hub.coordinator._organisations, hub.coordinator._situation.picture  # noqa: SLF001 - as at a resync
    organisations.read_all_again()
    before = len(hub.reads)
    await until("the read has begun", lambda: any(read.what is What.ORG for read, _why in hub.reads[before:]))
    await asyncio.sleep(1)  # it takes another four seconds
    again_at = hub.coordinator._situation.now().seen  # noqa: SLF001 - the time of the second resync
    organisations.read_all_again()

    await asyncio.sleep(40)

    read_at = picture.org_read_at(OrgId(ORG))
    assert read_at is not None
    assert read_at >= again_at
    await hub.stop()


@in_virtual_time
async def test_earlier_reports_are_read_again_if_the_feed_loses_its_place_while_they_are_read() -> None:
    hub = hub_of(ORG)
    await hub.start()
    earlier = hub.coordinator._intake._earlier  # noqa: SLF001 - as at a resync
    hub.exchange.faults.add(Fault(kind=FaultKind.LATENCY, seconds=2, path=r".*/changes", caller=f"IBM/{AGBOT}"))
    earlier.lost()
    reading = asyncio.create_task(earlier.read_rows({OrgId(ORG)}))
    await asyncio.sleep(1)
    earlier.lost()
    await reading
    before = hub.transport.requests[FEED]

    await earlier.read_rows({OrgId(ORG)})

    assert hub.transport.requests[FEED] > before
    await hub.stop()
