"""Shadow mode as an operator runs it: the daemon as a process beside an agbot, with no agent pointed at it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from functools import partial

from agbot.sim.agbot_database import AgbotDatabase
from agbot.sim.agbot_rows import AgbotRows, AgentRow
from agbot.sim.clock import ScaledClock
from agbot.sim.local_api import LocalApi, Shown
from agbot.sim.plain_http import listening
from tests.acceptance.hub import NMP, ORG, Hub
from tests.acceptance.site import Site, group_of_three
from tests.support.patience import until
from tests.support.postgres import Postgres


@dataclass
class Agbot:
    """The real agbot's side: its rows, and its local API."""

    rows: AgbotRows = field(default_factory=AgbotRows)

    def __post_init__(self) -> None:
        self.api = LocalApi(self.rows, ScaledClock(), Shown(org="IBM", id="agbot1"))

    def permit(self, node: str) -> None:
        self.rows.agents.append(AgentRow(org=ORG, group="g1", node=node, nmp=NMP))


async def test_differences_are_shown_and_nothing_listens_for_agents(hub: Hub, site: Site) -> None:
    agbot = Agbot()
    async with listening(agbot.api) as local:
        site.tables |= {"run": {"mode": "gateway"}, "agbot": {"api": [local.url]}}
        site.tables["exchange"] |= {"view_max_age_seconds": 60.0, "request_seconds": 10.0}  # blind, it compares nothing
        site.tables["mqtt"] = {"host": "127.0.0.1", "port": 1}
        site.write()
        await group_of_three(hub)
        daemon = await site.start_ready(AGBOT_RUN_MODE="shadow")
        await until("the first look at the agbot's rows", partial(_shows, site, '"agbot": "listed"'))
        for number, node in enumerate(("anna", "ben"), start=1):
            await hub.report(node, "downloaded")
            agbot.permit(node)
            await until(f"{node} compared", partial(_has, site, f"agbot_shadow_compared_total {number}.0"))
        said = await site.operate("shadow")
        status = await site.operate("status")
        doctor = await site.operate("doctor", str(site.settings_file))
        is_open = _listens(site.gateway_port)
        daemon.terminate()
        await daemon.ended()

    assert said.code == 0, said.err
    words = " ".join(said.out.split())
    assert "agbot: the agbot let o1/ben begin the agent upgrade o1/up1 (its row has been listed since" in words
    assert "here: the coordinator would have kept it waiting: o1/anna has been upgrading o1/up1 since" in words
    assert "compared 2 decisions of the agbot since the start; the coordinator decided 1 of them differently" in words
    assert status.out.startswith("SHADOW MODE: nothing is granted. Compared 2 decisions of the agbot since the start")
    assert "shadow mode listens for no agents" in doctor.out
    assert not is_open
    assert [line["mode"] for line in daemon.events("daemon.started")] == ["shadow"]
    assert daemon.events("delivery.failed") == [], "the broker is not even tried"
    assert {request.split()[0] for request in agbot.api.requests} == {"GET"}


async def test_the_option_wins_over_the_file_and_another_word_is_refused(site: Site) -> None:
    site.tables["run"] = {"mode": "mirror"}
    site.write()
    wrong = await site.programs.run("run", "--config", site.settings_file)
    assert (wrong.code, '"mirror" is not one of gateway, shadow' in wrong.err) == (1, True)
    assert (await site.programs.run("run", "--mode", "mirror")).code == 2


async def _shows(site: Site, text: str) -> bool:
    """Whether the summary has this. What began before the first look is not compared."""
    return text.replace(" ", "") in (await site.get("/healthz"))[1].replace(" ", "")


async def _has(site: Site, sample: str) -> bool:
    return sample in (await site.get("/metrics"))[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_it_reads_the_agbot_s_database_where_there_is_no_local_api(
    hub: Hub, site: Site, postgres_server: Postgres, postgres_database: str
) -> None:
    agbot = AgbotDatabase(postgres_server.url(postgres_database))
    try:
        site.tables |= {"run": {"mode": "shadow"}, "agbot": {"database": postgres_server.url(postgres_database)}}
        site.tables["exchange"] |= {"view_max_age_seconds": 60.0, "request_seconds": 10.0}
        site.write()
        await group_of_three(hub)
        await site.start_ready()
        await until("the first look at the agbot's rows", partial(_shows, site, '"agbot": "listed"'))
        await hub.report("anna", "downloaded")
        assert agbot.claim_agent(AgentRow(org=ORG, group="g1", node="anna", nmp=NMP))
        await until("anna compared", partial(_has, site, "agbot_shadow_compared_total 1.0"))
    finally:
        agbot.close()
    assert await site.holder() == "anna"
