"""Agbots, their heartbeat, and the patterns and policies that they serve.

`/orgs/{org}/agbots[/{id}]` and the routes below it (`exchange-api.md` 4.1, 4.3). An entry of a
served list is named `policyOrg_policy_nodeOrg`. If the node organisation is left out, the real
Exchange stores the policy's name in its place; so does this one.
"""

from __future__ import annotations

from agbot.sim.exchange import body
from agbot.sim.exchange.access import MINE, Target, TargetKind, Verb, check
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.identity import Role
from agbot.sim.exchange.message import Answer, Doc, bad_input, denied, filled, found, gone, not_found, ok, taken
from agbot.sim.exchange.router import Call, Route
from agbot.sim.exchange.world import MASK, Agbot

_FIELDS = {"token": Kind.TEXT, "name": Kind.TEXT, "msgEndPoint": Kind.TEXT, "publicKey": Kind.TEXT}
_PUT = Shape("agreementbot.PutAgbotsRequest", _FIELDS)
_PATCH = Shape("agreementbot.PatchAgbotsRequest", _FIELDS)
_SERVED_POLICY = Shape(
    "agreementbot.PostAgbotBusinessPolRequest",
    {"businessPolOrgid": Kind.TEXT, "businessPol": Kind.TEXT, "nodeOrgid": Kind.TEXT},
)
_SERVED_PATTERN = Shape(
    "agreementbot.PostAgbotPatternRequest",
    {"patternOrgid": Kind.TEXT, "pattern": Kind.TEXT, "nodeOrgid": Kind.TEXT},
)


def allow_agbot(call: Call, verb: Verb) -> None:
    """Check that the caller may read or write the agbot in the path.

    Raises:
        Refusal: 403, or root's 404.
    """
    agbot = call.world.agbots.get((call.org, call.id))
    owner = agbot.owner if agbot else None
    target = Target(kind=TargetKind.AGBOT, org=call.org, id=call.id, owner=owner, present=agbot is not None)
    check(call.identity, target, verb)


def _list(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.AGBOT, org=call.org, id=MINE), Verb.READ)
    agbots = {f"{org}/{name}": agbot.doc for (org, name), agbot in call.world.agbots.items() if org == call.org}
    return filled({"agbots": agbots, "lastIndex": 0}, when=agbots)


def _get(call: Call) -> Answer:
    allow_agbot(call, Verb.READ)
    agbot = call.world.agbots.get((call.org, call.id))
    if agbot is None:
        raise not_found()
    return found({"agbots": {f"{call.org}/{call.id}": agbot.doc}, "lastIndex": 0})


def _put(call: Call) -> Answer:
    existing = call.world.agbots.get((call.org, call.id))
    allow_agbot(call, Verb.WRITE)
    given = body.read(call.request, _PUT)
    if not given.get("token") or "name" not in given or "publicKey" not in given:
        raise bad_input("bad input")
    if call.org not in call.world.orgs:
        raise not_found(f"org '{call.org}' not found")
    owner = existing.owner if existing and call.identity.role is Role.AGBOT else call.identity.name
    doc = {
        "id": f"{call.org}/{call.id}",
        "lastHeartbeat": call.stamp,
        "msgEndPoint": given.get("msgEndPoint", ""),
        "name": given["name"],
        "orgid": call.org,
        "owner": owner,
        "publicKey": given["publicKey"],
        "token": MASK,
    }
    call.world.agbots[call.org, call.id] = Agbot(token=given["token"], owner=owner, doc=doc)
    call.note("agbot", "created/modified", call.id)
    return ok("agbot added or updated")


def _existing(call: Call) -> Agbot:
    allow_agbot(call, Verb.WRITE)
    agbot = call.world.agbots.get((call.org, call.id))
    if agbot is None:
        raise not_found(f"agbot '{call.org}/{call.id}' not found")
    return agbot


def _patch(call: Call) -> Answer:
    agbot = _existing(call)
    given = body.read(call.request, _PATCH)
    name = next((field for field in _FIELDS if field in given), None)
    if name is None:
        raise bad_input("bad input")
    if name == "token":
        agbot.token = given[name]
    else:
        agbot.doc[name] = given[name]
    agbot.doc["lastHeartbeat"] = call.stamp
    call.note("agbot", "modified", call.id)
    return ok(f"attribute '{name}' of agbot '{call.org}/{call.id}' updated")


