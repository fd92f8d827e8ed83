"""Node management policies: `/orgs/{org}/managementpolicies[/{id}]` (`exchange-api.md` 3.1).

Only an organisation's admin or root can write them. A PUT of a policy that does not exist answers
201 and logs a change, but stores nothing. A duplicate POST is a 403, not a 409.
"""

from __future__ import annotations

from http import HTTPStatus

from agbot.sim.exchange import body
from agbot.sim.exchange.access import MINE, Target, TargetKind, Verb, check
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.message import Answer, Doc, Refusal, bad_input, filled, found, gone, not_found, ok
from agbot.sim.exchange.router import Call, Route
from agbot.sim.exchange.world import Owned

_UPGRADE = Shape("tables.AgentUpgradePolicy", {"manifest": Kind.TEXT, "allowDowngrade": Kind.FLAG})
_PROPERTY = Shape("tables.OneProperty", {"name": Kind.TEXT, "type": Kind.TEXT, "value": Kind.ANY})
_BODY = Shape(
    "managementpolicy.PostPutManagementPolicyRequest",
    {
        "label": Kind.TEXT,
        "description": Kind.TEXT,
        "properties": _PROPERTY.list_of(),
        "constraints": Kind.TEXTS,
        "patterns": Kind.TEXTS,
        "enabled": Kind.FLAG,
        "start": Kind.TEXT,
        "startWindow": Kind.NUMBER,
        "agentUpgradePolicy": _UPGRADE,
    },
)


def _allow(call: Call, verb: Verb) -> Owned | None:
    policy = call.world.management_policies.get((call.org, call.id))
    present = policy is not None
    check(call.identity, Target(kind=TargetKind.MANAGEMENT_POLICY, org=call.org, id=call.id, present=present), verb)
    return policy


def _list(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.MANAGEMENT_POLICY, org=call.org, id=MINE), Verb.READ)
    policies = {f"{call.org}/{name}": policy.doc for name, policy in call.world.management_policies.of_org(call.org)}
    return filled({"managementPolicy": policies, "lastIndex": 0}, when=policies)


def _get(call: Call) -> Answer:
    policy = _allow(call, Verb.READ)
    wanted = call.query.get("attribute", "")
    if policy and wanted in policy.doc:
        return found({"attribute": wanted, "value": str(policy.doc[wanted])})
    policies = {f"{call.org}/{call.id}": policy.doc} if policy else {}
    return filled({"managementPolicy": policies, "lastIndex": 0}, when=policies)


def _given(call: Call) -> Doc:
    given = body.read(call.request, _BODY)
    if "label" not in given:
        raise bad_input("bad input")
    if "constraints" in given and "patterns" in given:
        raise bad_input("you can not specify both constraints and patterns")
    return given


def _doc(call: Call, given: Doc) -> Doc:
    upgrade = given.get("agentUpgradePolicy")
    if upgrade is not None:
        upgrade = {"allowDowngrade": upgrade.get("allowDowngrade", False), "manifest": upgrade.get("manifest")}
    return {
        "agentUpgradePolicy": upgrade,
        "constraints": given.get("constraints", []),
        "created": call.stamp,
        "description": given.get("description", given["label"]),
        "enabled": given.get("enabled", False),
        "label": given["label"],
        "lastUpdated": call.stamp,
        "owner": call.identity.name,
        "patterns": given.get("patterns", []),
        "properties": given.get("properties", []),
        "start": given.get("start", "now"),
        "startWindow": max(0, given.get("startWindow", 0)),
    }


def _post(call: Call) -> Answer:
    _allow(call, Verb.CREATE)
    given = _given(call)
    name = f"{call.org}/{call.id}"
    if (call.org, call.id) in call.world.management_policies:
        raise Refusal(HTTPStatus.FORBIDDEN, "already-exists", f"management policy '{name}' already exists")
    if call.org not in call.world.orgs:
        raise not_found(f"org '{call.org}' not found")
    doc = _doc(call, given)
    call.world.management_policies[call.org, call.id] = Owned(owner=call.identity.name, doc=doc)
    call.note("mgmtpolicy", "created", call.id, doc)
    return ok(f"management policy '{name}' created")


def _put(call: Call) -> Answer:
    policy = _allow(call, Verb.WRITE)
    doc = _doc(call, _given(call))
    if policy is not None:
        policy.owner, policy.doc = call.identity.name, doc
    call.note("mgmtpolicy", "modified", call.id, doc)
    return ok("management policy updated")


def _delete(call: Call) -> Answer:
    if _allow(call, Verb.WRITE) is None:
        raise not_found(f"management policy '{call.org}/{call.id}' not found")
    call.world.drop_management_policy((call.org, call.id))
    call.note("mgmtpolicy", "deleted", call.id)
    return gone()


ROUTES = (
    Route("GET", "/orgs/{org}/managementpolicies", _list),
    Route("GET", "/orgs/{org}/managementpolicies/{id}", _get),
    Route("POST", "/orgs/{org}/managementpolicies/{id}", _post),
    Route("PUT", "/orgs/{org}/managementpolicies/{id}", _put),
    Route("DELETE", "/orgs/{org}/managementpolicies/{id}", _delete),
)
