"""The thread that uses the SQLite file, and its queue.

A whole transaction is one function and one hop to the thread: no task can interleave with it, and a
cancelled caller cannot leave it open, because it runs to its end anyway. Writes that queue while
the thread is busy are committed together, and each caller returns only after that commit: the cost
of a commit is the sync of the disk, which they share.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agbot.store.contract import StoreUnavailableError
from agbot.store.sqlite_session import Connect, Failed, SqliteSession, T, Watch, Work

BATCH = 64
"""Maximum number of writes in one commit: bounds how long the first waits for the last."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[Any]
    writes: bool
    mends: bool
    answer: asyncio.Future[Any]


class SqliteThread:
    """Runs functions on a connection, one after the other. Its methods belong to one event loop."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self._path = path
        self._session = SqliteSession(path, watch)
        self._executor: ThreadPoolExecutor | None = None
        self._takes_work = False
        self._queue: deque[_Job] = deque()
        self._running: asyncio.Future[list[Any]] | None = None

    @property
    def commits(self) -> int:
        """The number of committed transactions; fewer than writes, because callers share some."""
        return self._session.commits

    async def start(self, connect: Connect) -> None:
        """Start the thread and connect in it.

        It raises what `connect` raises, and then leaves no thread.
        """
        executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            await asyncio.get_running_loop().run_in_executor(executor, self._session.connect, connect)
        except BaseException:
            # the caller may have been cancelled while the connection is being made: this comes
            # after that
            executor.submit(self._session.disconnect)
            executor.shutdown(wait=False)
            raise
        self._executor = executor
        self._takes_work = True

    async def stop(self) -> None:
        """Accept no more work, finish the queue, disconnect.

        A second call completes a cancelled first one.
        """
        self._takes_work = False
        while self._running is not None:
            await asyncio.wait([self._running])
        executor, self._executor = self._executor, None
        if executor is None:
            return
        disconnected = asyncio.get_running_loop().run_in_executor(executor, self._session.disconnect)
        executor.shutdown(wait=False)
        await disconnected

    async def run(self, work: Work[T], *, writes: bool, mends: bool = False) -> T:
        """Run a function in the thread, in a transaction if it writes.

        With `mends`, files may be repaired before a read. If the caller is cancelled before its
        transaction has begun, the work is not done; afterwards it is.

        Raises:
            StoreUnavailableError: the file failed, or the store is not open.
        """
        if not self._takes_work:
            message = f"the store {self._path} is not open"
            raise StoreUnavailableError(message)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(_Job(work, writes, mends, answer))
        self._begin_next()
        return await answer

    def _begin_next(self) -> None:
        if self._running is not None or self._executor is None:
            return
        batch = self._take()
        if not batch:
            return
        first = batch[0]
        perform = self._session.write if first.writes else self._session.mend if first.mends else self._session.read
        works = [job.work for job in batch]
        self._running = asyncio.get_running_loop().run_in_executor(self._executor, perform, works)
        self._running.add_done_callback(partial(self._deliver, batch))

    def _take(self) -> list[_Job]:
        """Take one read, or the writes at the head of the queue, in order."""
        batch: list[_Job] = []
        while self._queue and len(batch) < BATCH:
            # in order: a read after a write must see it, and shares no transaction with it
            if batch and not (batch[0].writes and self._queue[0].writes):
                break
            job = self._queue.popleft()
            if not job.answer.done():  # done: its caller was cancelled while it waited
                batch.append(job)
        return batch

    def _deliver(self, batch: Sequence[_Job], done: asyncio.Future[list[Any]]) -> None:
        self._running = None
        for job, outcome in zip(batch, done.result(), strict=True):
            if job.answer.done():
                continue
            if isinstance(outcome, Failed):
                job.answer.set_exception(outcome.error)
            else:
                job.answer.set_result(outcome)
        self._begin_next()