def _delete(call: Call) -> Answer:
    _existing(call)
    call.world.drop_agbot((call.org, call.id))
    call.note("agbot", "deleted", call.id)
    return gone()


def _heartbeat(call: Call) -> Answer:
    agbot = _existing(call)
    agbot.doc["lastHeartbeat"] = call.stamp
    call.world.notify(call.at, "agbot", "heartbeat", (call.org, call.id))
    return ok("agbot updated")


def _serves_policies(call: Call) -> Answer:
    allow_agbot(call, Verb.READ)
    served = call.world.served_policies.get((call.org, call.id), {})
    return filled({"businessPols": served}, when=served)


def _serves_patterns(call: Call) -> Answer:
    allow_agbot(call, Verb.READ)
    served = call.world.served_patterns.get((call.org, call.id), {})
    return filled({"patterns": served}, when=served)


def _serve_policy(call: Call) -> Answer:
    given = _served(call, _SERVED_POLICY, "businessPolOrgid", "businessPol")
    org, name = given["businessPolOrgid"], given["businessPol"]
    entry = f"{org}_{name}_{given.get('nodeOrgid', org)}"
    served = call.world.served_policies.setdefault((call.org, call.id), {})
    if entry in served:
        raise taken(f"businessPol {entry} already exists")
    served[entry] = {
        "businessPolOrgid": org,
        "businessPol": name,
        "lastUpdated": call.stamp,
        "nodeOrgid": given.get("nodeOrgid", name),
    }
    call.note("agbotbusinesspols", "created", call.id)
    return ok(f"businessPol {entry} added")


def _serve_pattern(call: Call) -> Answer:
    given = _served(call, _SERVED_PATTERN, "patternOrgid", "pattern")
    org, name = given["patternOrgid"], given["pattern"]
    node_org = given.get("nodeOrgid", org)
    entry = f"{org}_{name}_{node_org}"
    served = call.world.served_patterns.setdefault((call.org, call.id), {})
    if entry in served:
        raise taken(f"pattern {entry} already exists")
    served[entry] = {"lastUpdated": call.stamp, "nodeOrgid": node_org, "pattern": name, "patternOrgid": org}
    call.note("agbotpatterns", "created", call.id)
    return ok(f"pattern {entry} added")


def _served(call: Call, shape: Shape, *needed: str) -> Doc:
    allow_agbot(call, Verb.WRITE)
    given = body.read(call.request, shape)
    if any(name not in given for name in needed):
        raise bad_input("bad input")
    if (call.org, call.id) not in call.world.agbots:
        raise denied("access denied")
    return given


def _stop_serving_policy(call: Call) -> Answer:
    allow_agbot(call, Verb.WRITE)
    if call.world.served_policies.get((call.org, call.id), {}).pop(call.path["entry"], None) is None:
        raise not_found(f"businessPol '{call.path['entry']}' not found")
    call.note("agbotbusinesspols", "deleted", call.id)
    return gone()


ROUTES = (
    Route("GET", "/orgs/{org}/agbots", _list),
    Route("GET", "/orgs/{org}/agbots/{id}", _get),
    Route("PUT", "/orgs/{org}/agbots/{id}", _put),
    Route("PATCH", "/orgs/{org}/agbots/{id}", _patch),
    Route("DELETE", "/orgs/{org}/agbots/{id}", _delete),
    Route("POST", "/orgs/{org}/agbots/{id}/heartbeat", _heartbeat),
    *(
        route
        for policies, patterns in (("businesspols", "patterns"), ("deployment/policy", "deployment/patterns"))
        for route in (
            Route("GET", f"/orgs/{{org}}/agbots/{{id}}/{policies}", _serves_policies),
            Route("POST", f"/orgs/{{org}}/agbots/{{id}}/{policies}", _serve_policy),
            Route("DELETE", f"/orgs/{{org}}/agbots/{{id}}/{policies}/{{entry}}", _stop_serving_policy),
            Route("GET", f"/orgs/{{org}}/agbots/{{id}}/{patterns}", _serves_patterns),
            Route("POST", f"/orgs/{{org}}/agbots/{{id}}/{patterns}", _serve_pattern),
        )
    ),
)
