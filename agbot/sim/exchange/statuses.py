"""What a node reports about itself: its upgrades, the status of its services, its policy.

`/orgs/{org}/nodes/{id}/managementStatus[/{policy}]`, `…/status`, `…/policy` (`exchange-api.md` 2.8
and 3.2). The Exchange stores any status word. None of these writes counts as a heartbeat.
"""

from __future__ import annotations

from agbot.sim.exchange import body
from agbot.sim.exchange.access import Verb
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.message import Answer, Doc, broken, filled, found, gone, not_found, ok
from agbot.sim.exchange.nodes import allow
from agbot.sim.exchange.router import Call, Route

_VERSIONS = Shape(
    "node.UpgradedVersions", {"softwareVersion": Kind.TEXT, "certVersion": Kind.TEXT, "configVersion": Kind.TEXT}
)
_UPGRADE = Shape(
    "node.NodeMangementPolicyStatus",
    {
        "scheduledTime": Kind.TEXT,
        "startTime": Kind.TEXT,
        "endTime": Kind.TEXT,
        "upgradedVersions": _VERSIONS,
        "status": Kind.TEXT,
        "errorMessage": Kind.TEXT,
    },
)
_PUT_UPGRADE = Shape("node.PutNodeMgmtPolStatusRequest", {"agentUpgradePolicyStatus": _UPGRADE})
_CONTAINER = Shape(
    "node.ContainerStatus", {"name": Kind.TEXT, "image": Kind.TEXT, "created": Kind.NUMBER, "state": Kind.TEXT}
)
_SERVICE = Shape(
    "node.OneService",
    {
        "agreementId": Kind.TEXT,
        "serviceUrl": Kind.TEXT,
        "orgid": Kind.TEXT,
        "version": Kind.TEXT,
        "arch": Kind.TEXT,
        "containerStatus": _CONTAINER.list_of(),
        "operatorStatus": Kind.ANY,
        "configState": Kind.TEXT,
    },
)
_PUT_STATUS = Shape("node.PutNodeStatusRequest", {"connectivity": Kind.MAP, "services": _SERVICE.list_of()})
_PUT_POLICY = Shape(
    "node.PutNodePolicyRequest",
    {
        "label": Kind.TEXT,
        "description": Kind.TEXT,
        "properties": Kind.LIST,
        "constraints": Kind.LIST,
        "deployment": Kind.MAP,
        "management": Kind.MAP,
        "nodePolicyVersion": Kind.TEXT,
    },
)


def _policy_id(call: Call) -> str:
    return f"{call.org}/{call.path['policy'].removeprefix(f'{call.org}/')}"


def _upgrade_list(call: Call) -> Answer:
    allow(call, Verb.READ)
    statuses = call.world.management_status.get((call.org, call.id), {})
    return filled({"managementStatus": statuses, "lastIndex": 0}, when=statuses)


def _upgrade_get(call: Call) -> Answer:
    allow(call, Verb.READ)
    policy = _policy_id(call)
    status = call.world.management_status.get((call.org, call.id), {}).get(policy)
    return filled({"managementStatus": {policy: status} if status else {}, "lastIndex": 0}, when=status)


