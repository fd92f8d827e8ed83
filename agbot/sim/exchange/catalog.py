"""Services and patterns, to the extent that a simulated hub needs them.

`/orgs/{org}/services` and `/orgs/{org}/patterns` create, read and delete them. Their contents are
stored and shown, but not interpreted. Callers of every organisation can read a public one.
"""

from __future__ import annotations

import re

from agbot.sim.exchange import body
from agbot.sim.exchange.access import MINE, Target, TargetKind, Verb, check
from agbot.sim.exchange.body import Kind, Shape
from agbot.sim.exchange.message import Answer, Doc, bad_input, filled, gone, not_found, ok, taken
from agbot.sim.exchange.router import Call, Route
from agbot.sim.exchange.table import Key
from agbot.sim.exchange.world import Owned

_SERVICE = Shape(
    "service.PostPutServiceRequest",
    {
        "label": Kind.TEXT,
        "description": Kind.TEXT,
        "public": Kind.FLAG,
        "documentation": Kind.TEXT,
        "url": Kind.TEXT,
        "version": Kind.TEXT,
        "arch": Kind.TEXT,
        "sharable": Kind.TEXT,
        "matchHardware": Kind.MAP,
        "requiredServices": Kind.LIST,
        "userInput": Kind.LIST,
        "deployment": Kind.TEXT,
        "deploymentSignature": Kind.TEXT,
        "clusterDeployment": Kind.TEXT,
        "clusterDeploymentSignature": Kind.TEXT,
        "imageStore": Kind.MAP,
    },
)
_PATTERN = Shape(
    "deploymentpattern.PostPutPatternRequest",
    {
        "label": Kind.TEXT,
        "description": Kind.TEXT,
        "public": Kind.FLAG,
        "services": Kind.LIST,
        "userInput": Kind.LIST,
        "secretBinding": Kind.LIST,
        "agreementProtocols": Kind.LIST,
        "clusterNamespace": Kind.TEXT,
    },
)


def service_id(given: Doc) -> str:
    """Return a service's id: its URL without the scheme, its version and its architecture.

    Characters that an id cannot have become dashes.
    """
    name = re.sub(r"^[A-Za-z0-9+.-]*?://", "", given["url"])
    return re.sub(r"[$!*,;/?@&~=%]", "-", f"{name}_{given['version']}_{given['arch']}")


def _target(call: Call, kind: TargetKind, table: dict[Key, Owned], name: str) -> Target:
    thing = table.get((call.org, name))
    public = thing is not None and thing.doc["public"]
    return Target(kind=kind, org=call.org, id=name, owner=thing.owner if thing else None, public=public)


def _shown(table: dict[Key, Owned], org: str) -> Doc:
    return {f"{key[0]}/{key[1]}": thing.doc for key, thing in table.items() if key[0] == org}


def _service_list(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.SERVICE, org=call.org, id=MINE), Verb.READ)
    services = _shown(call.world.services, call.org)
    return filled({"services": services, "lastIndex": 0}, when=services)


def _service_get(call: Call) -> Answer:
    check(call.identity, _target(call, TargetKind.SERVICE, call.world.services, call.id), Verb.READ)
    service = call.world.services.get((call.org, call.id))
    shown = {f"{call.org}/{call.id}": service.doc} if service else {}
    return filled({"services": shown, "lastIndex": 0}, when=shown)


def _service_post(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.SERVICE, org=call.org, id=MINE), Verb.CREATE)
    given = body.read(call.request, _SERVICE)
    if any(name not in given for name in ("label", "url", "version", "arch", "sharable")):
        raise bad_input("bad input")
    name = service_id(given)
    if (call.org, name) in call.world.services:
        raise taken(f"service '{call.org}/{name}' already exists")
    fixed = {"owner": call.identity.name, "lastUpdated": call.stamp}
    defaults: Doc = {
        "description": "",
        "public": False,
        "documentation": "",
        "matchHardware": {},
        "requiredServices": [],
        "userInput": [],
        "deployment": "",
        "deploymentSignature": "",
        "clusterDeployment": "",
        "clusterDeploymentSignature": "",
        "imageStore": {},
    }
    doc = {**defaults, **given, **fixed}
    call.world.services[call.org, name] = Owned(owner=call.identity.name, doc=doc)
    call.note("service", "created", name, doc)
    return ok(f"service '{call.org}/{name}' created")


