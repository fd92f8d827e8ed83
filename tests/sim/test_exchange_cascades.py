"""What the Exchange deletes along with something else, and which rows the change feed has of it: one, or none at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agbot.sim.exchange import SimExchange, Write, seed
from tests.sim.plant import ADMIN, IBM_AGBOT, NODE, OWNER, ROOT, SETTLED_SECONDS, clock, plant

POLICY = {
    "label": "p",
    "service": {"name": "svc", "org": "o1", "arch": "amd64", "serviceVersions": [{"version": "1.0.0"}]},
}
PATTERN = {"label": "pat", "services": [{"serviceUrl": "svc"}]}
SERVICE = {"label": "svc", "url": "svc", "version": "1.0.0", "arch": "amd64", "sharable": "multiple"}


def full() -> SimExchange:
    """Return a hub in which jdoe's nodes n1 and n2 have a status, a policy and an agreement each, and jdoe owns all else there is."""
    at = clock()
    exchange = plant(at)
    for name in ("n1", "n2"):
        node = f"o1/{name}"
        seed.upgrade_status(exchange, "o1", name, "nmp", "initiated")
        agreed = {"agreementService": {"orgid": "o1", "pattern": "", "url": "o1/svc"}, "state": "Finalized Agreement"}
        seed.send(exchange, "PUT", f"/orgs/o1/nodes/{name}/agreements/a-{name}", agreed, caller=node)
        seed.send(exchange, "PUT", f"/orgs/o1/nodes/{name}/policy", {"properties": []}, caller=node)
        seed.send(exchange, "PUT", f"/orgs/o1/nodes/{name}/status", {"services": []}, caller=node)
    seed.send(exchange, "POST", "/orgs/o1/business/policies/dp", POLICY, caller=OWNER)
    seed.send(exchange, "POST", "/orgs/o1/patterns/pat", PATTERN, caller=OWNER)
    seed.send(exchange, "POST", "/orgs/o1/services", SERVICE, caller=OWNER)
    seed.serves(exchange, IBM_AGBOT, "o1")
    taken = {"service": {"orgid": "o1", "pattern": "", "url": "svc"}, "state": "Finalized Agreement"}
    seed.send(exchange, "PUT", "/orgs/IBM/agbots/agbot1/agreements/a-n1", taken, caller=IBM_AGBOT)
    at.advance(SETTLED_SECONDS)
    return exchange


def rows(exchange: SimExchange, act: Callable[[], object]) -> list[str]:
    """Do something and return the rows that the feed then has of it."""
    last = exchange.world.log.last_id
    act()
    body = {"changeId": last + 1, "maxRecords": 1000}
    changes = exchange.call("POST", "/orgs/IBM/changes", body).json()["changes"]
    return sorted(f"{row['resource']} {row['operation']} {row['orgId']}/{row['id']}" for row in changes)


def delete(exchange: SimExchange, path: str, caller: str = ROOT) -> list[str]:
    def act() -> None:
        assert exchange.call("DELETE", path, caller=caller).status == 204

    return rows(exchange, act)


def status_of(exchange: SimExchange, path: str, caller: str = ROOT) -> int:
    return exchange.call("GET", path, caller=caller).status


def test_a_management_policy_takes_every_status_along_and_the_agents_own_deletion_is_a_404_without_a_row() -> None:
    exchange = full()
    assert delete(exchange, "/orgs/o1/managementpolicies/nmp", ADMIN) == ["mgmtpolicy deleted o1/nmp"]
    path = "/orgs/o1/nodes/n1/managementStatus/nmp"
    assert status_of(exchange, path) == status_of(exchange, "/orgs/o1/nodes/n2/managementStatus") == 404
    assert rows(exchange, lambda: exchange.call("DELETE", path, caller=NODE)) == []
    assert exchange.call("DELETE", path, caller=NODE).status == 404


def test_a_node_takes_everything_of_its_own_along_with_one_row() -> None:
    exchange = full()
    assert delete(exchange, "/orgs/o1/nodes/n1", OWNER) == ["node deleted o1/n1"]
    gone = ("managementStatus", "agreements", "policy", "status")
    seed.node(exchange, "o1", "n1", owner=OWNER)
    assert [status_of(exchange, f"/orgs/o1/nodes/n1/{below}") for below in gone] == [404] * 4
    groups = exchange.call("GET", "/orgs/o1/hagroups/adm", caller=ADMIN).json()["nodeGroups"]
    assert groups[0]["members"] == []


