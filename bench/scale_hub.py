"""The processes of `python -m bench scale`: an Exchange with its fleet and agents, and the daemon.

Groups are pairs. The fleet (`bench.fleet`) takes commands, and the daemon runs as its command
starts it; what each process uses is read from the system. Grants take ten times longer than
everything else together, so only some groups get theirs while measured. The leases of the others
are in the store when the daemon starts, as after a restart in the middle of a rollout.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from agbot.rules import lease as leases
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.seen_time import Now
from agbot.store.sqlite import SqliteStore
from bench import machine
from bench.fleet import POLICY
from bench.ports import free_port, wait_for

_READY_SECONDS = 300.0
_LOOK_SECONDS = 0.5
_RELEASED_SECONDS = 120.0
_GRANTED = 2000
"""How many groups are granted their leases while measured."""
_LEASE = timedelta(hours=1)
_WRITTEN_TOGETHER = 500
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
_SETTINGS = """
[exchange]
url = "http://127.0.0.1:{exchange}/v1"
identity = "IBM/coordinator"
token_file = "exchange-token"
organisations = {orgs}

[gateway]
listen = "127.0.0.1:{gateway}"

[console]
listen = "127.0.0.1:{console}"
token_file = "operator-token"

[store]
path = "agbot.db"

[log]
format = "json"
"""


@dataclass(slots=True)
class Usage:
    """The daemon's processor seconds and cycles in a period."""

    cpu_seconds: float = 0.0
    cycles: float = 0.0
    seconds: float = 0.0


