"""The simulated agbot's local API.

It answers as the real one does on loopback, without credentials (`agbot-local-api.jsonl`).
`/ha/upgradingwlu` and `/ha/upgradingnode` are the two tables of `agbot_rows`, which all agbots on
the same database share. A policy `org/name` cannot be given in a path, so only the rows of a whole
group can be deleted. The other routes show enough to identify the agbot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agbot.sim.agbot_rows import AgbotRows
from agbot.sim.clock import Clock
from agbot.sim.exchange.message import EXCHANGE_VERSION
from agbot.sim.faults import Dropped, FaultKind, FaultPlan, Hang, NotListening
from agbot.sim.plain_http import AGBOT_HEADERS, NOT_FOUND, TEXT, Received, Reply

_UPGRADING = re.compile(r"/ha/upgrading(?P<what>wlu|node)(/(?P<org>[^/]+)/(?P<group>[^/]+)(/(?P<policy>[^/]+))?)?")
_VERSION = "2.32.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the agbot shows in addition to its rows, as it is at that moment."""

    org: str
    id: str
    exchange_url: str = "http://127.0.0.1:8180/v1/"
    policies: Callable[[], Mapping[str, list[str]]] = dict
    """The deployment policies that it knows, by organisation."""
    agreements: Callable[[], list[Mapping[str, Any]]] = list
    waiting: Callable[[], list[tuple[str, str]]] = list
    """The members (`org/id`) that it keeps waiting for a service upgrade, each with its policy."""


class LocalApi:
    """One agbot's local API. Two of them on the same rows are two agbots that share a database."""

    def __init__(self, rows: AgbotRows, clock: Clock, shown: Shown, *, chance_seed: int = 0) -> None:
        """Take the database, and what else the agbot shows."""
        self.clock = clock
        self.faults = FaultPlan(chance_seed)
        """`REFUSE`, `HANG`, `DROP`, `STATUS`, `GARBAGE` (malformed, or with a wrong shape),
        `TRUNCATE`, `LATENCY`."""
        self.requests: list[str] = []
        """The requests so far, as `METHOD path`."""
        self._rows = rows
        self._shown = shown

    def headers(self, received: Received) -> tuple[tuple[str, str], ...]:
        """Return the headers of every reply; the origin is echoed."""
        return (*AGBOT_HEADERS, ("Access-Control-Allow-Origin", received.headers.get("origin", "")))

    async def answer(self, received: Received) -> Reply:
        """Answer one request over a socket."""
        return self.handle(received)

    def handle(self, received: Received) -> Reply:
        """Answer one request.

        Raises:
            NotListening: a fault refuses the connection.
            Dropped: a fault breaks the connection.
            Hang: a fault lets the caller wait indefinitely.
        """
        at = (received.method, received.path, "")
        for kind, error in ((FaultKind.REFUSE, NotListening), (FaultKind.DROP, Dropped), (FaultKind.HANG, Hang)):
            if self.faults.hit(kind, *at) is not None:
                raise error
        self.requests.append(f"{received.method} {received.path}")
        delay = self.faults.delay_seconds(*at)
        if (fault := self.faults.hit(FaultKind.STATUS, *at)) is not None:
            return Reply(status=fault.status, body="simulated fault\n", content_type=TEXT, delay_seconds=delay)
        reply = replace(self._answer(received), delay_seconds=delay)
        if (fault := self.faults.hit(FaultKind.GARBAGE, *at)) is not None:
            return replace(reply, body=fault.text)
        return replace(reply, cut_short=self.faults.hit(FaultKind.TRUNCATE, *at) is not None)

    def _answer(self, received: Received) -> Reply:
        if (found := _UPGRADING.fullmatch(received.decoded)) is not None:
            return self._upgrading(received.method, **{name: text or "" for name, text in found.groupdict().items()})
        show = self._others().get(received.decoded)
        if show is None:
            return NOT_FOUND
        return _json(show()) if received.method == "GET" else Reply(status=405)

    def _upgrading(self, method: str, *, what: str, org: str, group: str, policy: str) -> Reply:
        if what == "node" and policy:
            return NOT_FOUND
        if method == "GET":
            is_service = what == "wlu"
            rows = self._rows.list_services(org, group, policy) if is_service else self._rows.list_agents(org, group)
            return _json(rows)
        if method != "DELETE":
            return Reply(status=405)
        if what == "wlu":
            self._rows.delete_services(org, group, policy)
        else:
            self._rows.delete_agents(org, group)
        return Reply(status=200)

    def _others(self) -> Mapping[str, Callable[[], object]]:
        return {
            "/health": lambda: self._health(exchange_version=False),
            "/status": lambda: self._health(exchange_version=True),
            "/status/workers": lambda: {"workers": {}, "worker_status_log": []},
            "/node": lambda: {"agbot_id": self._shown.id, "organization": self._shown.org},
            "/partition": self._partition,
            "/workloadusage": lambda: [self._usage(*each) for each in self._shown.waiting()],
            "/agreement": lambda: {"agreements": {"active": self._shown.agreements(), "archived": []}},
            "/policy": dict,
            "/cache/servedorg": self._served,
            "/cache/deploymentpol": self._shown.policies,
            "/config": lambda: {"InMemoryConfig": {}, "FileSystemConfig": {}},
        }

    def _usage(self, node: str, policy: str) -> Mapping[str, object]:
        """Show a member that waits (`agbot-ha.md` 3.2); what is not about that is left out."""
        since = int(self.clock.now().timestamp())
        return {"record_id": 0, "device_id": node, "pending_upgrade_time": since, "policy": "", "policy_name": policy}

    def _health(self, *, exchange_version: bool) -> Mapping[str, object]:
        configuration = {
            "exchange_api": self._shown.exchange_url,
            **({"exchange_version": EXCHANGE_VERSION} if exchange_version else {}),
            "required_minimum_exchange_version": "2.124.0",
            "preferred_exchange_version": "2.126.1",
            "mms_api": "http://127.0.0.1:9143",
            "architecture": "amd64",
            "horizon_version": _VERSION,
        }
        beat = int(self.clock.now().timestamp())
        return {"configuration": configuration, "liveHealth": {"lastDBHeartbeat": beat, "lastVaultInteraction": 0}}

    def _partition(self) -> Mapping[str, object]:
        active = len(self._shown.agreements())
        return {"1": {"active agreements": active, "archived agreements": 0, "owner": "", "workload usages": 0}}

    def _served(self) -> Mapping[str, object]:
        served = {
            f"{org}_*_{org}": {"businessPolOrgid": org, "businessPol": "*", "nodeOrgid": org, "lastUpdated": ""}
            for org in self._shown.policies()
        }
        return {"servedPatterns": {}, "servedPolicies": served}


def _json(value: object) -> Reply:
    return Reply(status=200, body=json.dumps(value, separators=(",", ":")) + "\n")