def _service_delete(call: Call) -> Answer:
    check(call.identity, _target(call, TargetKind.SERVICE, call.world.services, call.id), Verb.WRITE)
    if call.world.services.pop((call.org, call.id), None) is None:
        raise not_found(f"service '{call.org}/{call.id}' not found")
    call.note("service", "deleted", call.id)
    return gone()


def _pattern_list(call: Call) -> Answer:
    check(call.identity, Target(kind=TargetKind.PATTERN, org=call.org, id=MINE), Verb.READ)
    patterns = _shown(call.world.patterns, call.org)
    return filled({"patterns": patterns, "lastIndex": 0}, when=patterns)


def _pattern_get(call: Call) -> Answer:
    check(call.identity, _target(call, TargetKind.PATTERN, call.world.patterns, call.id), Verb.READ)
    pattern = call.world.patterns.get((call.org, call.id))
    shown = {f"{call.org}/{call.id}": pattern.doc} if pattern else {}
    return filled({"patterns": shown, "lastIndex": 0}, when=shown)


def _pattern_given(call: Call, owner: str) -> Doc:
    given = body.read(call.request, _PATTERN)
    if "label" not in given or not given.get("services"):
        raise bad_input("bad input")
    defaults: Doc = {
        "description": given["label"],
        "public": False,
        "userInput": [],
        "secretBinding": [],
        "agreementProtocols": [],
        "clusterNamespace": "",
    }
    return {**defaults, **given, "owner": owner, "lastUpdated": call.stamp}


def _pattern_post(call: Call) -> Answer:
    check(call.identity, _target(call, TargetKind.PATTERN, call.world.patterns, call.id), Verb.CREATE)
    doc = _pattern_given(call, call.identity.name)
    if (call.org, call.id) in call.world.patterns:
        raise taken(f"pattern '{call.org}/{call.id}' already exists")
    call.world.patterns[call.org, call.id] = Owned(owner=call.identity.name, doc=doc)
    call.note("pattern", "created", call.id, doc)
    return ok(f"pattern '{call.org}/{call.id}' created")


def _pattern_put(call: Call) -> Answer:
    check(call.identity, _target(call, TargetKind.PATTERN, call.world.patterns, call.id), Verb.WRITE)
    pattern = call.world.patterns.get((call.org, call.id))
    if pattern is None:
        raise not_found(f"pattern '{call.org}/{call.id}' not found")
    pattern.doc = _pattern_given(call, pattern.owner)
    call.note("pattern", "created/modified", call.id, pattern.doc)
    return ok("pattern updated")


def _pattern_delete(call: Call) -> Answer:
    check(call.identity, _target(call, TargetKind.PATTERN, call.world.patterns, call.id), Verb.WRITE)
    if call.world.patterns.pop((call.org, call.id), None) is None:
        raise not_found(f"pattern '{call.org}/{call.id}' not found")
    call.note("pattern", "deleted", call.id)
    return gone()


ROUTES = (
    Route("GET", "/orgs/{org}/services", _service_list),
    Route("POST", "/orgs/{org}/services", _service_post),
    Route("GET", "/orgs/{org}/services/{id}", _service_get),
    Route("DELETE", "/orgs/{org}/services/{id}", _service_delete),
    *(
        route
        for alias in ("", "/deployment")
        for route in (
            Route("GET", f"/orgs/{{org}}{alias}/patterns", _pattern_list),
            Route("GET", f"/orgs/{{org}}{alias}/patterns/{{id}}", _pattern_get),
            Route("POST", f"/orgs/{{org}}{alias}/patterns/{{id}}", _pattern_post),
            Route("PUT", f"/orgs/{{org}}{alias}/patterns/{{id}}", _pattern_put),
            Route("DELETE", f"/orgs/{{org}}{alias}/patterns/{{id}}", _pattern_delete),
        )
    ),
)
