"""How strictly the simulated Exchange reads requests, and what it counts and reports of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agbot.sim.exchange import Request, Write, basic, seed
from agbot.sim.faults import Fault, FaultKind
from tests.sim.plant import ADMIN, EPOCH, IBM_AGBOT, NODE, OWNER, ROOT, SETTLED_SECONDS, plant
from tests.sim.recorded import body_of, pairs

TRIPLE = {"token": "t", "pattern": "", "publicKey": ""}
JSON_HEADERS = {"Authorization": basic(ROOT, "rootpw"), "Content-Type": "application/json"}


def test_the_loser_of_two_member_adds_gets_the_recorded_500() -> None:
    (pair,) = pairs("exchange-race.jsonl")
    exchange = plant()
    seed.user(exchange, "o1", "orgadmin", admin=True)
    exchange.world.users["o1", "orgadmin"].password = "Adm1n-Pass"
    seed.node(exchange, "o1", "edge-gw-03")
    seed.group(exchange, "o1", "r1", ["edge-gw-03"])
    seed.group(exchange, "o1", "r2", [])
    exchange.faults.add(Fault(kind=FaultKind.RACE, path="/hagroups/"))
    reply = exchange.handle(pair.request)
    assert (reply.status, body_of(reply.body.decode(), "application/json")) == (
        pair.status,
        body_of(pair.body, "application/json"),
    )
    assert exchange.world.nodes["o1", "edge-gw-03"].doc["ha_group"] == "r1"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({**TRIPLE}, 400),
        ({**TRIPLE, "name": "n"}, 201),
        ({**TRIPLE, "name": "n", "arch": None, "softwareVersions": None}, 201),
        ({**TRIPLE, "name": "n", "nodeType": "toaster"}, 400),
        ({**TRIPLE, "name": "n", "pattern": "nopattern"}, 400),
        ({**TRIPLE, "name": "n", "pattern": "o1/nosuch"}, 400),
        ({**TRIPLE, "name": "n", "token": ""}, 400),
        ({**TRIPLE, "name": "n", "ha_group": "g"}, 400),
        ({**TRIPLE, "name": "n", "registeredServices": [{"url": "u", "colour": 1}]}, 400),
        ({**TRIPLE, "name": "n", "registeredServices": "u"}, 400),
        ({**TRIPLE, "name": ["n"]}, 400),
        ({**TRIPLE, "name": 5}, 201),
        ({"name": "n", "token": "t"}, 400),
        ({"name": "n"}, 500),
    ],
)
def test_a_node_is_created_only_from_a_body_that_the_exchange_takes(given: dict[str, Any], status: int) -> None:
    assert plant().call("PUT", "/orgs/o1/nodes/new", given, caller=OWNER).status == status


def test_an_update_without_the_triple_keeps_token_pattern_and_key() -> None:
    exchange = plant()
    assert exchange.call("PUT", "/orgs/o1/nodes/n1", {"name": "renamed"}, caller=NODE).status == 201
    node = exchange.world.nodes["o1", "n1"]
    assert (node.token, node.doc["publicKey"], node.doc["name"], node.owner) == ("n1-secret", "QUJD", "renamed", OWNER)
    assert node.doc["ha_group"] == "adm"


def test_a_new_token_counts_at_once() -> None:
    exchange = plant()
    exchange.call("PATCH", "/orgs/o1/nodes/n1", {"publicKey": ""}, caller=NODE)
    old = Request(method="GET", target="/v1/orgs/o1/nodes/n1", headers={"Authorization": basic(NODE, "n1-secret")})
    assert exchange.handle(old).status == 200
    exchange.call("PATCH", "/orgs/o1/nodes/n1", {"token": "new"}, caller=NODE)
    assert exchange.handle(old).status == 401


@pytest.mark.parametrize(
    ("body", "headers", "status", "content_type"),
    [
        (b"", {}, 400, "text/plain; charset=UTF-8"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "text/plain; charset=UTF-8"),
        (b"{", {}, 400, "application/json"),
        (b"[]", {}, 400, "application/json"),
        (b'{"changeId": NaN}', {}, 400, "application/json"),
        (b'{"changeId": {}}', {}, 400, "application/json"),
        (b'{"changeId": "5"}', {}, 201, "application/json"),
        (b'{"lastUpdated": ""}', {}, 400, "application/json"),
        (b"[" * 100_000, {}, 400, "application/json"),
        (b'{"orgList": ["' + b"x" * 9_000_000 + b'"]}', {}, 400, "application/json"),
        (b'{"orgList": ["\\ud800"]}', {}, 201, "application/json"),
    ],
)
def test_a_body_that_is_no_fitting_json_is_refused(
    body: bytes, headers: dict[str, str], status: int, content_type: str
) -> None:
    request = Request(method="POST", target="/v1/orgs/o1/changes", headers={**JSON_HEADERS, **headers}, body=body)
    reply = plant().handle(request)
    assert (reply.status, reply.headers["Content-Type"]) == (status, content_type)


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic %%%", basic("rootroot", "rootpw"), "Bearer abc", "Basic cm9vdC9yb290"],
)
def test_a_header_that_is_no_credentials_is_an_invalid_one(header: str) -> None:
    reply = plant().handle(Request(method="GET", target="/v1/orgs", headers={"Authorization": header}))
    assert (reply.status, reply.json()["msg"]) == (401, "invalid.credentials")


@pytest.mark.parametrize("target", ["/v1/orgs/o1/nodes/", "/v1/orgs//nodes", "/v2/orgs", "/v1/nosuch", "/v1"])
def test_an_unknown_path_is_401_without_credentials_and_404_with(target: str) -> None:
    exchange = plant()
    assert exchange.handle(Request(method="GET", target=target)).status == 401
    assert exchange.handle(Request(method="GET", target=target, headers=JSON_HEADERS)).status == 404


def test_an_encoded_slash_stays_inside_its_path_segment() -> None:
    exchange = plant()
    target = "/v1/orgs/o1/hagroups/a%2Fb%20%C3%A4"
    assert exchange.handle(Request(method="POST", target=target, headers=JSON_HEADERS, body=b"{}")).status == 201
    assert (
        exchange.handle(Request(method="GET", target=target, headers=JSON_HEADERS)).json()["nodeGroups"][0]["name"]
        == "a/b \N{LATIN SMALL LETTER A WITH DIAERESIS}"
    )


@pytest.mark.parametrize("query", ["idfilter=o1/n%25", "idfilter=o1/n_", "owner=o1/jdoe", "name=n%25"])
def test_nodes_can_be_filtered_with_sql_wildcards(query: str) -> None:
    nodes = plant().call("GET", f"/orgs/o1/nodes?{query}", caller=IBM_AGBOT).json()["nodes"]
    assert set(nodes) == {"o1/n1", "o1/n2"}


def test_health_lists_the_nodes_whose_heartbeat_is_not_older() -> None:
    exchange = plant()
    exchange.call("POST", "/orgs/o1/nodes/n1/heartbeat", caller=NODE)
    body = {"lastTime": EPOCH.isoformat().replace("12:00:00", "12:00:05")}
    reply = exchange.call("POST", "/orgs/o1/search/nodehealth", body, caller=IBM_AGBOT)
    assert (reply.status, set(reply.json()["nodes"])) == (201, {"o1/n1"})


def test_the_end_of_a_policy_is_the_end_of_its_statuses() -> None:
    exchange = plant()
    seed.upgrade_status(exchange, "o1", "n1", "nmp", "waiting")
    exchange.call("DELETE", "/orgs/o1/managementpolicies/nmp", caller=ADMIN)
    assert exchange.call("GET", "/orgs/o1/nodes/n1/managementStatus", caller=IBM_AGBOT).json() == {
        "managementStatus": {},
        "lastIndex": 0,
    }


def test_requests_are_counted_by_method_route_and_role() -> None:
    exchange = plant()
    for caller in (IBM_AGBOT, IBM_AGBOT, NODE):
        exchange.call("GET", "/orgs/o1/nodes/n1", caller=caller)
    exchange.handle(Request(method="GET", target="/v1/orgs/o1/nodes/n1"))
    template = "/orgs/{org}/nodes/{id}"
    assert exchange.count(method="GET", template=template, role="agbot") == 2
    assert exchange.count(template=template) == exchange.requests.total() == 4
    assert exchange.count(role="anonymous") == 1


def test_an_observer_is_reported_of_every_write_with_its_content() -> None:
    exchange = plant()
    writes: list[Write] = []
    exchange.subscribe(writes.append)
    seed.upgrade_status(exchange, "o1", "n1", "nmp", "initiated", version="2.32.0")
    exchange.call("POST", "/orgs/o1/nodes/n1/heartbeat", caller=NODE)
    assert [(write.resource, write.operation, write.org, write.id) for write in writes] == [
        ("nodemgmtpolstatus", "created/modified", "o1", "n1"),
        ("node", "heartbeat", "o1", "n1"),
    ]
    assert (writes[0].data["policy"], writes[0].data["status"]) == ("o1/nmp", "initiated")
    assert (writes[0].at - EPOCH).total_seconds() == SETTLED_SECONDS


def test_a_seed_that_is_refused_says_why() -> None:
    with pytest.raises(seed.SeedRefused, match=r"409.*already exists"):
        seed.group(plant(), "o1", "adm", [])


def test_every_reply_is_json_that_can_be_read_back() -> None:
    reply = plant().call("GET", "/orgs/o1/hagroups")
    assert json.loads(reply.body) == reply.json()
    assert int(reply.headers["Content-Length"]) == len(reply.body)
