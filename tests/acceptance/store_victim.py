"""A process that uses a SQLite store until it is killed, or until it kills itself before a given statement.

    python -m tests.acceptance.store_victim loop FILE GROUPS
    python -m tests.acceptance.store_victim stop-at FOLDER

`loop` grants and releases in every group forever and writes one line per call that returned.
`stop-at` runs the same short story once per statement, each time in a fork and on a file of its
own, and ends before the n-th statement as `kill -9` would: nothing is closed or rolled back. It
prints how many statements the story has.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agbot.rules import lease as leases
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.lease import Claim, Kind, Lease
from agbot.rules.reasons import Cause
from agbot.rules.records import Turn
from agbot.rules.seen_time import Now, SeenTime
from agbot.store.contract import Entry, Lost, Writes
from agbot.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NODE = NodeId("acme/anna")
STOPPED, FINISHED = 9, 0
Say = Callable[[str], None]


def say(line: str) -> None:
    """Report the parent, in one unbuffered write: what is in the pipe outlives this process."""
    os.write(1, f"{line}\n".encode())


async def next_step(store: SqliteStore, lease: Lease) -> Lease:
    """Grant the lease if it is free, release it if not, each with a turn and a journal entry that name the step."""
    if lease.tenure is None:
        claim = Claim(holder=NODE, kind=Kind.AGENT, subject=PolicyId("acme/agent"))
        new = leases.grant(lease, claim, Now.unblinded(NOW), timedelta(hours=1))
    else:
        new = leases.release(lease, Cause.SUCCEEDED, Now.unblinded(NOW))
    mark = Turn(
        group=lease.group, node=NODE, until=SeenTime(NOW + timedelta(seconds=step_of(new))), cause=Cause.SUCCEEDED
    )
    entry = Entry(at=NOW, event=f"lease.{new.state}", group=lease.group, token=new.token)
    swapped = await store.swap(lease, new, Writes(put=[mark], entries=[entry]))
    if isinstance(swapped, Lost):
        message = f"nobody else writes here, and yet {swapped}"
        raise TypeError(message)
    return swapped


def step_of(lease: Lease) -> int:
    """Count the swaps that lead to this lease: grant, release, grant, ..."""
    return 2 * lease.token - (lease.tenure is not None)


async def swap_forever(store: SqliteStore, group: GroupId) -> None:
    lease = await store.lease(group)
    while True:
        lease = await next_step(store, lease)
        say(f"{group} {step_of(lease)}")


async def loop(path: Path, groups: int) -> None:
    store = SqliteStore(path)
    await store.open()
    say("open")
    await asyncio.gather(*(swap_forever(store, GroupId(f"acme/g{number}")) for number in range(groups)))


async def story(path: Path, emitted: Say) -> None:
    """Open a new store, grant, release, prune, close."""
    store = SqliteStore(path)
    await store.open()
    emitted("open")
    lease = await store.lease(GroupId("acme/g0"))
    for _ in range(2):
        lease = await next_step(store, lease)
        emitted(str(step_of(lease)))
    await store.prune(NOW)
    await store.close()
    emitted("closed")


def stop_before(statement: int) -> None:
    """Let this process end before its n-th SQL statement."""
    begun = 0
    connect = sqlite3.connect

    def count(_sql: str) -> None:
        nonlocal begun
        begun += 1
        if begun == statement:
            os._exit(STOPPED)

    def traced(path: Path | str, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(path, **options)
        if path != ":memory:":
            connection.set_trace_callback(count)
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]  # the test stands between the store and its driver


def run_until(statement: int, folder: Path) -> int:
    """Run the story in a fork that ends before its n-th statement; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    stop_before(statement)
    with (folder / f"{statement}.told").open("w", encoding="utf-8") as emitted:
        asyncio.run(story(folder / f"{statement}.db", lambda line: print(line, file=emitted, flush=True)))
    os._exit(FINISHED)


def main() -> None:
    mode, place = sys.argv[1], Path(sys.argv[2])
    if mode == "loop":
        asyncio.run(loop(place, int(sys.argv[3])))
    statement = 1
    while (code := run_until(statement, place)) == STOPPED:
        statement += 1
    if code != FINISHED:
        raise SystemExit(code)
    say(str(statement - 1))


if __name__ == "__main__":
    main()
