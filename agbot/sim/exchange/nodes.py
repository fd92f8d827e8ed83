"""Nodes: `/orgs/{org}/nodes[/{id}]` and their heartbeat (`exchange-api.md` 2.1 to 2.7).

`ha_group` is shown here but cannot be set here. A change of membership does not change a node's
`lastUpdated`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from agbot.sim.exchange import body
from agbot.sim.exchange.access import MINE, Target, TargetKind, Verb, check
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.identity import Role
from agbot.sim.exchange.message import Answer, Doc, Refusal, bad_input, denied, filled, found, gone, not_found, ok
from agbot.sim.exchange.message import broken as server_error
from agbot.sim.exchange.router import Call, Route
from agbot.sim.exchange.world import MASK, Node

NO_INTERVALS = {"minInterval": 0, "maxInterval": 0, "intervalAdjustment": 0}

INTERVALS = Shape(
    "tables.NodeHeartbeatIntervals",
    {"minInterval": Kind.NUMBER, "maxInterval": Kind.NUMBER, "intervalAdjustment": Kind.NUMBER},
)
_PROPERTY = Shape(
    "tables.Prop", {"name": Kind.TEXT, "value": Kind.TEXT, "propType": Kind.TEXT, "op": Kind.TEXT}
).list_of()
_REGISTERED = Shape(
    "tables.RegService",
    {
        "url": Kind.TEXT,
        "numAgreements": Kind.NUMBER,
        "configState": Kind.TEXT,
        "policy": Kind.TEXT,
        "properties": _PROPERTY,
        "version": Kind.TEXT,
    },
).list_of()
_SETTABLE: dict[str, Kind | Shape] = {
    "token": Kind.TEXT,
    "name": Kind.TEXT,
    "nodeType": Kind.TEXT,
    "pattern": Kind.TEXT,
    "registeredServices": _REGISTERED,
    "userInput": Kind.LIST,
    "msgEndPoint": Kind.TEXT,
    "softwareVersions": Kind.MAP,
    "publicKey": Kind.TEXT,
    "arch": Kind.TEXT,
    "heartbeatIntervals": INTERVALS,
    "clusterNamespace": Kind.TEXT,
    "isNamespaceScoped": Kind.FLAG,
}
_PUT = Shape("node.PutNodesRequest", {**_SETTABLE, "jsonFormats": Kind.ANY})
_PATCH = Shape("node.PatchNodesRequest", _SETTABLE)
_IDENTITY_TRIPLE = ("token", "pattern", "publicKey")
_ATTRIBUTES = {name.lower(): name for name in (*_SETTABLE, "id", "lastHeartbeat", "lastUpdated", "owner")}


def target(call: Call) -> Target:
    """Return the node in the path as the target of a permission check."""
    node = call.world.nodes.get((call.org, call.id))
    return Target(
        kind=TargetKind.NODE, org=call.org, id=call.id, owner=node.owner if node else None, present=node is not None
    )


def allow(call: Call, verb: Verb) -> None:
    """Check that the caller may read or write the node in the path.

    Raises:
        Refusal: 403, or root's 404.
    """
    check(call.identity, target(call), verb)


def _like(pattern: str) -> Callable[[str], bool]:
    """Return a test for SQL's LIKE: `%` matches anything, `_` any one character."""
    parts = (".*" if char == "%" else "." if char == "_" else re.escape(char) for char in pattern)
    matches = re.compile("".join(parts), re.DOTALL).fullmatch
    return lambda text: matches(text) is not None


Test = Callable[[str, Node], bool]


def _field_like(field: str, pattern: str) -> Test:
    like = _like(pattern)
    return lambda _, node: like(node.doc[field])


def _filters(call: Call) -> list[Test]:
    query = call.query
    tests: list[Test] = []
    if "idfilter" in query:
        by_id = _like(query["idfilter"])
        tests.append(lambda node_id, _: by_id(f"{call.org}/{node_id}"))
    for name, field in (("name", "name"), ("arch", "arch"), ("clusternamespace", "clusterNamespace")):
        if name in query:
            tests.append(_field_like(field, query[name]))
    if "nodetype" in query:
        wanted = query["nodetype"]
        if wanted not in ("device", "cluster"):
            raise bad_input("bad input")
        tests.append(lambda _, node: node.doc["nodeType"] == wanted)
    if "isNamespaceScoped" in query:
        scoped = query["isNamespaceScoped"] == "true"
        tests.append(lambda _, node: node.doc["isNamespaceScoped"] is scoped)
    if "owner" in query and call.identity.role in (Role.ADMIN, Role.AGBOT):
        tests.append(_field_like("owner", query["owner"]))
    return tests


def _list(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.NODE, org=call.org, id=MINE), Verb.READ)
    tests = _filters(call)
    if call.identity.role is Role.USER:
        tests.append(lambda _, node: node.owner == call.identity.name)
    nodes = {
        f"{call.org}/{node_id}": node.doc
        for node_id, node in call.world.nodes.of_org(call.org)
        if all(test(node_id, node) for test in tests)
    }
    return filled({"nodes": nodes, "lastIndex": 0}, when=nodes)


def _get(call: Call) -> Answer:
    allow(call, Verb.READ)
    node = call.world.nodes.get((call.org, call.id))
    if node is None:
        raise not_found()
    wanted = call.query.get("attribute", "")
    attribute = wanted if wanted == "ha_group" else _ATTRIBUTES.get(wanted.lower())
    if attribute is None:
        return found({"nodes": {f"{call.org}/{call.id}": node.doc}, "lastIndex": 0})
    value = f"{call.org}/{call.id}" if attribute == "id" else node.doc[attribute]
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return found({"attribute": attribute, "value": text})


