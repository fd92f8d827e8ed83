"""Reads of many nodes at once: node health, policy search, node details (`exchange-api.md` 2.11).

Node health compares heartbeats as text. An empty result is a 404 with the normal empty body.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from agbot.sim.exchange import body
from agbot.sim.exchange.access import ALL, MINE, Target, TargetKind, Verb, check
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.identity import Role
from agbot.sim.exchange.message import Answer, Doc, bad_input, filled, found, not_found
from agbot.sim.exchange.router import Call, Route
from agbot.sim.exchange.world import Node

_HEALTH = Shape("search.PostNodeHealthRequest", {"lastTime": Kind.TEXT, "nodeOrgids": Kind.TEXTS})
_SEARCH = Shape(
    "deploymentpolicy.PostBusinessPolicySearchRequest",
    {
        "changedSince": Kind.NUMBER,
        "nodeOrgids": Kind.TEXTS,
        "numEntries": Kind.NUMBER,
        "session": Kind.TEXT,
        "startIndex": Kind.TEXT,
    },
)


def _allow_all_nodes(call: Call) -> None:
    check(call.identity, Target(kind=TargetKind.NODE, org=call.org, id=ALL), Verb.READ)


def _health(call: Call, orgs: list[str], pattern: str, last_time: str) -> Answer:
    nodes: Doc = {}
    for org in orgs:
        for name, node in call.world.nodes.of_org(org):
            heartbeat = node.doc["lastHeartbeat"]
            if node.doc["pattern"] == pattern and heartbeat is not None and heartbeat >= last_time:
                agreements = call.world.node_agreements.get((org, name), {})
                nodes[f"{org}/{name}"] = {
                    "lastHeartbeat": heartbeat,
                    "agreements": {key: {"lastUpdated": doc["lastUpdated"]} for key, doc in agreements.items()},
                }
    return filled({"nodes": nodes}, when=nodes, status=HTTPStatus.CREATED)


def _last_time(given: Doc) -> str:
    if "lastTime" not in given:
        raise bad_input("bad input")
    return str(given["lastTime"])


def _policy_health(call: Call) -> Answer:
    _allow_all_nodes(call)
    return _health(call, [call.org], "", _last_time(body.read(call.request, _HEALTH)))


def _pattern_health(call: Call) -> Answer:
    _allow_all_nodes(call)
    given = body.read(call.request, _HEALTH)
    return _health(call, given.get("nodeOrgids") or [call.org], f"{call.org}/{call.id}", _last_time(given))


def _has_agreement(call: Call, org: str, name: str, service: str) -> bool:
    agreements = call.world.node_agreements.get((org, name), {})
    return any(doc["agrService"]["url"] == service and doc["state"] for doc in agreements.values())


def _candidates(call: Call, orgs: list[str], policy: Doc) -> Iterator[tuple[str, Node]]:
    service = policy["service"]
    url = f"{service['org']}/{service['name']}"
    for org in orgs:
        for name, node in call.world.nodes.of_org(org):
            doc = node.doc
            wanted = doc["pattern"] == "" and doc["publicKey"] != "" and doc["lastHeartbeat"] is not None
            fits = service["arch"] in ("", "*", None, doc["arch"])
            if wanted and fits and not _has_agreement(call, org, name, url):
                yield f"{org}/{name}", node


def _policy_search(call: Call) -> Answer:
    _allow_all_nodes(call)
    given = body.read(call.request, _SEARCH)
    policy = call.world.business_policies.get((call.org, call.id))
    if policy is None or given.get("changedSince", 0) < 0:
        raise bad_input(f"business policy '{call.org}/{call.id}' not found")
    orgs = given.get("nodeOrgids") or [call.org]
    nodes = [
        {"id": name, "nodeType": node.doc["nodeType"], "publicKey": node.doc["publicKey"]}
        for name, node in _candidates(call, orgs, policy.doc)
    ]
    return filled({"nodes": nodes, "offsetUpdated": False}, when=nodes, status=HTTPStatus.CREATED)


def _details(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.NODE, org=call.org, id=MINE), Verb.READ)
    rows = [
        _detail(call, name, node)
        for name, node in sorted(call.world.nodes.of_org(call.org), key=lambda item: item[0])
        if call.identity.role is not Role.USER or node.owner == call.identity.name
    ]
    if not rows:
        raise not_found()
    return found(rows)


def _detail(call: Call, name: str, node: Node) -> Doc:
    status = call.world.node_status.get((call.org, name), {})
    policy = call.world.node_policy.get((call.org, name), {})
    doc = {key: None if value == "" else value for key, value in node.doc.items() if key != "lastUpdated"}
    return {
        **doc,
        "id": f"{call.org}/{name}",
        "orgid": call.org,
        "connectivity": status.get("connectivity"),
        "constraints": policy.get("constraints"),
        "errors": None,
        "lastUpdatedNode": node.doc["lastUpdated"],
        "lastUpdatedNodeError": None,
        "lastUpdatedNodePolicy": policy.get("lastUpdated"),
        "lastUpdatedNodeStatus": status.get("lastUpdated"),
        "properties": policy.get("properties"),
        "runningServices": status.get("runningServices"),
        "services": status.get("services"),
    }


ROUTES = (
    Route("POST", "/orgs/{org}/search/nodehealth", _policy_health),
    Route("GET", "/orgs/{org}/node-details", _details),
    *(
        Route("POST", f"/orgs/{{org}}{alias}/patterns/{{id}}/nodehealth", _pattern_health)
        for alias in ("", "/deployment")
    ),
    *(
        Route("POST", f"/orgs/{{org}}/{alias}/policies/{{id}}/search", _policy_search)
        for alias in ("business", "deployment")
    ),
)