class ScaleHub:
    """A fleet of one size and a daemon, each in a separate process."""

    def __init__(self, folder: Path, nodes: int, profile: Path | None) -> None:
        self.folder = folder
        self.nodes = nodes
        self.groups = nodes // 2
        self.granted = min(self.groups, _GRANTED)
        self._profile = profile
        self._console_port, self._gateway_port = free_port(), free_port()
        self._fleet: subprocess.Popen[str]
        self._daemon: subprocess.Popen[bytes]

    @contextmanager
    def fleet(self) -> Iterator[None]:
        """Start the Exchange with its fleet, and write the daemon's settings."""
        command = [
            sys.executable,
            "-m",
            "bench.fleet",
            *map(str, (self.groups, self.groups - self.granted, self._gateway_port)),
        ]
        self._fleet = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            started = self._answer()
            for name, secret in (("exchange-token", "coordinator-secret"), ("operator-token", "operator")):
                file = self.folder / name
                file.touch(mode=0o600)
                file.write_text(secret, encoding="utf-8")
            settings = _SETTINGS.format(
                exchange=started["port"],
                orgs=json.dumps(started["orgs"]),
                gateway=self._gateway_port,
                console=self._console_port,
            )
            (self.folder / "agbot.toml").write_text(settings, encoding="utf-8")
            asyncio.run(_hold(self.folder / "agbot.db", started["upgrading"]))
            yield
        finally:
            _end(self._fleet)

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """Start the daemon as its command does."""
        command = [str(Path(sys.executable).with_name("agbot"))]
        if self._profile is not None:
            command = [sys.executable, "-m", "bench.profiled", str(self._profile.absolute())]
        with (self.folder / "run.log").open("wb") as log:
            arguments = [*command, "run", "--config", str(self.folder / "agbot.toml")]
            self._daemon = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=self.folder, env=_ENVIRONMENT)
        try:
            wait_for(self._console_port)
            yield
        finally:
            _end(self._daemon)

    def command(self, do: str, **about: object) -> Any:  # noqa: ANN401 - JSON of any shape
        """Send the fleet a command; return its result."""
        assert self._fleet.stdin is not None
        self._fleet.stdin.write(json.dumps({"do": do, **about}) + "\n")
        self._fleet.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401 - JSON of any shape
        assert self._fleet.stdout is not None
        line = self._fleet.stdout.readline()
        assert line, "the process of the Exchange has ended"
        return json.loads(line)

    def get(self, path: str) -> str:
        """Send a request to the operators' listener."""
        headers = {"Authorization": "Bearer operator"}
        with urlopen(Request(f"http://127.0.0.1:{self._console_port}{path}", headers=headers), timeout=60) as answer:
            content: bytes = answer.read()
        return content.decode()

    def wait_until_ready(self) -> float:
        """Wait until every group has been read; return the seconds since the call."""
        began_at = time.perf_counter()
        while time.perf_counter() - began_at < _READY_SECONDS:
            seen = json.loads(self.get("/healthz"))
            if seen["ready"] and sum(org["groups"] for org in seen["orgs"]) == self.groups:
                return time.perf_counter() - began_at
            time.sleep(_LOOK_SECONDS)
        message = f"not ready after {_READY_SECONDS} s"
        raise TimeoutError(message)

    @contextmanager
    def usage(self) -> Iterator[Usage]:
        """Measure what the daemon uses within a block."""
        used, cpu, cycles, began_at = Usage(), self.cpu_seconds, self._cycles(), time.perf_counter()
        yield used
        used.cycles, used.cpu_seconds = self._cycles() - cycles, self.cpu_seconds - cpu
        used.seconds = time.perf_counter() - began_at

    @property
    def cpu_seconds(self) -> float:
        """The processor seconds of the daemon so far."""
        return machine.cpu_seconds(self._daemon.pid)

    @property
    def fleet_cpu_seconds(self) -> float:
        """The processor seconds of Exchange and agents so far."""
        return machine.cpu_seconds(self._fleet.pid)

    @property
    def memory_mebibytes(self) -> float:
        """The memory of the daemon."""
        return machine.resident_mebibytes(self._daemon.pid)

    def _cycles(self) -> float:
        found = (line for line in self.get("/metrics").splitlines() if line.startswith("agbot_cycle_seconds_count"))
        return float(next(found, "0 0").split()[1])

    def hand_offs(self) -> list[float]:
        """Return how long after its end in the Exchange each upgrade's lease was free.

        Waits for leases that are still held.
        """
        ended: dict[str, float] = self.command("ended")
        until = time.perf_counter() + _RELEASED_SECONDS
        while True:
            released = self._released()
            missing = [group for group in ended if group not in released]
            if not missing or time.perf_counter() > until:
                return [released.get(group, time.time()) - at for group, at in ended.items()]
            time.sleep(1.0)

    def _released(self) -> dict[str, float]:
        database = sqlite3.connect(f"file:{self.folder / 'agbot.db'}?mode=ro", uri=True)
        rows = database.execute(
            "SELECT group_id, at FROM journal WHERE event = 'lease.released' ORDER BY id"
        ).fetchall()
        database.close()
        return {group.partition("/")[2]: datetime.fromisoformat(at).timestamp() for group, at in rows}


async def _hold(file: Path, groups: Sequence[tuple[str, str]]) -> None:
    """Write the leases of these groups, each held by member `a`."""
    store, now = SqliteStore(file), Now.unblinded(datetime.now(UTC))
    await store.open()
    for first in range(0, len(groups), _WRITTEN_TOGETHER):
        free = [(org, Lease(group=GroupId(f"{org}/{name}"))) for org, name in groups[first : first + _WRITTEN_TOGETHER]]
        claims = [
            Claim(holder=NodeId(f"{lease.group}a"), kind=Kind.AGENT, subject=PolicyId(f"{org}/{POLICY}"))
            for org, lease in free
        ]
        held = [leases.grant(lease, claim, now, _LEASE) for (_, lease), claim in zip(free, claims, strict=True)]
        await asyncio.gather(*(store.swap(lease, new) for (_, lease), new in zip(free, held, strict=True)))
    await store.close()


def _end(process: subprocess.Popen[Any]) -> None:
    if process.stdin is not None and not process.stdin.closed:
        process.stdin.close()
    process.terminate()
    process.wait(timeout=60)
