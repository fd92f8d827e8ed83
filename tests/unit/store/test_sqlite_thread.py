"""One thread, one hop per transaction, one commit for those who come together."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from agbot.store.contract import StoreUnavailableError
from agbot.store.sqlite_thread import BATCH, SqliteThread
from tests.support.patience import PATIENCE_SECONDS


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER UNIQUE)")
    return connection


def insert(connection: sqlite3.Connection, *numbers: int) -> str:
    for number in numbers:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    return f"wrote {numbers}"


def rows(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT n FROM t ORDER BY n")]


def in_transaction(connection: sqlite3.Connection) -> bool:
    return connection.in_transaction


def writing(*numbers: int) -> partial[str]:
    return partial(_insert_in_order, numbers)


def _insert_in_order(numbers: tuple[int, ...], connection: sqlite3.Connection) -> str:
    return insert(connection, *numbers)


class Unwatched:
    """The file here is no store: nothing is to be found wrong with it."""

    def check(self) -> None: ...

    def committing(self) -> None: ...

    def committed(self, connection: sqlite3.Connection) -> None: ...

    def mend(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        return connection

    def closed(self) -> None: ...


class Gate:
    """Holds the thread until it is let go, so that what comes meanwhile has to wait in the queue."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._open = threading.Event()

    def let_go(self) -> None:
        self._open.set()

    def work(self, connection: sqlite3.Connection) -> str:
        self._loop.call_soon_threadsafe(self.entered.set)
        assert self._open.wait(PATIENCE_SECONDS)
        return insert(connection, 0)


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[SqliteThread]:
    path = tmp_path / "t.db"
    started = SqliteThread(path, Unwatched())
    await started.start(partial(connect, path))
    yield started
    await started.stop()


@pytest.fixture
async def gate(thread: SqliteThread) -> AsyncIterator[Gate]:
    held = Gate()
    call = asyncio.create_task(thread.run(held.work, writes=True))
    await held.entered.wait()
    yield held
    held.let_go()
    await asyncio.wait([call])


async def test_writes_that_wait_together_are_committed_together(thread: SqliteThread, gate: Gate) -> None:
    calls = [asyncio.create_task(thread.run(writing(number), writes=True)) for number in range(1, 21)]
    await asyncio.sleep(0)

    gate.let_go()
    results = await asyncio.gather(*calls)

    assert results == [f"wrote ({number},)" for number in range(1, 21)]
    assert await thread.run(rows, writes=False) == list(range(21))
    assert thread.commits == 2


async def test_a_batch_is_bounded(thread: SqliteThread, gate: Gate) -> None:
    calls = [asyncio.create_task(thread.run(writing(number), writes=True)) for number in range(1, 2 * BATCH + 2)]
    await asyncio.sleep(0)

    gate.let_go()
    await asyncio.gather(*calls)

    assert thread.commits == 4


async def test_one_that_fails_in_a_batch_fails_alone_and_whole(thread: SqliteThread, gate: Gate) -> None:
    calls = [
        asyncio.create_task(thread.run(work, writes=True))
        for work in (writing(1), writing(2, 3, 1), writing(4), writing(5, 6))
    ]
    await asyncio.sleep(0)

    gate.let_go()
    first, second, third, fourth = await asyncio.gather(*calls, return_exceptions=True)

    assert isinstance(second, StoreUnavailableError)
    assert (first, third, fourth) == ("wrote (1,)", "wrote (4,)", "wrote (5, 6)")
    assert await thread.run(rows, writes=False) == [0, 1, 4, 5, 6]


async def test_a_programming_error_reaches_its_caller_as_it_is(thread: SqliteThread) -> None:
    with pytest.raises(OverflowError):
        await thread.run(writing(7, 2**80), writes=True)

    assert await thread.run(rows, writes=False) == []
    assert await thread.run(in_transaction, writes=False) is False


async def test_what_was_asked_first_is_done_first(thread: SqliteThread, gate: Gate) -> None:
    async def read_then_write() -> list[object]:
        before = thread.run(rows, writes=False)
        write = thread.run(writing(1), writes=True)
        after = thread.run(rows, writes=False)
        return list(await asyncio.gather(before, write, after))

    call = asyncio.create_task(read_then_write())
    await asyncio.sleep(0)
    gate.let_go()

    assert await call == [[0], "wrote (1,)", [0, 1]]


async def test_a_transaction_under_way_runs_to_its_end_without_its_caller(thread: SqliteThread) -> None:
    held = Gate()
    call = asyncio.create_task(thread.run(held.work, writes=True))
    await held.entered.wait()

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    held.let_go()

    assert await thread.run(rows, writes=False) == [0]
    assert await thread.run(in_transaction, writes=False) is False


async def test_work_whose_caller_left_before_it_began_is_not_done(thread: SqliteThread, gate: Gate) -> None:
    calls = [asyncio.create_task(thread.run(writing(number), writes=True)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.sleep(0)

    gate.let_go()
    await asyncio.wait(calls)

    assert await thread.run(rows, writes=False) == [0, 1, 3]


async def test_stopping_finishes_what_is_queued_and_takes_nothing_new(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    thread = SqliteThread(path, Unwatched())
    await thread.start(partial(connect, path))
    held = Gate()
    calls = [asyncio.create_task(thread.run(held.work, writes=True))]
    await held.entered.wait()
    calls += [asyncio.create_task(thread.run(writing(number), writes=True)) for number in (1, 2)]
    await asyncio.sleep(0)

    stop = asyncio.create_task(thread.stop())
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailableError, match="not open"):
        await thread.run(writing(3), writes=True)
    held.let_go()
    await stop

    assert [call.result() for call in calls] == ["wrote (0,)", "wrote (1,)", "wrote (2,)"]
    connection = connect(path)
    assert rows(connection) == [0, 1, 2]
    connection.close()


async def test_a_stop_that_was_cancelled_is_finished_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    thread = SqliteThread(path, Unwatched())
    await thread.start(partial(connect, path))
    held = Gate()
    call = asyncio.create_task(thread.run(held.work, writes=True))
    await held.entered.wait()

    stop = asyncio.create_task(thread.stop())
    await asyncio.sleep(0)
    stop.cancel()
    await asyncio.wait([stop])
    held.let_go()
    await thread.stop()

    assert call.result() == "wrote (0,)"
    with pytest.raises(StoreUnavailableError, match="not open"):
        await thread.run(rows, writes=False)


async def test_a_start_that_fails_leaves_no_thread(tmp_path: Path) -> None:
    thread = SqliteThread(tmp_path / "t.db", Unwatched())

    with pytest.raises(sqlite3.OperationalError):
        await thread.start(partial(connect, tmp_path / "missing" / "t.db"))
    with pytest.raises(StoreUnavailableError, match="not open"):
        await thread.run(rows, writes=False)