def _check_put(call: Call, given: Doc, existing: Node | None) -> None:
    if "name" not in given or given.get("nodeType", "device") not in ("device", "cluster"):
        raise bad_input("bad input")
    if given.get("pattern") and "/" not in given["pattern"]:
        raise bad_input("the 'pattern' attribute must have the orgid prepended, with a slash separating")
    present = {name for name in _IDENTITY_TRIPLE if name in given}
    if present and len(present) < len(_IDENTITY_TRIPLE):
        raise bad_input(f"public key is set for node '{call.org}/{call.id}', cannot set a token")
    if existing is None and not present:
        raise server_error("None.get")
    if given.get("token") == "" and call.identity.role is not Role.ROOT:
        raise bad_input("invalid input: the token must not be blank")
    if call.id in ("iamapikey", "iamtoken"):
        raise bad_input(f"node id '{call.id}' is reserved")
    pattern = given.get("pattern", "")
    if pattern and tuple(pattern.split("/", 1)) not in call.world.patterns:
        raise bad_input(f"pattern '{pattern}' not found")
    guarded = call.identity.role not in (Role.NODE, Role.ROOT) and existing is not None
    if present and guarded and existing is not None and existing.doc["publicKey"]:
        raise bad_input(f"public key is set for node '{call.org}/{call.id}', cannot set a token")


def _registered(services: list[Doc]) -> list[Doc]:
    return [
        {
            "url": one.get("url"),
            "numAgreements": one.get("numAgreements", 0),
            "configState": one.get("configState", "active"),
            "policy": one.get("policy"),
            "properties": one.get("properties", []),
            "version": one.get("version", ""),
        }
        for one in services
    ]


def _doc(call: Call, given: Doc, existing: Node | None, owner: str) -> Doc:
    before: Doc = existing.doc if existing else {}
    silent = call.query.get("noheartbeat") == "true"
    return {
        "token": MASK,
        "name": given["name"],
        "owner": owner,
        "nodeType": given.get("nodeType", "device"),
        "pattern": given.get("pattern", before.get("pattern", "")),
        "registeredServices": _registered(given.get("registeredServices", [])),
        "userInput": given.get("userInput", []),
        "msgEndPoint": given.get("msgEndPoint", ""),
        "softwareVersions": given.get("softwareVersions", {}),
        "lastHeartbeat": before.get("lastHeartbeat") if silent else call.stamp,
        "publicKey": given.get("publicKey", before.get("publicKey", "")),
        "arch": given.get("arch", ""),
        "heartbeatIntervals": {**NO_INTERVALS, **given.get("heartbeatIntervals", {})},
        "ha_group": before.get("ha_group"),
        "lastUpdated": call.stamp,
        "clusterNamespace": given.get("clusterNamespace", ""),
        "isNamespaceScoped": given.get("isNamespaceScoped", False),
    }


def _put(call: Call) -> Answer:
    existing = call.world.nodes.get((call.org, call.id))
    allow(call, Verb.WRITE)
    given = body.read(call.request, _PUT)
    _check_put(call, given, existing)
    if call.org not in call.world.orgs:
        raise server_error(f"org '{call.org}' not found")
    owner = existing.owner if existing else call.identity.name
    token = given.get("token", existing.token if existing else "")
    doc = _doc(call, given, existing, owner)
    call.world.nodes[call.org, call.id] = Node(token=token, owner=owner, doc=doc)
    call.note("node", "modified" if existing else "created", call.id, doc)
    return ok("node added or updated")


def _check_patch(call: Call, node: Node, name: str, value: object) -> None:
    key_is_set = bool(node.doc["publicKey"])
    if name == "publicKey":
        if call.identity.role not in (Role.NODE, Role.ROOT):
            raise denied("access denied")
        if key_is_set and value != "":
            raise bad_input(f"public key is set for node '{call.org}/{call.id}', cannot set a public key")
    if name == "token" and key_is_set:
        raise bad_input(f"public key is set for node '{call.org}/{call.id}', cannot set a token")


def _patch(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    given = body.read(call.request, _PATCH)
    if len(given) != 1:
        raise bad_input("bad input")
    node = call.world.nodes.get((call.org, call.id))
    if node is None:
        raise not_found()
    ((name, value),) = given.items()
    _check_patch(call, node, name, value)
    if name == "token":
        node.token = value
    else:
        node.doc[name] = _registered(value) if name == "registeredServices" else value
    node.doc["lastUpdated"] = call.stamp
    call.note("node", "modified", call.id, node.doc)
    return ok(f"attribute '{name}' of node '{call.org}/{call.id}' updated")


def _missing(call: Call) -> Refusal:
    return not_found(f"node '{call.org}/{call.id}' not found")


def _delete(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    if (call.org, call.id) not in call.world.nodes:
        raise _missing(call)
    call.world.drop_node((call.org, call.id))
    call.note("node", "deleted", call.id)
    return gone()


def _heartbeat(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    node = call.world.nodes.get((call.org, call.id))
    if node is None:
        raise _missing(call)
    node.doc["lastHeartbeat"] = call.stamp
    call.world.notify(call.at, "node", "heartbeat", (call.org, call.id))
    return ok("node updated")


ROUTES = (
    Route("GET", "/orgs/{org}/nodes", _list),
    Route("GET", "/orgs/{org}/nodes/{id}", _get),
    Route("PUT", "/orgs/{org}/nodes/{id}", _put),
    Route("PATCH", "/orgs/{org}/nodes/{id}", _patch),
    Route("DELETE", "/orgs/{org}/nodes/{id}", _delete),
    Route("POST", "/orgs/{org}/nodes/{id}/heartbeat", _heartbeat),
)
