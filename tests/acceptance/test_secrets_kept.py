"""No one's secret is anywhere: no log, no metric, no answer, no file of ours, no process's arguments, however talkative the log."""

from __future__ import annotations

from pathlib import Path

from agbot.sim.agent_state import Word
from tests.acceptance.hub import Hub, auth_of, revealed
from tests.acceptance.programs import Program
from tests.acceptance.site import OPERATOR, Site, ask, granted, group_of_three
from tests.support.patience import until

PATHS = ("/readyz?verbose", "/healthz", "/metrics", "/v1/groups", "/v1/leases", "/v1/journal", "/v1/explain/o1/ben")
WRONG = "hush7wrong7hush"


async def test_nobodys_secret_is_anywhere(hub: Hub, site: Site) -> None:
    assert site.tables["log"]["level"] == "debug"
    await group_of_three(hub)
    secrets = {*hub.auths, ("o1/ben", WRONG), ("operator", OPERATOR)}
    site.installed = True
    daemon = await site.start_ready()

    await granted(site, "anna")
    assert (await ask(site, "ben"))[0] == 409
    assert (await ask(site, "ben", secret=WRONG))[0] == 401
    await passed(site)
    stated = [await site.operate(*words) for words in (("status",), ("leases", "--json"), ("explain", "o1/ben"))]
    stated.append(await site.operate("release", "o1/g1", "--yes", "--reason", "a trial"))
    async with site.session.post(
        f"{site.console}/v1/holds", json={"scope": "*", "reason": "x"}, headers={"Authorization": f"Bearer {WRONG}"}
    ) as denied:
        assert denied.status == 401
    shown = [(await site.get(path))[1] for path in PATHS]
    for fault in ({"kind": "drop"}, {"kind": "status", "status": 401}, {"kind": "garbage", "text": "{"}):
        await hub.break_down(fault)
        await ask(site, "carl")
        await until("the failure in the log", lambda: daemon.events("exchange.failed"))
        shown.append((await site.get("/readyz?verbose"))[1])
    await hub.break_down()
    await hub.report("anna", Word.SUCCESSFUL)
    seen = {about: of_process(daemon, about) for about in ("cmdline", "environ")}
    daemon.terminate()
    assert await daemon.ended() == 0

    seen["log"] = daemon.log
    seen |= {f"path {number}": text for number, text in enumerate(shown)}
    seen |= {f"command {number}": each.out + each.err for number, each in enumerate(stated)}
    own = {"exchange-token", "operator-token"}
    files = [file for file in site.folder.iterdir() if file.name not in own]
    assert site.store_file in files
    seen |= {f"file {file.name}": file.read_bytes().decode("latin-1") for file in files}
    assert {place: revealed(secrets, text) for place, text in seen.items() if revealed(secrets, text)} == {}
    assert revealed({auth_of("anna")}, f"it finds what it looks for: {auth_of('anna')[1]}")


def of_process(daemon: Program, about: str) -> str:
    """Return what everybody on the machine can read about a process."""
    return Path(f"/proc/{daemon.pid}/{about}").read_text(encoding="utf-8")


async def passed(site: Site) -> None:
    """Send credentials on a route that is passed on, to an agbot that is not there."""
    async with site.session.get(
        f"{site.gateway}/status", auth=None, headers={"Authorization": f"Basic {WRONG}"}
    ) as got:
        assert got.status == 502
