"""The Exchange's routes about itself: version, test and counts (`exchange-api.md` 5.5).

Version and test need no credentials.
"""

from __future__ import annotations

from http import HTTPStatus

from agbot.sim.exchange.access import Target, TargetKind, Verb, check, require
from agbot.sim.exchange.identity import Role
from agbot.sim.exchange.message import EXCHANGE_VERSION, Answer, Doc, found
from agbot.sim.exchange.router import Call, Route

_SCHEMA = 62
_HIDDEN = -1


def version() -> Answer:
    """Answer with the version, in plain text."""
    return Answer(HTTPStatus.OK, text=f"{EXCHANGE_VERSION}\n")


def test() -> Answer:
    """Answer that the Exchange is running."""
    return found({"result": "OK"})


def _counts(call: Call, org: str | None) -> Doc:
    world = call.world
    nodes = [node for key, node in world.nodes.items() if org in (None, key[0])]
    agbots = [key for key in world.agbots if org in (None, key[0])]
    by_agbot = sum(len(table) for key, table in world.agbot_agreements.items() if org in (None, key[0]))
    by_node = sum(len(table) for key, table in world.node_agreements.items() if org in (None, key[0]))
    registered = sum(1 for node in nodes if node.doc["publicKey"])
    return {
        "msg": "Exchange server operating normally",
        "numberOfAgbotAgreements": by_agbot,
        "numberOfAgbotMsgs": 0,
        "numberOfAgbots": len(agbots),
        "numberOfNodeAgreements": by_node,
        "numberOfNodeMsgs": 0,
        "numberOfNodes": len(nodes),
        "numberOfOrganizations": 1 if org else len(world.orgs),
        "numberOfRegisteredNodes": registered,
        "numberOfUnregisteredNodes": len(nodes) - registered,
        "numberOfUsers": sum(1 for key in world.users if org in (None, key[0])),
    }


def _status(call: Call) -> Answer:
    require(call.identity, "STATUS")
    return found({"dbSchemaVersion": _SCHEMA, **_counts(call, None)})


def _org_status(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.ORG, org=call.org, id=call.org), Verb.READ)
    counts = _counts(call, call.org)
    if call.identity.role not in (Role.ROOT, Role.ADMIN):
        counts["numberOfUsers"] = _HIDDEN
    return found({**counts, "SchemaVersion": _SCHEMA if call.identity.role is Role.ROOT else _HIDDEN})


ROUTES = (
    Route("GET", "/admin/status", _status),
    Route("GET", "/orgs/{org}/status", _org_status),
)
