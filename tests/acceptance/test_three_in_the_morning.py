"""An operator at 3 a.m.: one command says how things are, one says why a node waits, one frees a group; each also says when it cannot."""

from __future__ import annotations

import pytest

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, ask, granted, group_of_three
from tests.support.patience import until


async def test_the_commands_show_who_holds_and_why_others_wait_and_free_a_group(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    await site.start_ready()
    await granted(site, "anna")
    await hub.report("anna", Word.INITIATED)
    assert (await ask(site, "ben"))[0] == 409

    status = await site.operate("status")
    assert status.code == 0
    assert status.out.startswith("ready; ")
    assert "held 1" in status.out
    assert "o1/ben, agent upgrade o1/up1" in status.out
    explained = await site.operate("explain", "o1/ben")
    assert explained.code == 0
    assert "o1/anna" in explained.out.splitlines()[0], "the first line answers"
    assert "lease-held" in explained.out
    leases = await site.operate("leases", "--json")
    [lease] = [each for each in leases.json["leases"] if each["state"] == "held"]
    assert (leases.code, lease["holder"], lease["token"]) == (0, "o1/anna", 1)

    assert (await site.operate("release", "o1/g1", "--yes", "--token", "7", "--reason", "a wrong guess")).code == 7
    freed = await site.operate("release", "o1/g1", "--yes", "--token", "1", "--reason", "it burns")
    assert (freed.code, "o1/anna" in freed.out) == (0, True)
    assert await site.holder() is None
    [entry] = [each for each in await site.journal() if each["event"] == "lease.released"]
    assert (entry["facts"]["cause"], entry["facts"]["why"]) == ("forced", "it burns")
    assert entry["who"] != "coordinator"


async def test_in_the_morning_the_night_can_be_reported_and_its_decisions_derived_again(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    await site.start_ready()
    await granted(site, "anna")
    await hub.report("anna", Word.INITIATED)
    assert (await ask(site, "ben"))[0] == 409
    assert (await site.operate("hold", "o1", "--reason", "enough for tonight")).code == 0
    assert (await site.operate("release", "o1/g1", "--yes", "--token", "1", "--reason", "it burns")).code == 0

    async def emitted() -> bool:  # a refusal is written in the next cycle
        return "wait.changed" in {each["event"] for each in await site.journal()}

    await until("the refusal is in the journal", emitted)
    night = await site.operate("history", "--in", "o1", "--since", "1h")
    assert night.code == 0
    for words in ("may upgrade o1/up1", "is waiting to upgrade o1/up1: lease-held", "enough for tonight", "it burns"):
        assert words in night.out
    reported_in_json = await site.operate("history", "--event", "lease.granted", "--json")
    [grant] = reported_in_json.json["entries"]
    assert (grant["node"], grant["token"]) == ("o1/anna", 1)
    assert set(grant["facts"]["decision_record"]["group"]["members"]) == {"o1/anna", "o1/ben", "o1/carl"}

    replayed = await site.operate("history", "replay")
    assert replayed.code == 0, replayed.out
    assert "0 different" in replayed.out


async def test_a_command_says_by_its_exit_code_what_it_could_not_do(hub: Hub, site: Site) -> None:
    await group_of_three(hub)
    await site.start_ready()
    assert (await site.operate("release", "o1/g1", "--reason", "nothing there")).code == 7
    assert (await site.operate("release", "o1/nowhere", "--reason", "nothing there")).code == 8
    assert (await site.operate("explain", "o1/nobody")).code == 8
    assert (await site.operate("explain", "nobody")).code == 2
    (site.folder / "operator-token").write_text("not-it\n", encoding="utf-8")
    assert (await site.operate("release", "o1/g1", "--reason", "no right to")).code == 7


@pytest.mark.parametrize(
    "words",
    [("status",), ("explain", "o1/ben"), ("leases", "--json"), ("release", "o1/g1", "--reason", "is it there?")],
    ids=lambda words: words[0],
)
async def test_with_the_daemon_down_a_command_ends_with_5_and_says_where_it_looked(
    absent_hub: Hub, site: Site, words: tuple[str, ...]
) -> None:
    stated = await site.operate(*words)
    assert stated.code == 5
    emitted = stated.out if "--json" in words else stated.err
    assert site.console in emitted
    assert "systemctl status agbot" in emitted
