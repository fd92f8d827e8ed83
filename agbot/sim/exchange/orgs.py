"""Organisations, and the versions that agents may run (`exchange-api.md` 5.2 and 3.3).

`/orgs[/{org}]` and `/orgs/IBM/AgentFileVersion`. An agbot that lists organisations gets only its
own, even an agbot of `IBM`.
"""

from __future__ import annotations

from agbot.sim.exchange import body, stamp
from agbot.sim.exchange.access import Target, TargetKind, Verb, check, require
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.identity import MULTITENANT_ORG, Role
from agbot.sim.exchange.message import Answer, Doc, bad_input, filled, found, gone, not_found, ok, taken
from agbot.sim.exchange.nodes import INTERVALS, NO_INTERVALS
from agbot.sim.exchange.router import Call, Route

_FIELDS: dict[str, Kind | Shape] = {
    "orgType": Kind.TEXT,
    "label": Kind.TEXT,
    "description": Kind.TEXT,
    "tags": Kind.MAP,
    "limits": Shape("tables.OrgLimits", {"maxNodes": Kind.NUMBER}),
    "heartbeatIntervals": INTERVALS,
}
_BODY = Shape("organization.PostPutOrgRequest", _FIELDS)
_PATCH = Shape("organization.PatchOrgRequest", _FIELDS)
_FILES = Shape(
    "agent.PutAgentFileVersionRequest",
    {"agentCertVersions": Kind.TEXTS, "agentConfigVersions": Kind.TEXTS, "agentSoftwareVersions": Kind.TEXTS},
)
_MOST_NODES = 45_000


def org_doc(given: Doc, stamp: str) -> Doc:
    """Return an organisation as GET shows it."""
    return {
        "orgType": given.get("orgType", ""),
        "label": given["label"],
        "description": given["description"],
        "lastUpdated": stamp,
        "tags": given.get("tags"),
        "limits": {"maxNodes": given.get("limits", {}).get("maxNodes", 0)},
        "heartbeatIntervals": {**NO_INTERVALS, **given.get("heartbeatIntervals", {})},
    }


def _allow(call: Call, verb: Verb) -> None:
    check(call.identity, Target(kind=TargetKind.ORG, org=call.org, id=call.org), verb)


def _list(call: Call) -> Answer:
    everything = call.identity.role in (Role.ROOT, Role.HUB_ADMIN)
    orgs = {name: doc for name, doc in sorted(call.world.orgs.items()) if everything or name == call.identity.org}
    return filled({"orgs": orgs, "lastIndex": 0}, when=orgs)


def _get(call: Call) -> Answer:
    _allow(call, Verb.READ)
    orgs = {call.org: call.world.orgs[call.org]} if call.org in call.world.orgs else {}
    return filled({"orgs": orgs, "lastIndex": 0}, when=orgs)


def _given(call: Call) -> Doc:
    given = body.read(call.request, _BODY)
    if "label" not in given or "description" not in given:
        raise bad_input("bad input")
    if given.get("limits", {}).get("maxNodes", 0) > _MOST_NODES:
        raise bad_input(f"organization maxNodes is over the limit of {_MOST_NODES}")
    return given


def _post(call: Call) -> Answer:
    require(call.identity, "CREATE_ORGS", f"org={call.org}")
    given = _given(call)
    if call.org in call.world.orgs:
        raise taken(
            f"org '{call.org}' already exists: ERROR: duplicate key value violates unique constraint \"orgs_pkey\"\n"
            f"  Detail: Key (orgid)=({call.org}) already exists."
        )
    call.world.orgs[call.org] = org_doc(given, call.stamp)
    call.note("org", "created", call.org)
    return ok(f"org '{call.org}' created")


def _put(call: Call) -> Answer:
    _allow(call, Verb.WRITE)
    given = _given(call)
    if call.org not in call.world.orgs:
        raise not_found(f"org '{call.org}' not found")
    call.world.orgs[call.org] = org_doc(given, call.stamp)
    call.note("org", "created/modified", call.org)
    return ok(f"org '{call.org}' updated")


def _patch(call: Call) -> Answer:
    _allow(call, Verb.WRITE)
    given = body.read(call.request, _PATCH)
    org = call.world.orgs.get(call.org)
    if org is None:
        raise not_found(f"org '{call.org}' not found")
    if not given:
        raise bad_input("no valid org attribute specified")
    name = next(iter(given))
    org[name] = given[name]
    org["lastUpdated"] = call.stamp
    call.note("org", "modified", call.org)
    return ok(f"attribute '{name}' of org '{call.org}' updated")


def _delete(call: Call) -> Answer:
    require(call.identity, "DELETE_ORG", f"org={call.org}")
    if call.org == "root":
        raise bad_input("the root org can not be deleted")
    if call.org not in call.world.orgs:
        raise not_found(f"org '{call.org}' not found")
    call.world.drop_org(call.org, call.at)
    call.note("org", "deleted", call.org)
    return gone()


def _only_ibm(call: Call) -> None:
    if call.org != MULTITENANT_ORG:
        raise bad_input(f"invalid input: {call.org}")


def _files_get(call: Call) -> Answer:
    require(call.identity, "READ_AGENT_CONFIG_MGMT")
    _only_ibm(call)
    if call.world.agent_files is None:
        raise not_found(f"org '{call.org}' not found")
    return found(call.world.agent_files)


def _files_put(call: Call) -> Answer:
    require(call.identity, "WRITE_AGENT_CONFIG_MGMT")
    _only_ibm(call)
    given = body.read(call.request, _FILES)
    if any(name not in given for name in _FILES.fields):
        raise bad_input("bad input")
    call.world.agent_files = {
        **{name: given[name] for name in _FILES.fields},
        "lastUpdated": stamp.coarse(call.at),
    }
    call.note("agentfileversion", "modified", call.org)
    return ok(f"attribute 'AgentFileVersion' of org '{call.org}' updated")


def _files_delete(call: Call) -> Answer:
    require(call.identity, "WRITE_AGENT_CONFIG_MGMT")
    _only_ibm(call)
    call.world.agent_files = None
    call.note("agentfileversion", "modified", call.org)
    return gone()


ROUTES = (
    Route("GET", "/orgs", _list),
    Route("GET", "/orgs/{org}", _get),
    Route("POST", "/orgs/{org}", _post),
    Route("PUT", "/orgs/{org}", _put),
    Route("PATCH", "/orgs/{org}", _patch),
    Route("DELETE", "/orgs/{org}", _delete),
    Route("GET", "/orgs/{org}/AgentFileVersion", _files_get),
    Route("PUT", "/orgs/{org}/AgentFileVersion", _files_put),
    Route("DELETE", "/orgs/{org}/AgentFileVersion", _files_delete),
)