def _upgrade_put(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    given = body.read(call.request, _PUT_UPGRADE).get("agentUpgradePolicyStatus", {})
    policy = _policy_id(call)
    failed = f"management policy '{policy}' status for node '{call.org}/{call.id}' not inserted or updated: "
    if "scheduledTime" not in given:
        raise broken(failed + 'ERROR: null value in column "time_scheduled" violates not-null constraint')
    if (call.org, call.id) not in call.world.nodes or (call.org, policy.split("/", 1)[1]) not in (
        call.world.management_policies
    ):
        raise broken(
            failed + "org.postgresql.util.PSQLException: ERROR: insert or update on table "
            '"management_policy_status_node" violates foreign key constraint "node_mgmt_pol_status_fk_mgmt_pols"\n'
            f'  Detail: Key (policy)=({policy}) is not present in table "managementpolicies".'
        )
    versions = given.get("upgradedVersions", {})
    status = {
        "scheduledTime": given["scheduledTime"],
        "startTime": given.get("startTime", ""),
        "endTime": given.get("endTime", ""),
        "upgradedVersions": {name: versions.get(name, "") for name in _VERSIONS.fields},
        "status": given.get("status", ""),
        "errorMessage": given.get("errorMessage", ""),
        "lastUpdated": call.stamp,
    }
    statuses = call.world.management_status.setdefault((call.org, call.id), {})
    statuses[policy] = {"agentUpgradePolicyStatus": status}
    call.note("nodemgmtpolstatus", "created/modified", call.id, {"policy": policy, **status})
    return ok(f"status added or updated for management policy '{policy}' for node '{call.org}/{call.id}'.")


def _upgrade_delete(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    policy = _policy_id(call)
    if call.world.management_status.get((call.org, call.id), {}).pop(policy, None) is None:
        raise not_found(f"management policy '{policy}' status for node '{call.org}/{call.id}' not found")
    call.note("nodemgmtpolstatus", "deleted", call.id, {"policy": policy})
    return gone()


def _service(given: Doc) -> Doc:
    return {
        "agreementId": given.get("agreementId"),
        "serviceUrl": given.get("serviceUrl"),
        "orgid": given.get("orgid"),
        "version": given.get("version"),
        "arch": given.get("arch"),
        "containerStatus": given.get("containerStatus", []),
        "operatorStatus": given.get("operatorStatus"),
        "configState": given.get("configState"),
    }


def _status_get(call: Call) -> Answer:
    allow(call, Verb.READ)
    status = call.world.node_status.get((call.org, call.id))
    if status is None:
        raise not_found()
    return found(status)


def _status_put(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    given = body.read(call.request, _PUT_STATUS)
    if (call.org, call.id) not in call.world.nodes:
        raise broken(f"status for node '{call.org}/{call.id}' not inserted or updated: violates foreign key constraint")
    services = [_service(one) for one in given.get("services", [])]
    names = [f"{one['orgid']}/{one['serviceUrl']}_{one['version']}_{one['arch']}" for one in services]
    status = {
        "connectivity": given.get("connectivity", {}),
        "services": services,
        "runningServices": "|" + "".join(f"{name}|" for name in names),
        "lastUpdated": call.stamp,
    }
    call.world.node_status[call.org, call.id] = status
    call.note("nodestatus", "created/modified", call.id, status)
    return ok("status added or update")


def _status_delete(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    if call.world.node_status.pop((call.org, call.id), None) is None:
        raise not_found(f"status for node '{call.org}/{call.id}' not found")
    call.note("nodestatus", "deleted", call.id)
    return gone()


def _policy_get(call: Call) -> Answer:
    allow(call, Verb.READ)
    policy = call.world.node_policy.get((call.org, call.id))
    if policy is None:
        raise not_found()
    return found(policy)


def _policy_put(call: Call) -> Answer:
    allow(call, Verb.WRITE)
    given = body.read(call.request, _PUT_POLICY)
    node = call.world.nodes.get((call.org, call.id))
    if node is None:
        raise not_found(f"node '{call.org}/{call.id}' not found")
    empty: Doc = {"label": "", "description": "", "properties": [], "constraints": [], "nodePolicyVersion": ""}
    more: Doc = {"deployment": {}, "management": {}, "lastUpdated": call.stamp}
    call.world.node_policy[call.org, call.id] = {**empty, **more, **given}
    node.doc["lastUpdated"] = call.stamp
    if call.query.get("noheartbeat") != "true":
        node.doc["lastHeartbeat"] = call.stamp
    call.note("nodepolicies", "created/modified", call.id)
    return ok("node policy added or updated")


ROUTES = (
    Route("GET", "/orgs/{org}/nodes/{id}/managementStatus", _upgrade_list),
    Route("GET", "/orgs/{org}/nodes/{id}/managementStatus/{policy}", _upgrade_get),
    Route("PUT", "/orgs/{org}/nodes/{id}/managementStatus/{policy}", _upgrade_put),
    Route("DELETE", "/orgs/{org}/nodes/{id}/managementStatus/{policy}", _upgrade_delete),
    Route("GET", "/orgs/{org}/nodes/{id}/status", _status_get),
    Route("PUT", "/orgs/{org}/nodes/{id}/status", _status_put),
    Route("DELETE", "/orgs/{org}/nodes/{id}/status", _status_delete),
    Route("GET", "/orgs/{org}/nodes/{id}/policy", _policy_get),
    Route("PUT", "/orgs/{org}/nodes/{id}/policy", _policy_put),
)
