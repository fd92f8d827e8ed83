"""Claims and releases of an agbot through the guard, against the same calls without it.

The server is a real one with fsync, as an agbot's is: the agbot keeps its table locked until the
commit is on the disk. Two databases of the server have an agbot's tables with the same rows, and
one of them is guarded. pgbench makes the calls, in turns: a claim of a group that has never had
one, which is the most expensive way through the guard (it inserts the lease and a decision), and
the deletion of the row. Without an index, the agbot's own function reads the whole table, so the
rows that are held count on both sides.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
from pathlib import Path

import psycopg

from agbot.guard import installing
from agbot.guard.scripts import Schemas
from agbot.sim.agbot_database import START
from agbot.store.postgres import schema
from agbot.store.postgres.address import Address
from bench.figure import Figure, Unit
from bench.postgres import DURABLE
from tests.support.postgres import Postgres, program

CONNECTIONS = (1, 8, 20)
HELD = (0, 1000, 20_000)
_SCRIPT = """\\set group random(1, 1000000000)
SELECT * FROM ha_workload_add_if_not_present('g' || :group, 'o1', 'o1/dp', 'o1/n1');
DELETE FROM ha_workload_upgrade WHERE group_name = 'g' || :group AND org_id = 'o1' AND policy_name = 'o1/dp' AND node_id = 'o1/n1';
"""
_ROWS = """INSERT INTO ha_workload_upgrade (group_name, org_id, policy_name, node_id)
SELECT 'held' || number, 'o1', 'o1/dp', 'o1/n1' FROM generate_series(1, %s) AS number"""
_SPEED = re.compile(r"tps = ([\d.]+) \(without")


def measure(_folder: Path, *, rounds: int, seconds: int) -> list[Figure]:
    """Measure every combination, `rounds` times."""
    server = Postgres.create({**DURABLE, "autovacuum": "on"})
    try:
        server.start()
        script = server.folder / "claim.sql"
        script.write_text(_SCRIPT, encoding="utf-8")
        script.chmod(0o644)
        return [
            _figure(server, script, connections, held, rounds=rounds, seconds=seconds)
            for held in HELD
            for connections in CONNECTIONS
        ]
    finally:
        server.remove()


def _figure(server: Postgres, script: Path, connections: int, held: int, *, rounds: int, seconds: int) -> Figure:
    bare, guarded = [], []
    for _ in range(rounds):
        _prepare(server, held)
        bare.append(_speed(server, "bare", script, connections, seconds))
        guarded.append(_speed(server, "guarded", script, connections, seconds))
    return Figure(
        name=f"guard, {connections} connections, {held} rows held",
        unit=Unit.RATIO,
        rounds=[with_it / without for without, with_it in zip(bare, guarded, strict=True)],
        note=f"{statistics.median(bare):.0f}/s without, {statistics.median(guarded):.0f}/s with it",
    )


def _prepare(server: Postgres, held: int) -> None:
    """Make the two databases again, with so many upgrades under way."""
    for name in ("bare", "guarded"):
        server.drop(name)
        server.run("postgres", f"CREATE DATABASE {name}")
        with psycopg.connect(server.socket_url(name), autocommit=True) as agbot:
            agbot.execute(START)
            if name == "guarded":
                asyncio.run(schema.prepare(Address(url=server.socket_url(name))))
                installing.install(agbot, Schemas())
                agbot.execute("UPDATE agbot_ha.guard_setting SET services_without_leader = 'go'")
            agbot.execute(_ROWS, (held,))
            agbot.execute("VACUUM ANALYZE")


def _speed(server: Postgres, name: str, script: Path, connections: int, seconds: int) -> float:
    """Return how often a second a claim and its release were made."""
    options = ["-n", "-f", str(script), "-c", str(connections), "-j", "1", "-T", str(seconds)]
    done = subprocess.run(
        [program("pgbench"), *options, server.socket_url(name)], check=True, capture_output=True, text=True
    )
    found = _SPEED.search(done.stdout)
    assert found is not None, done.stdout
    return float(found[1])
