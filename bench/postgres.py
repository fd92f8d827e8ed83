"""Grants and releases in the store on PostgreSQL, the same transactions by pgbench, and on SQLite.

The server is a real one with fsync, on the same file system as the bare commits of `cycles`. One
transaction of pgbench is the message that the store sends, with another group in it; pgbench knows
nothing of leases, prepares the text beforehand and waits for no answer to decide on. All count the
entries of the journal in one row, so that more clients cost more than they bring; the store lets
the writes that wait together share a transaction.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from pathlib import Path

from agbot.rules import lease as leases
from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now
from agbot.store.postgres import statements
from agbot.store.postgres.address import Address
from agbot.store.postgres.shared import WRITES
from agbot.store.postgres.statements import Fence, Rest
from agbot.store.postgres.store import PostgresStore
from agbot.store.sqlite import SqliteStore
from bench import cycles
from bench.figure import Figure, Unit
from tests.support.postgres import FAST, Postgres, program

DURABLE = {**FAST, "fsync": "on", "full_page_writes": "on"}
_CLIENTS = 8
_SECONDS = 4
_GROUP = "o1/g"
_TOGETHER, _ALONE = (100, 30), (1, 300)


def is_there() -> bool:
    """Whether this machine has a server."""
    return bool(list(Path("/usr/lib/postgresql").glob("*/bin/pgbench")))


def measure(folder: Path, *, rounds: int) -> list[Figure]:
    """Measure the store, pgbench and SQLite in turns, `rounds` times."""
    server = Postgres.create(DURABLE)
    together, alone, bench_many, bench_one, file = [], [], [], [], []
    try:
        server.start()
        for number in range(rounds):
            address = Address(url=server.url(), schema=f"round_{number}")
            together.append(2 * asyncio.run(_cycles_per_second(PostgresStore(address), *_TOGETHER)))
            alone.append(2 * asyncio.run(_cycles_per_second(PostgresStore(address), *_ALONE)))
            asyncio.run(_prepare(address))
            script = _script(server, address)
            bench_many.append(_pgbench(server, script, _CLIENTS))
            bench_one.append(_pgbench(server, script, 1))
            file.append(2 * asyncio.run(_cycles_per_second(SqliteStore(folder / f"{number}.db"), *_TOGETHER)))
    finally:
        server.remove()
    return [
        _ratio("PostgreSQL, 100 groups, of pgbench", together, bench_many, f"pgbench with {_CLIENTS} clients"),
        _ratio("PostgreSQL, one group, of pgbench", alone, bench_one, "pgbench with one client"),
        _ratio("PostgreSQL, 100 groups, of SQLite", together, file, "the same cycles in a file"),
        Figure(name="writes on PostgreSQL, 100 groups", unit=Unit.PER_SECOND, rounds=together),
        Figure(name="writes on PostgreSQL, one group", unit=Unit.PER_SECOND, rounds=alone),
        Figure(name=f"pgbench, {_CLIENTS} clients", unit=Unit.PER_SECOND, rounds=bench_many),
        Figure(name="pgbench, one client", unit=Unit.PER_SECOND, rounds=bench_one),
    ]


def _ratio(name: str, ours: list[float], theirs: list[float], note: str) -> Figure:
    pairs = zip(ours, theirs, strict=True)
    return Figure(name=name, unit=Unit.RATIO, rounds=[one / other for one, other in pairs], note=note)


async def _cycles_per_second(store: PostgresStore | SqliteStore, groups: int, number: int) -> float:
    await store.open()
    began_at = time.perf_counter()
    await asyncio.gather(*(cycles.cycle(store, GroupId(f"{_GROUP}{each}"), number) for each in range(groups)))
    took = time.perf_counter() - began_at
    await store.close()
    return groups * number / took


async def _prepare(address: Address) -> None:
    """Give each client of pgbench groups of its own."""
    store = PostgresStore(address)
    await store.open()
    for client in range(_CLIENTS):
        free = Lease(group=GroupId(f"{_GROUP}{1000 + client}"))
        held = leases.grant(free, cycles.CLAIM, Now.unblinded(cycles.NOW), cycles.TTL)
        await store.swap(free, held)
        await store.swap(held, leases.release(held, Cause.SUCCEEDED, Now.unblinded(cycles.NOW)))
    await store.close()


def _script(server: Postgres, address: Address) -> Path:
    """Write the messages of a grant and of a release, for the group of each client."""
    ((epoch, writer, timeline),) = server.run(
        "postgres",
        f"SET search_path = {address.schema}",
        f"SELECT epoch, writer, {statements.TIMELINE} FROM leader",
    )
    fence = Fence(epoch=int(str(epoch)), timeline=str(timeline), known=0, writer=str(writer))
    free = Lease(group=GroupId("GROUP"))
    held = leases.grant(free, cycles.CLAIM, Now.unblinded(cycles.NOW), cycles.TTL)
    released = leases.release(held, Cause.SUCCEEDED, Now.unblinded(cycles.NOW))
    lines = []
    for before, after, event in ((free, held, "lease.granted"), (held, released, "lease.released")):
        rest = Rest.of(cycles.entries(event, before.group))
        text = statements.swap(fence, before, after, rest, may_be_first=False)
        text = text.replace("'GROUP'", f"'{_GROUP}100:client_id'").replace(f" AND token = {before.token}", "")
        if after is held:
            text = text.replace(f'"token" = {after.token}', '"token" = lease."token" + 1')
        else:
            text = text.replace(f'"token" = {after.token}, ', "")
        settings = (
            f"SET LOCAL search_path = {address.schema}, pg_temp",
            f"SET LOCAL statement_timeout = {WRITES.statement_ms}",
            f"SET LOCAL lock_timeout = {WRITES.lock_ms}",
        )
        lines.append("\\;".join([*settings, " ".join(text.split())]) + ";")
    file = server.folder / "pgbench.sql"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file.chmod(0o644)
    return file


def _pgbench(server: Postgres, script: Path, clients: int) -> float:
    """Return the writes per second: two for each of its transactions."""
    options = ["-n", "-M", "simple", "-c", str(clients), "-j", "1", "-T", str(_SECONDS), "-f", str(script)]
    command = [program("pgbench"), *options, "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", "postgres"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, flags=re.MULTILINE)
    assert found, done.stdout + done.stderr
    return 2 * float(found[1])
