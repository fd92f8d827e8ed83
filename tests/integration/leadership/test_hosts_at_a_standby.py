"""A host asks a coordinator that stands by: only the leader's own answer lets it reboot."""

from __future__ import annotations

import pytest

from agbot.sim.fleetlock import FleetLockClient, Locked
from tests.acceptance.hub import ORG, secret_of
from tests.integration.leadership.conftest import Running, Site, answering


def host(standby: Running, node: str) -> FleetLockClient:
    return FleetLockClient(base_url=standby.gateway, identity=f"{ORG}/{node}", secret=secret_of(node))


async def test_a_host_gets_the_leader_s_yes_and_its_refusal_through_a_standby(site: Site) -> None:
    await site.leader("one", fleetlock=True)
    standby = await site.standby("two", fleetlock=True)
    first = await host(standby, "anna").pre_reboot()
    other = await host(standby, "ben").pre_reboot()
    back = await host(standby, "anna").steady_state()

    assert (first, back) == (Locked(200), Locked(200))
    assert (other.status, other.kind) == (409, "lease-held")


@pytest.mark.parametrize(
    "answer",
    [
        "200 OK\r\nContent-Length: 7\r\n\r\na proxy",
        "200 OK\r\nContent-Length: 0\r\n\r\n",
        "204 No Content\r\n\r\n",
        "404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        '599 Odd\r\nContent-Length: 26\r\n\r\n{"kind": "a", "value": ""}',
    ],
)
async def test_what_is_no_answer_of_a_coordinator_lets_no_host_reboot(site: Site, answer: str) -> None:
    async with answering(answer) as url:
        await site.leader("one", gateway_url=url, fleetlock=True)
        standby = await site.standby("two", fleetlock=True)
        refused = await host(standby, "anna").pre_reboot()

    assert (refused.status, refused.kind) == (409, "no-leader")
