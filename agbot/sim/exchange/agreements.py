"""Agreements as nodes and agbots report them (`exchange-api.md` 2.9 and 4.2).

The routes are `…/nodes/{id}/agreements` and `…/agbots/{id}/agreements`. The node's body has
`agreementService` where its GET shows `agrService`. Of these, agbots see only deletions in the
change feed.
"""

from __future__ import annotations

from agbot.sim.exchange import body
from agbot.sim.exchange.access import Verb, refused
from agbot.sim.exchange.agbots import allow_agbot
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.identity import Role
from agbot.sim.exchange.message import Answer, Doc, bad_input, broken, filled, gone, not_found, ok
from agbot.sim.exchange.nodes import allow
from agbot.sim.exchange.router import Call, Route

_SERVICE = Shape("tables.NAService", {"orgid": Kind.TEXT, "url": Kind.TEXT})
_AGREED = Shape("tables.NAgrService", {"orgid": Kind.TEXT, "pattern": Kind.TEXT, "url": Kind.TEXT})
_NODE_PUT = Shape(
    "node.PutNodeAgreementRequest",
    {"services": _SERVICE.list_of(), "agreementService": _AGREED, "state": Kind.TEXT},
)
_AGBOT_PUT = Shape("agreementbot.PutAgbotAgreementRequest", {"service": _AGREED, "state": Kind.TEXT})
_CONFIRM = Shape("agreement.PostAgreementsConfirmRequest", {"agreementId": Kind.TEXT})

Agreements = dict[str, Doc]


def _shown(agreements: Agreements) -> Answer:
    return filled({"agreements": agreements, "lastIndex": 0}, when=agreements)


def _only(agreements: Agreements, agreement: str) -> Agreements:
    return {agreement: agreements[agreement]} if agreement in agreements else {}


def _of_node(call: Call) -> Agreements:
    return call.world.node_agreements.get((call.org, call.id), {})


def _of_agbot(call: Call) -> Agreements:
    return call.world.agbot_agreements.get((call.org, call.id), {})


def _node_list(call: Call) -> Answer:
    allow(call, Verb.READ)
    return _shown(_of_node(call))


def _node_get(call: Call) -> Answer:
    allow(call, Verb.READ)
    return _shown(_only(_of_node(call), call.path["agreement"]))


def _node_put(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    given = body.read(call.request, _NODE_PUT)
    if "state" not in given or not ({"services", "agreementService"} & given.keys()):
        raise bad_input("must specify at least one of services or agreementService")
    node = call.world.nodes.get((call.org, call.id))
    if node is None:
        raise broken(f"agreement for node '{call.org}/{call.id}' not inserted: violates foreign key constraint")
    agreed = given.get("agreementService", {})
    doc = {
        "services": given.get("services", []),
        "agrService": {name: agreed.get(name, "") for name in _AGREED.fields},
        "state": given["state"],
        "lastUpdated": call.stamp,
    }
    call.world.node_agreements.setdefault((call.org, call.id), {})[call.path["agreement"]] = doc
    node.doc["lastUpdated"] = call.stamp
    if call.query.get("noheartbeat") != "true":
        node.doc["lastHeartbeat"] = call.stamp
    call.note("nodeagreements", "created/modified", call.id, {"agreement": call.path["agreement"], **doc})
    return ok("agreement added or updated")


def _node_delete(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    agreement = call.path["agreement"]
    if _of_node(call).pop(agreement, None) is None:
        raise not_found(f"agreement '{agreement}' for node '{call.org}/{call.id}' not found")
    call.note("nodeagreements", "deleted", call.id, {"agreement": agreement})
    return gone()


def _node_delete_all(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    if not (agreements := _of_node(call)):
        raise not_found(f"agreements for node '{call.org}/{call.id}' not found")
    agreements.clear()
    call.note("nodeagreements", "deleted", call.id)
    return gone()


def _agbot_list(call: Call) -> Answer:
    allow_agbot(call, Verb.READ)
    return _shown(_of_agbot(call))


def _agbot_get(call: Call) -> Answer:
    allow_agbot(call, Verb.READ)
    return _shown(_only(_of_agbot(call), call.path["agreement"]))


def _agbot_put(call: Call) -> Answer:
    allow_agbot(call, Verb.WRITE)
    given = body.read(call.request, _AGBOT_PUT)
    if "state" not in given or "service" not in given:
        raise bad_input("bad input")
    if (call.org, call.id) not in call.world.agbots:
        raise broken(f"agreement for agbot '{call.org}/{call.id}' not inserted: violates foreign key constraint")
    doc = {
        "service": {name: given["service"].get(name, "") for name in _AGREED.fields},
        "state": given["state"],
        "lastUpdated": call.stamp,
        "dataLastReceived": "",
    }
    call.world.agbot_agreements.setdefault((call.org, call.id), {})[call.path["agreement"]] = doc
    call.note("agbotagreements", "created/modified", call.id, {"agreement": call.path["agreement"], **doc})
    return ok("agreement added or updated")


def _agbot_delete(call: Call) -> Answer:
    allow_agbot(call, Verb.WRITE)
    agreement = call.path["agreement"]
    if _of_agbot(call).pop(agreement, None) is None:
        raise not_found(f"agreement '{agreement}' for agbot '{call.org}/{call.id}' not found")
    call.note("agbotagreements", "deleted", call.id, {"agreement": agreement})
    return gone()


def _confirm(call: Call) -> Answer:
    if call.identity.role is Role.NODE:
        raise refused(call.identity, "READ_MY_AGBOTS", f"agbot={call.org}/#")
    wanted = body.read(call.request, _CONFIRM).get("agreementId", "")
    for (org, _), agreements in call.world.agbot_agreements.items():
        if org in (call.org, call.identity.org) and agreements.get(wanted, {}).get("state"):
            return ok("agreement active")
    raise not_found("agreement not found or not active")


ROUTES = (
    Route("GET", "/orgs/{org}/nodes/{id}/agreements", _node_list),
    Route("DELETE", "/orgs/{org}/nodes/{id}/agreements", _node_delete_all),
    Route("GET", "/orgs/{org}/nodes/{id}/agreements/{agreement}", _node_get),
    Route("PUT", "/orgs/{org}/nodes/{id}/agreements/{agreement}", _node_put),
    Route("DELETE", "/orgs/{org}/nodes/{id}/agreements/{agreement}", _node_delete),
    Route("GET", "/orgs/{org}/agbots/{id}/agreements", _agbot_list),
    Route("GET", "/orgs/{org}/agbots/{id}/agreements/{agreement}", _agbot_get),
    Route("PUT", "/orgs/{org}/agbots/{id}/agreements/{agreement}", _agbot_put),
    Route("DELETE", "/orgs/{org}/agbots/{id}/agreements/{agreement}", _agbot_delete),
    Route("POST", "/orgs/{org}/agreements/confirm", _confirm),
)
