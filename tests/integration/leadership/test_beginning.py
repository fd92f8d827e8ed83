"""How a coordinator comes in among the others: not with the name of one that runs, and not only when the database is there."""

from __future__ import annotations

import asyncio
import json

import pytest

from agbot.daemon.announcing import Admission
from agbot.rules.leadership import Announced, Candidate, Timing, namesake
from agbot.store.contract import StoreLockedError
from tests.integration.leadership.conftest import SHORT_TTL_SECONDS, Site
from tests.support.patience import until

OWN = Candidate(name="one", run="new", gateway_url="http://one:8083", console_url="http://one:8084")
TIMING = Timing(ttl_seconds=8.0, renew_seconds=2.0)


async def test_a_second_coordinator_of_one_name_ends_and_names_both_while_the_first_leads_on(site: Site) -> None:
    first = await site.leader("one")
    second = await site.start("one")
    with pytest.raises(StoreLockedError, match=rf"runs as one at {first.gateway} .*, and this one is one at") as caught:
        await second.task
    assert second.gateway in str(caught.value)
    site.running.remove(second)
    assert first.leads
    assert (await first.ask("anna")).status == 201
    listed = json.loads((await first.get("/v1/coordinators"))[1])["coordinators"]
    assert [(each["name"], each["gateway_url"]) for each in listed] == [("one", first.gateway)]


async def test_another_name_at_the_address_of_one_that_runs_is_refused_too(site: Site) -> None:
    first = await site.leader("one")
    second = await site.start("two", gateway_url=first.gateway)
    with pytest.raises(StoreLockedError, match=r"runs as one at .* this one is two at"):
        await second.task
    site.running.remove(second)


async def test_one_that_was_killed_comes_back_with_its_name(site: Site) -> None:
    site.ttl_seconds = SHORT_TTL_SECONDS
    first = await site.leader("one")
    await first.die()
    again = await site.leader("one", gateway_url=first.gateway)
    assert again.leads


async def test_one_that_has_stopped_comes_back_at_once(site: Site) -> None:
    first = await site.leader("one")
    await first.stop()
    assert site.content.announced == {}
    await site.leader("one", gateway_url=first.gateway)


async def test_with_the_database_down_it_comes_up_unready_and_goes_on_when_the_database_is_there(site: Site) -> None:
    one = await site.start("one", is_cut=True)
    status, text = await one.get("/readyz")
    assert (status, "no coordinator is known to lead at present: " in text, "cut" in text) == (503, True, True)
    assert (await one.get("/livez"))[0] == 200
    assert "agbot_ready 0.0" in (await one.get("/metrics"))[1]
    answer = await one.ask("anna")
    assert (answer.status, "no-leader" in answer.json()["msg"]) == (409, True)
    async with one.session.get(f"{one.gateway}/status") as reply:
        assert (reply.status, await reply.text()) == (200, "the real agbot")
    one.store.is_cut = False
    await site.until_ready(one)
    assert (await one.ask("anna")).status == 201


async def test_a_standby_that_has_lost_the_database_is_ready_only_while_the_leader_must_still_lead(site: Site) -> None:
    site.ttl_seconds = SHORT_TTL_SECONDS
    leader, standby = await site.leader("one"), await site.standby("two")
    standby.store.is_cut = True

    async def is_unready() -> bool:
        return (await standby.get("/readyz"))[0] == 503

    await until("it no longer knows who leads", is_unready)
    text = (await standby.get("/readyz"))[1]
    assert "one led when the store could last be read, and may not by now: " in text
    assert "agbot_ready 0.0" in (await standby.get("/metrics"))[1]
    assert leader.leads
    assert (await standby.ask("anna")).status == 201, "and it forwards as long as that one answers"


async def test_one_that_is_taking_the_leadership_is_not_ready_before_it_grants(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_begin = asyncio.Event()
    one = await site.start("one", is_cut=True)
    terms = one.daemon._parts.working  # noqa: SLF001 - there is no other way to make it slow
    begin = terms.begin

    async def slowly(*given: object) -> None:
        await may_begin.wait()
        await begin(*given)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(terms, "begin", slowly)
    one.store.is_cut = False
    await until("it takes the row", lambda: site.content.row is not None)
    assert (await one.get("/readyz"))[0] == 503
    assert "no coordinator is known to lead" in (await one.ask("anna")).json()["msg"]
    may_begin.set()
    await site.until_ready(one)


@pytest.mark.parametrize(
    ("theirs", "silent_seconds", "is_namesake"),
    [
        (Candidate(name="one", run="old"), 1.0, True),
        (Candidate(name="one", run="old"), 7.0, False),
        (Candidate(name="one", run="new"), 1.0, False),
        (Candidate(name="two", run="old"), 1.0, False),
        (Candidate(name="two", run="old", gateway_url="http://one:8083"), 1.0, True),
        (Candidate(name="two", run="old", console_url="http://one:8083"), 1.0, True),
    ],
)
def test_a_namesake_has_the_name_or_an_address_and_was_seen_lately(
    theirs: Candidate, silent_seconds: float, is_namesake: bool
) -> None:
    found = namesake([Announced(candidate=theirs, silent_seconds=silent_seconds)], OWN, TIMING)
    assert (found is not None) == is_namesake


def test_of_two_that_have_started_at_once_under_one_name_the_one_that_is_overwritten_ends() -> None:
    admission = Admission(OWN, TIMING)
    admission.take_in([], 0.0, 0.1)
    assert admission.is_given
    admission.take_in([Announced(candidate=OWN, silent_seconds=2.0)], 2.0, 2.1)
    other = Candidate(name="one", run="other", gateway_url="http://elsewhere:8083")
    with pytest.raises(StoreLockedError, match="http://elsewhere:8083"):
        admission.take_in([Announced(candidate=other, silent_seconds=0.5)], 4.0, 4.1)


def test_an_announcement_that_is_not_renewed_is_waited_out() -> None:
    admission, old = Admission(OWN, TIMING), Candidate(name="one", run="old")
    for now in (0.0, 1.0, 2.0, 5.0):
        admission.take_in([Announced(candidate=old, silent_seconds=0.9 + now)], now, now + 0.2)
        assert not admission.is_given
    admission.take_in([Announced(candidate=old, silent_seconds=6.1)], 5.3, 5.4)
    assert admission.is_given
