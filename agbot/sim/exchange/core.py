"""The simulated Exchange without sockets: it turns a request into a reply.

It starts as a new Exchange does, with the organisations `root` and `IBM` and the user `root/root`.
Requests are carried out in the order of the calls, at the moment that the clock shows. There are no
threads and no waits.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, NamedTuple

from agbot.sim.clock import Clock
from agbot.sim.exchange import (
    admin,
    agbots,
    agreements,
    catalog,
    changes,
    corruption,
    deployment,
    hagroups,
    members,
    nodes,
    orgs,
    policies,
    search,
    statuses,
    users,
)
from agbot.sim.exchange.identity import Identity, authenticate, credentials
from agbot.sim.exchange.message import (
    JSON_TYPE,
    TEXT_TYPE,
    Answer,
    Doc,
    PlainRefusal,
    Refusal,
    Reply,
    Request,
    basic,
    dumps,
    not_found,
    reply,
)
from agbot.sim.exchange.router import Call, Conditions, Route, Router
from agbot.sim.exchange.world import User, World, Write
from agbot.sim.faults import Dropped, FaultKind, FaultPlan, Hang

_MODULES = (
    orgs,
    users,
    agbots,
    nodes,
    hagroups,
    members,
    policies,
    statuses,
    deployment,
    catalog,
    agreements,
    search,
    changes,
    admin,
)
ROUTER = Router(route for module in _MODULES for route in module.ROUTES)
PREFIX = "v1"
ANONYMOUS = "anonymous"
UNKNOWN = "unknown"
_NORMAL = Conditions()


class RequestKey(NamedTuple):
    """What requests are counted by.

    `template` is the route's template without `/v1`, or `unknown`. `role` is the caller's, or
    `anonymous`.
    """

    method: str
    template: str
    role: str


class SimExchange:
    """The Exchange.

    `handle` is its whole API, `world` its state, `faults` what goes wrong, and `requests` counts
    what was requested.
    """

    def __init__(self, *, clock: Clock, root_password: str, seed: int = 0) -> None:
        """Start a new Exchange; `seed` is for the probabilities of faults."""
        self.clock = clock
        self.world = World()
        self.faults = FaultPlan(seed, mark=lambda: self.world.log.last_id)
        self.requests: Counter[RequestKey] = Counter()
        self._skew_seconds = 0.0
        """How far the clock of the server is off that handles the present request."""
        now = self.now()
        for org, given in (
            ("IBM", {"orgType": "IBM", "label": "IBM Org", "description": "Organization containing IBM services"}),
            ("root", {"label": "Root Org", "description": "Organization for the root user only"}),
        ):
            self.world.orgs[org] = orgs.org_doc(given, self.world.stamps.fine(now))
            self.world.note(now, "org", "created", (org, org))
        self.world.users["root", "root"] = User(password=root_password, admin=True, hub_admin=True)

    def now(self) -> datetime:
        """Return the Exchange's own time: the clock's, shifted by the clock faults."""
        now = self.clock.now()
        return now + timedelta(seconds=self.faults.clock_offset_seconds + self._skew_seconds) if self.faults else now

    def backup(self) -> bytes:
        """Return a copy of everything that is stored, like a dump of the database."""
        return self.world.dump()

    def restore(self, copy: bytes) -> None:
        """Go back to a copy: later rows are gone, and change ids continue from the copy's.

        Observers are not notified: what has happened to the nodes has not changed.
        """
        self.world.restore(copy)

    def subscribe(self, watcher: Callable[[Write], None]) -> None:
        """Call `watcher` with every write, heartbeats included, after it took effect."""
        self.world.subscribe(watcher)

    def report(self) -> Doc:
        """Return the counts of requests, as `GET /sim/report` shows them."""
        by_route = {f"{key.method} {key.template} {key.role}": count for key, count in sorted(self.requests.items())}
        return {
            "requests": by_route,
            "requests_total": self.requests.total(),
            "last_change_id": self.world.log.last_id,
        }

    def count(self, *, method: str | None = None, template: str | None = None, role: str | None = None) -> int:
        """Count the requests so far that match; None matches everything."""
        return sum(
            number
            for key, number in self.requests.items()
            if all(wanted in (None, is_) for wanted, is_ in zip((method, template, role), key, strict=True))
        )

    def handle(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            Dropped: a fault breaks the connection. The request may have been carried out, depending
                on the fault.
            Hang: a fault lets the caller wait indefinitely.
        """
        if not self.faults:
            return self._answer(request)
        claimed = credentials(request.header("Authorization"))
        caller = f"{claimed[0]}/{claimed[1]}" if claimed else ""
        at = (request.method, request.path, caller)
        delay, self._skew_seconds = self.faults.delay_seconds(*at), self.faults.skew_seconds(*at)
        for kind, error in ((FaultKind.HANG, Hang), (FaultKind.DROP, Dropped)):
            if (fault := self.faults.hit(kind, *at)) is not None:
                if fault.applied:
                    self._answer(request)
                raise error
        if (fault := self.faults.hit(FaultKind.STATUS, *at)) is not None:
            self._count(request, UNKNOWN, ANONYMOUS)
            body = dumps({"code": "database-connection-error", "msg": "simulated fault"})
            return replace(reply(fault.status, body, self.now()), delay_seconds=delay)
        return self._corrupted(replace(self._answer(request, self._conditions(at)), delay_seconds=delay), at)

    def _conditions(self, at: tuple[str, str, str]) -> Conditions:
        raced = self.faults.hit(FaultKind.RACE, *at) is not None
        if not at[1].endswith(("/changes", "/maxchangeid")):
            return Conditions(raced=raced)
        late = self.faults.selected(FaultKind.LATE, *at)
        return Conditions(
            frozen_at=self.faults.frozen_at(*at),
            late_seconds=late.seconds if late else 0.0,
            late_share=late.rate if late else 0.0,
            raced=raced,
        )

    def _corrupted(self, good: Reply, at: tuple[str, str, str]) -> Reply:
        if at[0] == "GET":
            good = self.faults.as_first_read(at, good)
        for kind in corruption.KINDS:
            if (at[0] == "GET" or kind is FaultKind.DATE) and (fault := self.faults.hit(kind, *at)) is not None:
                good = corruption.corrupt(fault, good, at[1], self.now())
        if (fault := self.faults.hit(FaultKind.GARBAGE, *at)) is not None:
            text = fault.text.encode()
            return replace(good, body=text, headers={**good.headers, "Content-Length": str(len(text))})
        if self.faults.hit(FaultKind.TRUNCATE, *at) is not None:
            return replace(good, body=good.body[: len(good.body) // 2])
        return good

    def _count(self, request: Request, template: str, role: str) -> None:
        self.requests[RequestKey(request.method, template, role)] += 1

    def _answer(self, request: Request, conditions: Conditions = _NORMAL) -> Reply:
        now = self.now()
        try:
            answer = self._dispatch(request, now, conditions)
        except Refusal as refusal:
            return reply(refusal.status, dumps({"code": refusal.code, "msg": refusal.msg}), now)
        except PlainRefusal as refusal:
            text = refusal.text.encode()
            return reply(refusal.status, text, now, content_type=TEXT_TYPE, more=refusal.headers)
        if answer.text is not None:
            return reply(answer.status, answer.text.encode(), now, content_type=TEXT_TYPE)
        return reply(answer.status, b"" if answer.body is None else dumps(answer.body), now)

    def _dispatch(self, request: Request, now: datetime, conditions: Conditions) -> Answer:
        segments = request.segments
        if request.method == "GET" and segments in _OPEN:
            self._count(request, "/" + "/".join(segments[1:]), ANONYMOUS)
            return _OPEN[segments]()
        known, path = ROUTER.match(segments[1:]) if segments[:1] == (PREFIX,) else ({}, {})
        identity = self._authenticate(request, known)
        if not known:
            raise not_found("unrecognized route")
        route = known.get(request.method)
        if route is None:
            supported = ", ".join(known)
            text = f"HTTP method not allowed, supported methods: {supported}"
            raise PlainRefusal(HTTPStatus.METHOD_NOT_ALLOWED, text, {"Allow": supported})
        call = Call(
            world=self.world,
            identity=identity,
            request=request,
            path=path,
            query=request.query,
            at=now,
            stamp=self.world.stamps.fine(now),
            conditions=conditions,
        )
        return route.handler(call)

    def _authenticate(self, request: Request, known: dict[str, Route]) -> Identity:
        template = next(iter(known.values())).template if known else UNKNOWN
        try:
            identity = authenticate(self.world, request.header("Authorization"))
        except Refusal:
            self._count(request, template, ANONYMOUS)
            raise
        self._count(request, template, identity.role.value)
        return identity

    def call(self, method: str, path: str, body: Any = None, *, caller: str = "root/root") -> Reply:
        """Send one request in-process as a user, node or agbot of this Exchange.

        `path` is below `/v1`.

        Raises:
            KeyError: there is no such user, node or agbot.
        """
        headers = {"Authorization": basic(caller, self.secret_of(caller)), "Accept": JSON_TYPE}
        data = b""
        if body is not None:
            headers["Content-Type"] = JSON_TYPE
            data = json.dumps(body).encode()
        return self.handle(Request(method=method, target=f"/{PREFIX}{path}", headers=headers, body=data))

    def secret_of(self, name: str) -> str:
        """Return the token of a node or agbot, or the password of a user, by `org/id`.

        Raises:
            KeyError: there is none with that name.
        """
        org, _, local = name.partition("/")
        if (node := self.world.nodes.get((org, local))) is not None:
            return node.token
        if (agbot := self.world.agbots.get((org, local))) is not None:
            return agbot.token
        return self.world.users[org, local].password


_OPEN: dict[tuple[str, ...], Callable[[], Answer]] = {
    (PREFIX, "admin", "version"): admin.version,
    (PREFIX, "test"): admin.test,
}
