"""The simulator's controls over HTTP: `/sim/faults` and `/sim/report`. No Exchange has these.

They need root's credentials. `GET /sim/faults` lists the faults, `PUT` replaces all of them with a
JSON list (each as in `Fault.from_json`), and `DELETE` removes all. `GET /sim/report` shows how
often each route was requested.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from agbot.sim.exchange.core import SimExchange
from agbot.sim.exchange.identity import Role, authenticate
from agbot.sim.exchange.message import Answer, Refusal, Reply, Request, bad_input, denied, dumps, found, gone, not_found
from agbot.sim.exchange.message import reply as framed
from agbot.sim.faults import Fault

PREFIX = "/sim/"


def handle(exchange: SimExchange, request: Request) -> Reply:
    """Answer a request below `/sim/`. Faults do not apply to it, and it is not counted."""
    now = exchange.now()
    try:
        answer = _answer(exchange, request)
    except Refusal as refusal:
        return framed(refusal.status, dumps({"code": refusal.code, "msg": refusal.msg}), now)
    return framed(answer.status, b"" if answer.body is None else dumps(answer.body), now)


def _answer(exchange: SimExchange, request: Request) -> Answer:
    identity = authenticate(exchange.world, request.header("Authorization"))
    if identity.role is not Role.ROOT:
        raise denied(f"only root, not '{identity.name}'")
    match request.method, request.path:
        case "GET", "/sim/report":
            return found(exchange.report())
        case "GET", "/sim/faults":
            return found(exchange.faults.to_json())
        case "PUT", "/sim/faults":
            return _replace(exchange, request)
        case "DELETE", "/sim/faults":
            exchange.faults.clear()
            return gone()
        case _:
            raise not_found("unrecognized route")


def _replace(exchange: SimExchange, request: Request) -> Answer:
    try:
        given = json.loads(request.body)
        faults = [Fault.from_json(one) for one in given]
    except (ValueError, TypeError, AttributeError) as error:
        raise bad_input(f"expected a JSON list of faults: {error}") from error
    exchange.faults.clear()
    for fault in faults:
        exchange.faults.add(fault)
    return Answer(HTTPStatus.CREATED, exchange.faults.to_json())
