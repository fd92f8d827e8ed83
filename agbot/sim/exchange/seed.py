"""Functions that fill a simulated Exchange with the requests of people and nodes, in-process.

Everything goes through `SimExchange.handle`, so permissions, change rows and observers work as for
any other request. Secrets are derived from the names: `token_of("n1")` is the token of every node
and agbot called n1.
"""

from __future__ import annotations

from collections.abc import Sequence

from agbot.sim.exchange.core import SimExchange
from agbot.sim.exchange.message import Doc, Reply


class SeedRefused(Exception):
    """The simulated Exchange refused a request of a scenario."""


def token_of(name: str) -> str:
    """Return the secret of a seeded user, node or agbot."""
    return f"{name}-secret"


def admin_of(org: str) -> str:
    """Return the identity of an organisation's seeded admin."""
    return f"{org}/admin"


def send(exchange: SimExchange, method: str, path: str, body: Doc | None = None, *, caller: str = "root/root") -> Reply:
    """Send a request that must succeed.

    Raises:
        SeedRefused: it did not.
    """
    reply = exchange.call(method, path, body, caller=caller)
    if reply.status >= 400:
        message = f"{method} {path} as {caller}: {reply.status} {reply.body.decode()}"
        raise SeedRefused(message)
    return reply


def org(exchange: SimExchange, name: str, *, label: str = "") -> None:
    """Create an organisation and its admin, `NAME/admin`."""
    send(exchange, "POST", f"/orgs/{name}", {"label": label or name, "description": label or name})
    user(exchange, name, "admin", admin=True)


def user(exchange: SimExchange, org: str, name: str, *, admin: bool = False) -> None:
    """Create a user; the password is `token_of(name)`."""
    body = {"password": token_of(name), "admin": admin, "email": f"{name}@{org}.example"}
    send(exchange, "POST", f"/orgs/{org}/users/{name}", body)


def agbot(exchange: SimExchange, org: str, name: str) -> None:
    """Create an agbot, owned by root."""
    body = {"token": token_of(name), "name": name, "msgEndPoint": "", "publicKey": "QUdCT1Q="}
    send(exchange, "PUT", f"/orgs/{org}/agbots/{name}", body)


def serves(exchange: SimExchange, agbot: str, org: str) -> None:
    """Let an agbot (`org/id`) serve every deployment policy of an organisation."""
    agbot_org, _, name = agbot.partition("/")
    body = {"businessPolOrgid": org, "businessPol": "*", "nodeOrgid": org}
    send(exchange, "POST", f"/orgs/{agbot_org}/agbots/{name}/businesspols", body)


def node(
    exchange: SimExchange,
    org: str,
    name: str,
    *,
    version: str = "2.31.0",
    node_type: str = "device",
    owner: str = "",
    public_key: str = "QUJD",
) -> None:
    """Create a node with a heartbeat.

    `owner` is `org/user`; if empty, it is the organisation's admin.
    """
    body = {
        "token": token_of(name),
        "name": name,
        "nodeType": node_type,
        "pattern": "",
        "publicKey": public_key,
        "arch": "amd64",
        "softwareVersions": {"horizon": version, "certificate": "1.0.0", "config": "1.0.0"},
        "registeredServices": [],
    }
    send(exchange, "PUT", f"/orgs/{org}/nodes/{name}", body, caller=owner or admin_of(org))


def group(exchange: SimExchange, org: str, name: str, members: list[str], *, description: str = "") -> None:
    """Create an HA group with these nodes."""
    body = {"description": description, "members": members}
    send(exchange, "POST", f"/orgs/{org}/hagroups/{name}", body, caller=admin_of(org))


def management_policy(
    exchange: SimExchange,
    org: str,
    name: str,
    *,
    manifest: str = "",
    enabled: bool = True,
    start: str = "now",
    constraints: tuple[str, ...] = (),
) -> None:
    """Create a node management policy, by default for every node.

    `manifest` is `org/id`; if empty, it is derived from the name.
    """
    body = {
        "label": name,
        "description": name,
        "constraints": list(constraints),
        "properties": [],
        "enabled": enabled,
        "start": start,
        "startWindow": 300,
        "agentUpgradePolicy": {"manifest": manifest or f"IBM/{name}_manifest", "allowDowngrade": False},
    }
    send(exchange, "POST", f"/orgs/{org}/managementpolicies/{name}", body, caller=admin_of(org))


def deployment_policy(
    exchange: SimExchange,
    org: str,
    name: str,
    *,
    service: str,
    versions: list[str],
    constraints: tuple[str, ...] = (),
) -> None:
    """Create a deployment policy for a service of this organisation, by default for every node."""
    body = policy_body(org, service, versions, constraints)
    send(exchange, "POST", f"/orgs/{org}/business/policies/{name}", body, caller=admin_of(org))


def policy_body(org: str, service: str, versions: Sequence[str], constraints: tuple[str, ...] = ()) -> Doc:
    """Return the body that creates or replaces a deployment policy.

    Of several versions, the first has the highest priority. A single one has none.
    """
    ranked: list[Doc] = [
        {"version": version, "priority": {"priority_value": rank, "retries": 2, "retry_durations": 3600}}
        for rank, version in enumerate(versions, start=1)
    ]
    return {
        "label": service,
        "service": {
            "name": service,
            "org": org,
            "arch": "amd64",
            "serviceVersions": ranked if len(ranked) > 1 else [{"version": version} for version in versions],
        },
        "properties": [],
        "constraints": list(constraints),
    }


def upgrade_status(exchange: SimExchange, org: str, name: str, policy: str, status: str, *, version: str = "") -> None:
    """Report a node's status for a management policy, as that node."""
    body = {
        "agentUpgradePolicyStatus": {
            "scheduledTime": exchange.now().isoformat(timespec="seconds").replace("+00:00", "Z"),
            "startTime": "",
            "endTime": "",
            "upgradedVersions": {"softwareVersion": version, "certVersion": "", "configVersion": ""},
            "status": status,
            "errorMessage": "",
        }
    }
    send(exchange, "PUT", f"/orgs/{org}/nodes/{name}/managementStatus/{policy}", body, caller=f"{org}/{name}")
