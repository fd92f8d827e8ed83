"""One member of an HA group: `/orgs/{org}/hagroups/{id}/nodes/{node}`.

The target of the permission check is the node without its owner, so every user of the organisation
may remove every member (`exchange-api.md` 1.6 and 1.7).
"""

from __future__ import annotations

from agbot.sim.exchange.access import Target, TargetKind, Verb, check
from agbot.sim.exchange.hagroups import assign, log, owns_all, release
from agbot.sim.exchange.identity import Role
from agbot.sim.exchange.message import Answer, broken, denied, gone, not_found, ok, taken, uncaught
from agbot.sim.exchange.router import Call, Route

_NOT_YOURS = (
    "you do not have permission to edit this high availability node group "
    "(you do not own all nodes assigned to this group)"
)
_IDS_BURNT_BY_ROLLBACK = 2
"""The real Exchange inserts both change rows before it rolls back (the recorded ids show the
gaps)."""


def _node(call: Call) -> str:
    return call.path["node"].removeprefix(f"{call.org}/")


def _add(call: Call) -> Answer:
    node_id = _node(call)
    check(call.identity, Target(kind=TargetKind.NODE, org=call.org, id=node_id), Verb.WRITE)
    if call.identity.role is Role.NODE:
        raise uncaught("None.get")
    group = call.world.groups.get((call.org, call.id))
    if group is None:
        raise not_found(f"high availability node group '{call.org}/{call.id}' not found")
    if group.admin and call.identity.role not in (Role.ADMIN, Role.ROOT):
        raise denied(_NOT_YOURS)
    if not owns_all(call.world, call.identity, call.org, group.members):
        raise denied(_NOT_YOURS)
    node = call.world.nodes.get((call.org, node_id))
    if node is None:
        call.world.log.burn(_IDS_BURNT_BY_ROLLBACK)
        raise not_found(f"node '{call.org}/{node_id}' not found")
    if node.doc["ha_group"] is not None and call.conditions.raced:
        call.world.log.burn(_IDS_BURNT_BY_ROLLBACK)
        raise broken(
            f"high availability node group member '{call.org}/{node_id}' not inserted: "
            "org.postgresql.util.PSQLException: ERROR: duplicate key value violates unique constraint "
            f'"pk_node_group_assignment"\n  Detail: Key (node)=({call.org}/{node_id}) already exists.'
        )
    if node.doc["ha_group"] is not None:
        raise taken(f"node '{call.org}/{node_id}' exists in an another high availability node group")
    assign(call, group, [node_id])
    group.last_updated = call.stamp
    log(call, "modified", call.id, [node_id])
    return ok("")


def _remove(call: Call) -> Answer:
    node_id = _node(call)
    check(call.identity, Target(kind=TargetKind.NODE, org=call.org, id=node_id), Verb.WRITE)
    group = call.world.groups.get((call.org, call.id))
    if group is None or node_id not in group.members:
        call.world.log.burn(_IDS_BURNT_BY_ROLLBACK)
        raise not_found(f"high availability node group member '{call.org}/{call.id}/{node_id}' not found")
    release(call, group, [node_id])
    group.last_updated = call.stamp
    log(call, "modified", call.id, [node_id])
    return gone()


ROUTES = (
    Route("POST", "/orgs/{org}/hagroups/{id}/nodes/{node}", _add),
    Route("DELETE", "/orgs/{org}/hagroups/{id}/nodes/{node}", _remove),
)
