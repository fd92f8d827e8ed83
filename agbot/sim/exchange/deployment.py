"""Deployment policies: `/orgs/{org}/business/policies[/{id}]`, alias `/deployment/policies`.

Field names and defaults are those of recorded replies. Unlike the real Exchange, this one does not
check that the services of a policy exist.
"""

from __future__ import annotations

from agbot.sim.exchange import body
from agbot.sim.exchange.access import MINE, Target, TargetKind, Verb, check
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.message import Answer, Doc, bad_input, filled, found, gone, not_found, ok, taken
from agbot.sim.exchange.router import Call, Handler, Route
from agbot.sim.exchange.world import Owned

_DEFAULT_HEALTH_SECONDS = 1800

_VERSION = Shape("tables.BServiceVersions", {"version": Kind.TEXT, "priority": Kind.MAP, "upgradePolicy": Kind.MAP})
_HEALTH = Shape(
    "tables.BNodeHealth", {"missing_heartbeat_interval": Kind.NUMBER, "check_agreement_status": Kind.NUMBER}
)
_SERVICE = Shape(
    "tables.BService",
    {
        "name": Kind.TEXT,
        "org": Kind.TEXT,
        "arch": Kind.TEXT,
        "serviceVersions": _VERSION.list_of(),
        "nodeHealth": _HEALTH,
        "clusterNamespace": Kind.TEXT,
    },
)
_FIELDS: dict[str, Kind | Shape] = {
    "label": Kind.TEXT,
    "description": Kind.TEXT,
    "service": _SERVICE,
    "userInput": Kind.LIST,
    "secretBinding": Kind.LIST,
    "properties": Kind.LIST,
    "constraints": Kind.TEXTS,
}
_BODY = Shape("deploymentpolicy.PostPutBusinessPolicyRequest", _FIELDS)
_PATCH = Shape("deploymentpolicy.PatchBusinessPolicyRequest", _FIELDS)


def policy_target(call: Call) -> Target:
    """Return the deployment policy in the path as the target of a permission check."""
    policy = call.world.business_policies.get((call.org, call.id))
    owner = policy.owner if policy else None
    return Target(kind=TargetKind.BUSINESS, org=call.org, id=call.id, owner=owner, present=policy is not None)


def _list(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.BUSINESS, org=call.org, id=MINE), Verb.READ)
    policies = {
        f"{org}/{name}": policy.doc for (org, name), policy in call.world.business_policies.items() if org == call.org
    }
    return filled({"businessPolicy": policies, "lastIndex": 0}, when=policies)


def _get(call: Call) -> Answer:
    check(call.identity, policy_target(call), Verb.READ)
    policy = call.world.business_policies.get((call.org, call.id))
    if policy is None:
        return filled({"businessPolicy": {}, "lastIndex": 0}, when=False)
    return found({"businessPolicy": {f"{call.org}/{call.id}": policy.doc}, "lastIndex": 0})


def _service(given: Doc) -> Doc:
    return {
        "name": given.get("name"),
        "org": given.get("org"),
        "arch": given.get("arch"),
        "serviceVersions": [
            {
                "version": one.get("version"),
                "priority": one.get("priority"),
                "upgradePolicy": one.get("upgradePolicy"),
            }
            for one in given.get("serviceVersions", [])
        ],
        "nodeHealth": {
            "missing_heartbeat_interval": _DEFAULT_HEALTH_SECONDS,
            "check_agreement_status": _DEFAULT_HEALTH_SECONDS,
            **given.get("nodeHealth", {}),
        },
        "clusterNamespace": given.get("clusterNamespace"),
    }


def _given(call: Call) -> Doc:
    given = body.read(call.request, _BODY)
    if "label" not in given or "service" not in given:
        raise bad_input("bad input")
    if not given["service"].get("serviceVersions"):
        raise bad_input("no versions specified in 'serviceVersions'")
    return given


def _doc(call: Call, given: Doc, *, owner: str, created: str) -> Doc:
    return {
        "constraints": given.get("constraints", []),
        "created": created,
        "description": given.get("description", given["label"]),
        "label": given["label"],
        "lastUpdated": call.stamp,
        "owner": owner,
        "properties": given.get("properties", []),
        "secretBinding": given.get("secretBinding", []),
        "service": _service(given["service"]),
        "userInput": given.get("userInput", []),
    }


def _post(call: Call) -> Answer:
    check(call.identity, policy_target(call), Verb.CREATE)
    given = _given(call)
    if (call.org, call.id) in call.world.business_policies:
        raise taken(f"business policy '{call.org}/{call.id}' already exists")
    doc = _doc(call, given, owner=call.identity.name, created=call.stamp)
    call.world.business_policies[call.org, call.id] = Owned(owner=call.identity.name, doc=doc)
    call.note("policy", "created", call.id, doc)
    return ok(f"business policy '{call.org}/{call.id}' created")


def _existing(call: Call) -> Owned:
    check(call.identity, policy_target(call), Verb.WRITE)
    policy = call.world.business_policies.get((call.org, call.id))
    if policy is None:
        raise not_found(f"business policy '{call.org}/{call.id}' not found")
    return policy


def _put(call: Call) -> Answer:
    policy = _existing(call)
    policy.doc = _doc(call, _given(call), owner=policy.owner, created=policy.doc["created"])
    call.note("policy", "created/modified", call.id, policy.doc)
    return ok("business policy updated")


def _patch(call: Call) -> Answer:
    policy = _existing(call)
    given = body.read(call.request, _PATCH)
    if len(given) != 1:
        raise bad_input("bad input")
    ((name, value),) = given.items()
    policy.doc = {**policy.doc, name: _service(value) if name == "service" else value, "lastUpdated": call.stamp}
    call.note("policy", "modified", call.id, policy.doc)
    return ok(f"attribute '{name}' of business policy '{call.org}/{call.id}' updated")


def _delete(call: Call) -> Answer:
    _existing(call)
    del call.world.business_policies[call.org, call.id]
    call.note("policy", "deleted", call.id)
    return gone()


_HANDLERS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", _list),
    ("GET", "/{id}", _get),
    ("POST", "/{id}", _post),
    ("PUT", "/{id}", _put),
    ("PATCH", "/{id}", _patch),
    ("DELETE", "/{id}", _delete),
)
ROUTES = tuple(
    Route(method, f"/orgs/{{org}}/{alias}/policies{rest}", handler)
    for alias in ("business", "deployment")
    for method, rest, handler in _HANDLERS
)
