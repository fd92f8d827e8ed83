"""Cycles of grant and release in the store, and bare durable commits on the same file system.

A cycle is two writes (a grant with its journal entry, a release with its own), each durable before
it returns. A bare commit is one statement with the same durability. The figure is writes per second
over bare commits per second. With 100 groups at once, writes that wait together share a sync; a
single caller pays for a thread hop with each write.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from agbot.rules import lease as leases
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.reasons import Cause
from agbot.rules.seen_time import Now
from agbot.store.contract import Entry, Store, Writes
from agbot.store.sqlite import SqliteStore
from bench.figure import Figure, Unit

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TTL = timedelta(hours=1)
CLAIM = Claim(holder=NodeId("o1/n1"), kind=Kind.AGENT, subject=PolicyId("o1/up1"))
_BARE_COMMITS = 2000
_TOGETHER, _ALONE = (100, 30), (1, 600)
"""Groups at once, and cycles of each."""


def measure(folder: Path, *, rounds: int) -> list[Figure]:
    """Measure the store and the bare commits in turns, `rounds` times."""
    files = _files(folder)
    bare, together, alone = [], [], []
    for _ in range(rounds):
        bare.append(_bare_commits_per_second(next(files)))
        together.append(2 * asyncio.run(_cycles_per_second(next(files), *_TOGETHER)))
        alone.append(2 * asyncio.run(_cycles_per_second(next(files), *_ALONE)))
    return [
        Figure(
            name="cycles of 100 groups, ratio",
            unit=Unit.RATIO,
            rounds=[ours / theirs for ours, theirs in zip(together, bare, strict=True)],
            note="durable writes per second over bare commits per second; writes that wait together share a sync",
        ),
        Figure(
            name="cycles of one group, ratio",
            unit=Unit.RATIO,
            rounds=[ours / theirs for ours, theirs in zip(alone, bare, strict=True)],
            note="the same with a single caller, which pays for a thread hop with each write",
        ),
        Figure(name="grant and release cycles", unit=Unit.PER_SECOND, rounds=[each / 2 for each in together]),
        Figure(name="bare commits", unit=Unit.PER_SECOND, rounds=bare),
    ]


def _files(folder: Path) -> Iterator[Path]:
    return (folder / f"cycles-{number}.db" for number in count())


def _bare_commits_per_second(file: Path) -> float:
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE row (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
    began_at = time.perf_counter()
    for number in range(_BARE_COMMITS):
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT OR REPLACE INTO row VALUES (?, ?)", (f"g{number % 1000}", "x" * 200))
        database.execute("COMMIT")
    took = time.perf_counter() - began_at
    database.close()
    return _BARE_COMMITS / took


async def _cycles_per_second(file: Path, groups: int, cycles: int) -> float:
    store = SqliteStore(file)
    await store.open()
    began_at = time.perf_counter()
    await asyncio.gather(*(cycle(store, GroupId(f"o1/g{number}"), cycles) for number in range(groups)))
    took = time.perf_counter() - began_at
    await store.close()
    return groups * cycles / took


async def cycle(store: Store, group: GroupId, cycles: int) -> None:
    """Grant and release so often."""
    lease = await store.lease(group)
    for _ in range(cycles):
        granted = await store.swap(
            lease, leases.grant(lease, CLAIM, Now.unblinded(NOW), TTL), entries("lease.granted", group)
        )
        assert isinstance(granted, Lease)
        freed = await store.swap(
            granted, leases.release(granted, Cause.SUCCEEDED, Now.unblinded(NOW)), entries("lease.released", group)
        )
        assert isinstance(freed, Lease)
        lease = freed


def entries(event: str, group: GroupId) -> Writes:
    """Return the journal entry of a change."""
    return Writes(entries=[Entry(at=NOW, event=event, group=group)])
