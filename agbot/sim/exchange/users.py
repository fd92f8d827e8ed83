"""Users: `/orgs/{org}/users[/{id}]` (`exchange-api.md` 5.3).

Writes to users make no change rows. API keys are not simulated: every list of them is empty.
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

from agbot.sim.exchange import body, stamp
from agbot.sim.exchange.access import MINE, Target, TargetKind, Verb, check
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.identity import Role
from agbot.sim.exchange.message import Answer, Doc, bad_input, broken, denied, filled, found, gone, not_found, ok
from agbot.sim.exchange.router import Call, Route
from agbot.sim.exchange.world import MASK, User

_BODY = Shape(
    "user.PostPutUsersRequest",
    {"password": Kind.TEXT, "admin": Kind.FLAG, "hubAdmin": Kind.FLAG, "email": Kind.TEXT},
)
_RESERVED = ("apikey", "iamapikey")


def _doc(user: User) -> Doc:
    return {
        "admin": user.admin,
        "apikeys": [],
        "email": user.email,
        "hubAdmin": user.hub_admin,
        "lastUpdated": user.last_updated,
        "password": MASK,
        "updatedBy": user.updated_by,
    }


def _allow(call: Call, verb: Verb) -> None:
    check(call.identity, Target(kind=TargetKind.USER, org=call.org, id=call.id), verb)


def _list(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.USER, org=call.org, id=MINE), Verb.READ)
    users = {f"{org}/{name}": _doc(user) for (org, name), user in call.world.users.items() if org == call.org}
    return filled({"users": users, "lastIndex": 0}, when=users)


def _get(call: Call) -> Answer:
    _allow(call, Verb.READ)
    user = call.world.users.get((call.org, call.id))
    if user is None:
        return filled({"users": {}, "lastIndex": 0}, when=False)
    return found({"users": {f"{call.org}/{call.id}": _doc(user)}, "lastIndex": 0})


def _check(call: Call, given: Doc) -> None:
    admin, hub_admin = given.get("admin", False), given.get("hubAdmin", False)
    if not given.get("password", "").strip() or "email" not in given:
        raise bad_input("bad input")
    if admin and hub_admin:
        raise bad_input("User cannot be admin and hubAdmin at the same time")
    if call.id.lower() in _RESERVED:
        raise bad_input(f"User name '{call.id}' is reserved")
    if (call.org == "root") is not hub_admin:
        raise bad_input("only hub admins live in organization root, and nowhere else")
    if call.identity.role is Role.HUB_ADMIN and not (admin or hub_admin):
        raise denied("hub admins can only create admin users")


def _store(call: Call, given: Doc) -> str:
    call.world.users[call.org, call.id] = User(
        password=given["password"],
        admin=given.get("admin", False),
        hub_admin=given.get("hubAdmin", False),
        email=given["email"],
        last_updated=stamp.coarse(call.at),
        updated_by=call.identity.name,
    )
    return str(uuid5(NAMESPACE_URL, f"{call.org}/{call.id}"))


def _post(call: Call) -> Answer:
    _allow(call, Verb.WRITE)
    given = body.read(call.request, _BODY)
    _check(call, given)
    if (call.org, call.id) in call.world.users:
        raise bad_input(f"User '{call.org}/{call.id}' already exists")
    if call.org not in call.world.orgs:
        raise broken(f"user '{call.org}/{call.id}' not created: violates foreign key constraint")
    return ok(f"{call.org}/{call.id}(Resource:{_store(call, given)}) user added successfully")


def _put(call: Call) -> Answer:
    _allow(call, Verb.WRITE)
    given = body.read(call.request, _BODY)
    _check(call, given)
    return ok(f"{call.org}/{call.id}(Resource:{_store(call, given)}) user added or updated successfully")


def _delete(call: Call) -> Answer:
    _allow(call, Verb.WRITE)
    if (call.org, call.id) not in call.world.users:
        raise not_found(f"user '{call.org}/{call.id}' not found")
    call.world.drop_user((call.org, call.id), call.at)
    return gone()


def _confirm(call: Call) -> Answer:
    _allow(call, Verb.READ)
    return ok("confirmation successful")


ROUTES = (
    Route("GET", "/orgs/{org}/users", _list),
    Route("GET", "/orgs/{org}/users/{id}", _get),
    Route("POST", "/orgs/{org}/users/{id}", _post),
    Route("PUT", "/orgs/{org}/users/{id}", _put),
    Route("DELETE", "/orgs/{org}/users/{id}", _delete),
    Route("POST", "/orgs/{org}/users/{id}/confirm", _confirm),
)
