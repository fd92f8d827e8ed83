"""Two coordinators as processes on a real PostgreSQL: one leads, and when it ends the other takes over in time, with every lease."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus

import pytest

from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, group_of_three
from tests.support.patience import in_time, until
from tests.support.postgres import Postgres


@pytest.fixture
async def pair(
    hub: Hub, new_site: Callable[[str], Site], postgres_server: Postgres, postgres_common: str, postgres_schema: str
) -> tuple[Site, Site]:
    """Two hosts on one database, with the default times of the leadership. The first one leads."""
    await group_of_three(hub)
    sites = new_site("one"), new_site("two")
    for site in sites:
        site.share(postgres_server.url(postgres_common), postgres_schema)
    await sites[0].start_ready()
    sites[1].start()
    await until("the other stands by", lambda: sites[1].shows("/readyz", HTTPStatus.OK))
    return sites


async def leads(site: Site) -> bool:
    """Whether this coordinator leads and may grant."""
    status, text = await site.get("/healthz")
    seen = json.loads(text) if status == HTTPStatus.OK else {}
    return bool(seen.get("ready")) and seen["position"] == "leading"


def why_taken(site: Site) -> str:
    """Return why this coordinator could take the leadership, by its log."""
    return str(site.daemons[-1].events("leader.taken")[-1]["why"])


async def test_within_15_s_of_kill_9_the_other_leads_with_every_lease(pair: tuple[Site, Site]) -> None:
    one, two = pair
    assert await leads(one)
    assert (await ask(two, "anna"))[0] == 201
    status, text = await two.get("/readyz")
    assert (status, "stands by; one leads since" in text) == (200, True)
    with in_time(15.0, slack_seconds=0.0 + 2.0):
        one.daemons[-1].kill()
        await until("the other leads", lambda: leads(two))
    assert why_taken(two).startswith("one has not renewed its leadership, which expired ")
    assert await two.holder() == "anna"
    assert (await ask(two, "ben"))[0] == 409
    assert (await ask(two, "anna"))[0] == 201
    assert (await two.leases())["g1"]["token"] == 1


async def test_within_2_s_of_sigterm_the_other_leads_and_an_operator_hands_back(pair: tuple[Site, Site]) -> None:
    one, two = pair
    assert (await ask(one, "anna"))[0] == 201
    with in_time(2.0, slack_seconds=2.0):
        one.daemons[-1].terminate()
        await until("the other leads", lambda: leads(two))
    assert await one.daemons[-1].ended() == 0
    assert why_taken(two).startswith("one gave up the leadership ")
    assert await two.holder() == "anna"
    one.start()
    await until("the first one stands by", lambda: one.shows("/readyz", HTTPStatus.OK))
    refused = await one.operate("lead", "nosuch", "--reason", "a trial", "--yes")
    assert refused.code == 8, refused.err
    done = await one.operate("lead", "one", "--reason", "it is the bigger machine", "--yes", "--json")
    assert done.code == 0, done.err
    assert done.json["text"].startswith("one leads now, since epoch ")
    await until("the first one leads again", lambda: leads(one))
    shown = await two.operate("status")
    assert shown.code == 0, shown.err
    assert "one  " in shown.out
    assert "leads for" in shown.out
    assert "stands by" in shown.out
    entries = await two.journal()
    assert [each["facts"]["leader"] for each in entries if each["event"] == "leader.taken"] == ["one", "two", "one"]
    assert await two.holder() == "anna"


async def test_after_a_handover_the_new_leader_can_be_stopped_or_killed_at_once(pair: tuple[Site, Site]) -> None:
    """As in an upgrade of both: hand over, upgrade one, start it again, and the same the other way round."""
    one, two = pair
    for old, new in ((one, two), (two, one)):
        done = await old.operate("lead", new.folder.name, "--reason", "an upgrade", "--yes")
        assert done.code == 0, done.err
        await until("it leads", lambda new=new: leads(new))  # type: ignore[misc]  # bound at once
        with in_time(2.0, slack_seconds=2.0):
            new.daemons[-1].terminate()
            await until("the other leads again", lambda old=old: leads(old))  # type: ignore[misc]  # bound at once
        assert await new.daemons[-1].ended() == 0
        assert why_taken(old).startswith(f"{new.folder.name} gave up the leadership ")
        new.start()
        await until("it stands by", lambda new=new: new.shows("/readyz", HTTPStatus.OK))  # type: ignore[misc]  # bound at once
        done = await old.operate("lead", new.folder.name, "--reason", "its turn", "--yes")
        assert done.code == 0, done.err
        await until("it leads", lambda new=new: leads(new))  # type: ignore[misc]  # bound at once
    assert await leads(one)
    with in_time(15.0, slack_seconds=2.0):
        one.daemons[-1].kill()
        await until("the other leads", lambda: leads(two))
    assert why_taken(two).startswith("one has not renewed its leadership, which expired ")


async def test_a_frozen_leader_writes_nothing_when_it_goes_on(pair: tuple[Site, Site]) -> None:
    one, two = pair
    one.daemons[-1].freeze()
    await until("the other leads", lambda: leads(two))
    assert (await ask(two, "ben"))[0] == 201
    one.daemons[-1].thaw()
    answers = await asyncio.gather(*(ask(one, node) for node in ("anna", "ben", "carl")))
    assert (answers[0][0], answers[2][0]) == (409, 409)
    await until("it stands by", lambda: bool(one.daemons[-1].events("leader.lost")))
    assert (await two.leases())["g1"]["token"] == 1
    await one.until_ready()  # it has seen who leads
    assert [(await ask(one, node))[0] for node in ("anna", "ben")] == [409, 201]
