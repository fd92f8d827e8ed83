"""When a leader dies, stops, is cut off or hands over, another takes over with all leases, and what the old one still does is refused."""

from __future__ import annotations

import asyncio

from agbot.rules.ids import GroupId
from tests.acceptance.hub import GROUP, ORG
from tests.integration.leadership.conftest import SHORT_TTL_SECONDS, Running, Site
from tests.support.patience import in_time, until


async def granted(where: Running, node: str) -> bool:
    """Ask once: a busy machine may keep a leader from renewing in these few seconds."""
    return (await where.ask(node)).status == 201


HELD = GroupId(f"{ORG}/{GROUP}")


async def test_after_the_death_of_the_leader_another_leads_with_its_leases(site: Site) -> None:
    site.ttl_seconds = SHORT_TTL_SECONDS
    leader, standby = await site.leader("one"), await site.standby("two")
    assert (await leader.ask("anna")).status == 201
    await leader.die()
    with in_time(SHORT_TTL_SECONDS + 2.0, slack_seconds=5.0):
        await site.until_ready(standby)
    assert (await standby.ask("ben")).status == 409
    await until("the same grant again", lambda: granted(standby, "anna"))
    assert site.content.records.leases[HELD].token == 1
    taken = [each for each in site.content.records.entries if each.event == "leader.taken"]
    assert [(each.facts["leader"], each.facts["epoch"]) for each in taken] == [("one", 1), ("two", 2)]


async def test_a_leader_that_stops_lets_another_lead_within_two_seconds(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    with in_time(2.0, slack_seconds=3.0):
        stopping = asyncio.create_task(leader.stop())
        await site.until_ready(standby)
    await stopping
    assert standby.leads


async def test_a_leader_that_is_cut_off_stops_granting_before_another_leads(site: Site) -> None:
    site.ttl_seconds = SHORT_TTL_SECONDS
    leader, standby = await site.leader("one"), await site.standby("two")
    leader.store.is_cut = True
    seen: list[tuple[bool, bool]] = []

    async def look() -> bool:
        seen.append((leader.daemon.coordinator.overview().ready, standby.leads))
        return standby.leads

    await until("another leads", look)
    assert not any(old and new for old, new in seen)
    answer = await leader.ask("anna")
    assert (answer.status, "no-leader" in answer.json()["msg"]) == (409, True)
    leader.store.is_cut = False
    await until("the old one stands by", lambda: not leader.leads)
    await until("a grant through the old one", lambda: granted(leader, "anna"))
    assert site.content.records.leases[HELD].token == 1


async def test_a_leader_that_could_not_renew_for_a_while_leads_on_if_no_other_has_taken_over(site: Site) -> None:
    site.ttl_seconds = SHORT_TTL_SECONDS
    leader = await site.leader("one")
    leader.store.is_cut = True
    await until("it does not grant", lambda: not leader.daemon.coordinator.overview().ready)
    leader.store.is_cut = False
    await until("a grant", lambda: granted(leader, "anna"))
    assert leader.daemon.where().leader is not None
    assert site.content.row is not None
    assert site.content.row.leader.epoch == 1


async def test_an_operator_lets_another_lead_through_whichever_coordinator(site: Site) -> None:
    leader = await site.leader("one")
    standby, third = await site.standby("two"), await site.standby("three")
    await leader.ask("anna")
    status, done = await third.post("/v1/lead", {"to": "two", "reason": "the host is patched", "by": "ada"})
    assert (status, done.get("text", "")) == (200, "two leads now, since epoch 2"), done
    await site.until_ready(standby)
    assert not leader.leads
    assert (await leader.ask("anna")).status == 201
    handed = [each for each in site.content.records.entries if each.event == "leader.handed_over"]
    assert [(each.who, each.facts["to"], each.facts["reason"]) for each in handed] == [
        ("ada", "two", "the host is patched")
    ]


async def test_the_leadership_is_not_handed_over_to_one_that_is_not_there(site: Site) -> None:
    leader = await site.leader("one")
    status, alone = await leader.post("/v1/lead", {"reason": "x"})
    assert (status, "no other coordinator stands by" in alone["error"]["problem"]) == (409, True)
    status, unknown = await leader.post("/v1/lead", {"reason": "x", "to": "nosuch"})
    assert (status, "no coordinator is called nosuch" in unknown["error"]["problem"]) == (404, True)
    status, itself = await leader.post("/v1/lead", {"reason": "x", "to": "one"})
    assert (status, "leads already" in itself["text"]) == (200, True)
    assert leader.leads


async def test_the_leadership_goes_around_and_no_coordinator_forgets_a_lease(site: Site) -> None:
    leader, standby = await site.leader("one"), await site.standby("two")
    await leader.ask("anna")
    for now, then in ((leader, standby), (standby, leader), (leader, standby)):
        status, _ = await now.post("/v1/lead", {"reason": "practice", "to": then.name})
        assert status == 200
        await site.until_ready(then)
        assert (await now.ask("ben")).status == 409
    assert site.content.records.leases[HELD].token == 1