def test_a_user_takes_nodes_policies_patterns_services_and_memberships_along_without_any_row() -> None:
    exchange = full()
    assert delete(exchange, "/orgs/o1/users/jdoe", ADMIN) == []
    for path in ("nodes/n1", "nodes/n2", "business/policies/dp", "patterns/pat", "services/svc_1.0.0_amd64"):
        assert status_of(exchange, f"/orgs/o1/{path}") == 404, path
    assert status_of(exchange, "/orgs/o1/nodes/free") == 200
    groups = exchange.call("GET", "/orgs/o1/hagroups", caller=ADMIN).json()["nodeGroups"]
    assert [group["members"] for group in groups] == [[], []]


def test_a_user_takes_agbots_along_without_any_row() -> None:
    exchange = full()
    body = {"token": "t", "name": "mine", "publicKey": "QUJD"}
    seed.send(exchange, "PUT", "/orgs/o1/agbots/mine", body, caller=OWNER)
    seed.send(exchange, "PUT", "/orgs/o1/agbots/mine/agreements/a", {"service": {}, "state": "s"}, caller="o1/mine")
    assert delete(exchange, "/orgs/o1/users/jdoe", ADMIN) == []
    assert status_of(exchange, "/orgs/o1/agbots/mine") == 404
    assert ("o1", "mine") not in exchange.world.agbot_agreements


def test_a_users_management_policies_go_silently_with_the_statuses_of_nodes_of_others() -> None:
    exchange = full()
    assert delete(exchange, "/orgs/o1/users/admin") == []
    assert status_of(exchange, "/orgs/o1/managementpolicies/nmp") == 404
    assert status_of(exchange, "/orgs/o1/nodes/n1/managementStatus") == 404
    assert status_of(exchange, "/orgs/o1/nodes/n1") == 200


def test_an_observer_of_the_simulation_hears_of_nodes_that_go_silently() -> None:
    received: list[Write] = []
    exchange = full()
    exchange.subscribe(received.append)
    delete(exchange, "/orgs/o1/users/jdoe", ADMIN)
    assert {(one.resource, one.operation, one.id) for one in received} == {
        ("node", "deleted", "n1"),
        ("node", "deleted", "n2"),
    }


def test_an_organisation_takes_everything_in_it_along_with_one_row() -> None:
    exchange = full()
    assert delete(exchange, "/orgs/o1") == ["org deleted o1/o1"]
    world = exchange.world
    tables = (world.users, world.nodes, world.agbots, world.groups, world.management_policies, world.business_policies)
    more = (world.management_status, world.node_agreements, world.node_policy, world.patterns, world.services)
    assert not [key for table in (*tables, *more) for key in table if key[0] == "o1"]


def test_an_agbot_takes_its_agreements_and_what_it_serves_along_with_one_row() -> None:
    exchange = full()
    assert delete(exchange, "/orgs/IBM/agbots/agbot1") == ["agbot deleted IBM/agbot1"]
    seed.agbot(exchange, "IBM", "agbot1")
    for below in ("agreements", "businesspols"):
        assert status_of(exchange, f"/orgs/IBM/agbots/agbot1/{below}") == 404


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("/orgs/o1/patterns/pat", "pattern deleted o1/pat"),
        ("/orgs/o1/services/svc_1.0.0_amd64", "service deleted o1/svc_1.0.0_amd64"),
        ("/orgs/o1/business/policies/dp", "policy deleted o1/dp"),
    ],
)
def test_a_pattern_a_service_or_a_deployment_policy_has_one_row(path: str, row: str) -> None:
    assert delete(full(), path) == [row]


def test_a_group_frees_its_members() -> None:
    exchange = full()
    delete(exchange, "/orgs/o1/hagroups/adm", ADMIN)
    node = exchange.call("GET", "/orgs/o1/nodes/n1", caller=NODE).json()["nodes"][NODE]
    assert node["ha_group"] is None


def test_a_poll_sets_the_agbots_own_heartbeat_which_it_can_read() -> None:
    at = clock()
    exchange = plant(at)

    def heartbeat() -> str:
        found = exchange.call("GET", "/orgs/IBM/agbots/agbot1", caller=IBM_AGBOT).json()["agbots"][IBM_AGBOT]
        return str(found["lastHeartbeat"])

    before = heartbeat()
    at.advance(5)
    exchange.call("POST", "/orgs/IBM/changes", {"changeId": 0, "maxRecords": 1}, caller=IBM_AGBOT)
    assert before < heartbeat()
    assert heartbeat().startswith(f"{exchange.now():%Y-%m-%dT%H:%M:%S}")
