"""`kill -9` at any moment: what a store has returned from is there, and nothing is there by half."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

from agbot.rules.ids import GroupId
from agbot.rules.lease import Lease
from agbot.rules.records import Turn
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import JournalQuery
from agbot.store.sqlite import SqliteStore
from tests.acceptance.store_victim import NOW, step_of
from tests.support.examples import thorough

ROOT = Path(__file__).parents[2]
ROUNDS = 8
GROUPS = 5
EVERYTHING = JournalQuery(after=0, limit=1_000_000)


def victim(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.acceptance.store_victim", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def kill_after(lines: int, path: Path) -> dict[GroupId, int]:
    """Let a victim work until it has stated so many lines, kill it, and return the last step that it stated of every group."""
    with victim("loop", path, str(GROUPS)) as process:
        assert process.stdout is not None
        stated = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        stated += process.stdout.readlines()  # what it stated before it died is in the pipe
    assert stated[0] == "open\n"
    steps = (line.split() for line in stated[1:])
    return {GroupId(group): int(step) for group, step in steps}


def stop_before_every_statement(folder: Path) -> int:
    """Let a victim report its story once per statement; return how many statements it has."""
    with victim("stop-at", folder) as process:
        stated, _ = process.communicate()
    assert process.returncode == 0
    return int(stated)


def last_returned(emitted: Path) -> int:
    """Return the last step that a story has reported of."""
    lines = emitted.read_text(encoding="utf-8").split()
    return max((int(line) for line in lines if line.isdigit()), default=0)


async def content(path: Path) -> tuple[Mapping[GroupId, Lease], Counter[GroupId], dict[GroupId, int]]:
    """Return the leases, how many entries each group has, and the step that its turn names."""
    store = SqliteStore(path)
    await store.open()
    try:
        stored = await store.load()
        entries = Counter(entry.group for entry in await store.journal(EVERYTHING) if entry.group)
        marks = {mark.group: round((mark.until - SeenTime(NOW)).total_seconds()) for mark in stored.of(Turn)}
        return stored.leases, entries, marks
    finally:
        await store.close()


@thorough
async def test_killed_at_random_moments_it_loses_nothing_it_returned_from(tmp_path: Path) -> None:
    chance = Random(20260301)
    path = tmp_path / "agbot.db"
    before = dict.fromkeys((GroupId(f"acme/g{number}") for number in range(GROUPS)), 0)

    for _ in range(ROUNDS):
        returned = before | await asyncio.to_thread(kill_after, chance.randint(2, 400), path)
        leases, entries, marks = await content(path)

        steps = {group: step_of(leases.get(group, Lease(group=group))) for group in before}
        ahead = {group: steps[group] - returned[group] for group in before}
        assert set(ahead.values()) <= {0, 1}, "a call returned and was lost, or more than the one under way was written"
        assert all(steps[group] >= before[group] for group in before)
        assert entries == Counter(steps), "an entry without its swap, or a swap without its entry"
        assert marks == {group: step for group, step in steps.items() if step}
        before = steps

    assert sum(before.values()) > ROUNDS


async def test_stopped_between_any_two_statements_a_grant_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    statements = await asyncio.to_thread(stop_before_every_statement, tmp_path)
    seen = set()

    for statement in range(1, statements + 1):
        returned = last_returned(tmp_path / f"{statement}.told")
        leases, entries, marks = await content(tmp_path / f"{statement}.db")

        group = GroupId("acme/g0")
        step = step_of(leases.get(group, Lease(group=group)))
        assert step in {returned, returned + 1}, f"before statement {statement}"
        assert (entries[group], marks.get(group, 0)) == (step, step), f"before statement {statement}"
        seen.add(step)

    assert seen == {0, 1, 2}
    assert statements > 20
