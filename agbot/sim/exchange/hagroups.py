"""HA groups: `/orgs/{org}/hagroups[/{id}]` (`exchange-api.md` 1.1 to 1.5).

The permission check is about a node without an owner, so every user passes it; the ownership of
members is checked here. Every write logs its `node` rows and its `ha_group` row with the same time.
The checks are in the order of the real Exchange.
"""

from __future__ import annotations

from agbot.sim.exchange import body
from agbot.sim.exchange.access import MINE, Target, TargetKind, Verb, check, refused
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.identity import Identity, Role
from agbot.sim.exchange.message import Answer, Doc, Refusal, denied, filled, gone, not_found, ok, taken, uncaught
from agbot.sim.exchange.router import Call, Route
from agbot.sim.exchange.world import Group, World

_FIELDS = {"members": Kind.TEXTS, "description": Kind.TEXT}
_POST = Shape("PostPutNodeGroupsRequest", _FIELDS)
_PUT = Shape("nodegroup.PutNodeGroupsRequest", _FIELDS)
_EMPTY: Doc = {"nodeGroups": []}


def owns_all(world: World, identity: Identity, org: str, members: set[str]) -> bool:
    """Return whether a plain user owns all of these nodes; admins and root need not."""
    if identity.role is not Role.USER:
        return True
    return all(world.nodes[org, member].owner == identity.name for member in members)


def _allow(call: Call, verb: Verb) -> None:
    name = MINE if verb is Verb.READ else call.id
    check(call.identity, Target(kind=TargetKind.NODE, org=call.org, id=name), verb)
    if verb is not Verb.READ and call.identity.role is Role.NODE:
        raise uncaught("None.get")


def _view(call: Call, name: str, group: Group) -> Doc:
    world, identity = call.world, call.identity
    members = sorted(group.members)
    if identity.role is Role.USER:
        members = [member for member in members if world.nodes[call.org, member].owner == identity.name]
    hidden = group.admin and identity.role not in (Role.ADMIN, Role.ROOT)
    return {
        "name": name,
        "description": "" if hidden else group.description or "",
        "members": members,
        "admin": group.admin,
        "lastUpdated": group.last_updated,
    }


def _list(call: Call) -> Answer:
    _allow(call, Verb.READ)
    groups = sorted(call.world.groups.of_org(call.org), key=lambda each: each[0])
    return filled({"nodeGroups": [_view(call, name, group) for name, group in groups]}, when=groups)


def _get(call: Call) -> Answer:
    _allow(call, Verb.READ)
    group = call.world.groups.get((call.org, call.id))
    return filled({"nodeGroups": [_view(call, call.id, group)]} if group else _EMPTY, when=group)


def _requested(call: Call, given: Doc) -> list[str] | None:
    """Return the members that the body requests, as full ids, without repetitions."""
    members = given.get("members")
    if members is None:
        return None
    if None in members:
        raise uncaught('Cannot invoke "String.startsWith(String)" because "x$1" is null')
    prefix = f"{call.org}/"
    return [name if name.startswith(prefix) else prefix + name for name in dict.fromkeys(members)]


def _visible(call: Call, requested: list[str]) -> list[str] | None:
    """Return the bare ids of the requested nodes.

    None if one of them is missing, repeated or not the user's own.
    """
    bare = [name.removeprefix(f"{call.org}/") for name in requested]
    nodes = call.world.nodes
    if len(set(bare)) < len(bare) or any((call.org, name) not in nodes for name in bare):
        return None
    return bare if owns_all(call.world, call.identity, call.org, set(bare)) else None


def _in_another(call: Call, members: list[str]) -> bool:
    nodes = call.world.nodes
    return any(nodes[call.org, name].doc["ha_group"] not in (None, call.id) for name in members)


def _conflict() -> Refusal:
    return taken("some provided nodes already exist in other high availability node groups")


def _create(call: Call) -> Answer:
    _allow(call, Verb.WRITE)
    requested = _requested(call, given := body.read(call.request, _POST)) or []
    key, full_name = (call.org, call.id), f"{call.org}/{call.id}"
    if key in call.world.groups:
        raise taken(f"high availability node group '{full_name}' already exists")
    if call.org not in call.world.orgs:
        raise not_found(f"org '{call.org}' not found")
    members = _visible(call, requested)
    if members is None:
        raise refused(call.identity, "WRITE_ALL_NODES", "")
    if _in_another(call, members):
        raise _conflict()
    by_admin = call.identity.role in (Role.ADMIN, Role.ROOT)
    group = Group(admin=by_admin, description=given.get("description"), last_updated=call.stamp)
    call.world.groups[key] = group
    assign(call, group, members)
    log(call, "created", call.id, members)
    return ok(f"high availability node group '{full_name}' created")


def assign(call: Call, group: Group, members: list[str]) -> None:
    """Put nodes into the group in the path."""
    for name in members:
        group.members.add(name)
        call.world.nodes[call.org, name].doc["ha_group"] = call.id


def release(call: Call, group: Group, members: list[str]) -> None:
    """Take nodes out of a group."""
    for name in members:
        group.members.discard(name)
        call.world.nodes[call.org, name].doc["ha_group"] = None


def log(call: Call, operation: str, name: str, nodes: list[str]) -> None:
    """Log a group write: first a row for each node that it changes, then the group's row."""
    for node in nodes:
        call.note("node", "modified", node, call.world.nodes[call.org, node].doc)
    group = call.world.groups.get((call.org, name))
    call.note("ha_group", operation, name, {"members": sorted(group.members)} if group else None)


def _editable(call: Call) -> Group:
    group = call.world.groups.get((call.org, call.id))
    if group is None:
        raise not_found()
    if group.admin and call.identity.role is not Role.ADMIN:
        raise denied("access denied")
    if not owns_all(call.world, call.identity, call.org, group.members):
        raise denied("access denied")
    return group


def _update(call: Call) -> Answer:
    _allow(call, Verb.WRITE)
    requested = _requested(call, given := body.read(call.request, _PUT))
    group = _editable(call)
    touched: list[str] = []
    if requested is not None:
        members = _visible(call, requested)
        if members is None:
            raise denied("access denied")
        if _in_another(call, members):
            raise _conflict()
        touched = sorted(group.members | set(members))
        release(call, group, sorted(group.members))
        assign(call, group, members)
    group.description = given.get("description", group.description)
    group.last_updated = call.stamp
    log(call, "modified", call.id, touched)
    return ok(f"high availability node group '{call.id}' in org '{call.org}' updated successfully")


def _delete(call: Call) -> Answer:
    _allow(call, Verb.WRITE)
    group = _editable(call)
    former = sorted(group.members)
    release(call, group, former)
    del call.world.groups[call.org, call.id]
    log(call, "deleted", call.id, former)
    return gone()


ROUTES = (
    Route("DELETE", "/orgs/{org}/hagroups/{id}", _delete),
    Route("POST", "/orgs/{org}/hagroups/{id}", _create),
    Route("GET", "/orgs/{org}/hagroups/{id}", _get),
    Route("PUT", "/orgs/{org}/hagroups/{id}", _update),
    Route("GET", "/orgs/{org}/hagroups", _list),
)
