"""A client of FleetLock, as Zincati is one: it asks before a reboot and reports when it is back.

By the protocol (https://coreos.github.io/zincati/development/fleetlock/protocol/): a `POST` with
the header `fleet-lock-protocol: true`, and a body that names the group and the machine. Zincati
takes a login from the user and password in its `base_url`, and sends it as Basic authentication.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import aiohttp

from agbot.sim.exchange.message import basic


@dataclass(frozen=True, slots=True)
class Locked:
    """An answer. 200 is yes; otherwise `kind` and `value` say why not."""

    status: int
    kind: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLockClient:
    """One host."""

    base_url: str
    identity: str = ""
    """`org/node`; empty for a host without a login."""
    secret: str = ""
    group: str = "default"
    machine: str = "c4ca4238a0b923820dcc509a6f75849b"

    async def pre_reboot(self) -> Locked:
        """Ask for the lock."""
        return await self._send("/v1/pre-reboot")

    async def steady_state(self) -> Locked:
        """Report that the host is up, and give the lock back."""
        return await self._send("/v1/steady-state")

    async def _send(self, path: str) -> Locked:
        headers = {"fleet-lock-protocol": "true", "Content-Type": "application/json"}
        if self.identity:
            headers["Authorization"] = basic(self.identity, self.secret)
        body = json.dumps({"client_params": {"group": self.group, "id": self.machine}}).encode()
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.base_url + path, data=body, headers=headers) as reply,
        ):
            if reply.status == 200:
                return Locked(reply.status)
            found = json.loads(await reply.read())
            return Locked(reply.status, found["kind"], found["value"])
