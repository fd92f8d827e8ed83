"""One connection to the database, and the queue in front of it.

A transaction is one message: its settings and statements, without BEGIN. The server runs it to its
end and commits, or rolls it back, whatever becomes of the client: no transaction waits for a client
or outlives one, and a pooler in transaction mode has nothing to remember. Writes that queue while
the server is busy share a transaction, as on SQLite's thread. If the server refuses one of them,
all are rolled back and each is tried again in a transaction of its own.

If the connection fails after a message was sent, it is not known whether it was carried out. That
is an error for all callers (`StoreUnavailableError`), and the next call connects again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from agbot.store.contract import StoreUnavailableError
from agbot.store.postgres.address import Address

Rows = list[dict[str, Any]]

BATCH: Final = 64
"""Maximum number of writes in one transaction: bounds how long the first waits for the last."""
_UNKNOWN: Final = ("08", "57P")
"""Errors after which the connection is gone, and what became of its transaction is not known."""


class RefusedError(Exception):
    """The server has refused a statement: the transaction is rolled back."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.error = error
        self.code = error.sqlstate or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a transaction may take, in milliseconds."""

    statement_ms: int
    lock_ms: int

    @property
    def answer_seconds(self) -> float:
        """After this time the network counts as cut: the server has ended every statement."""
        return self.statement_ms / 1000 + 1.0


@dataclass(frozen=True, slots=True)
class _Job:
    statements: Sequence[str]
    answer: asyncio.Future[list[Rows]]
    timeouts: Timeouts | None
    """With some of its own it shares its transaction with no other job; None: the channel's."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has been carried out or not, whatever its caller waits for."""


class Channel:
    """Sends transactions one after the other. Its methods belong to one event loop."""

    def __init__(self, address: Address, timeouts: Timeouts, *, batch: int = 1, purpose: str = "") -> None:
        self._address = address
        self._timeouts = timeouts
        self._batch = batch
        self._purpose = purpose
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None
        self._queue: deque[_Job] = deque()
        self._last: _Job | None = None
        self._working: asyncio.Task[None] | None = None
        self._is_open = False
        self.commits = 0
        """The number of committed transactions; fewer than calls, because callers share some."""

    def open(self) -> None:
        """Take calls from now on; the first one connects."""
        self._is_open = True

    async def close(self) -> None:
        """Take no more calls, finish the queue, disconnect."""
        self._is_open = False
        await self.settled()
        await self._disconnect()

    async def settled(self) -> None:
        """Wait until all that has been queued so far has come to its end."""
        if self._last is not None:
            await self._last.ended.wait()

    async def run(self, *statements: str, timeouts: Timeouts | None = None) -> list[Rows]:
        """Run statements in one transaction; return the rows of each.

        With `timeouts` it has these, and shares its transaction with no other.

        If the caller is cancelled before it is sent, it is not done; afterwards it is.

        Raises:
            RefusedError: the server refused it; nothing has happened.
            StoreUnavailableError: it is not known whether it has happened.
        """
        if not self._is_open:
            message = f"the store {self._address} is not open"
            raise StoreUnavailableError(message)
        answer: asyncio.Future[list[Rows]] = asyncio.get_running_loop().create_future()
        self._last = _Job(statements, answer, timeouts)
        self._queue.append(self._last)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._queue:
                jobs = self._take()
                wanted = [job for job in jobs if not job.answer.done()]
                if wanted:
                    await self._perform(wanted)
                for job in jobs:
                    job.ended.set()
        finally:
            self._working = None

    def _take(self) -> list[_Job]:
        """Take from the head of the queue what shares a transaction, in order."""
        jobs: list[_Job] = []
        while self._queue and len(jobs) < self._batch and not (jobs and jobs[0].timeouts):
            # timeouts are settings of a transaction: such a job has one of its own
            if jobs and self._queue[0].timeouts:
                break
            jobs.append(self._queue.popleft())
        return jobs

    async def _perform(self, jobs: Sequence[_Job]) -> None:
        try:
            statements = [statement for job in jobs for statement in job.statements]
            results = await self._send(statements, jobs[0].timeouts or self._timeouts)
        except RefusedError as error:
            if len(jobs) == 1:
                _fail(jobs, error)
                return
            for job in jobs:
                await self._perform([job])
        except Exception as error:  # noqa: BLE001 - every error goes to the callers, not into an unwatched task
            _fail(jobs, error)
        else:
            self.commits += 1
            for job in jobs:
                own, results = results[: len(job.statements)], results[len(job.statements) :]
                if not job.answer.done():
                    job.answer.set_result(own)

    async def _send(self, statements: Sequence[str], timeouts: Timeouts) -> list[Rows]:
        connection = await self._connected()
        settings = (
            f"SET LOCAL search_path = {self._address.schema}, pg_temp",
            f"SET LOCAL statement_timeout = {timeouts.statement_ms}",
            f"SET LOCAL lock_timeout = {timeouts.lock_ms}",
        )
        answering = asyncio.ensure_future(_exchange(connection, ";".join([*settings, *statements])))
        done, _ = await asyncio.wait([answering], timeout=timeouts.answer_seconds)
        # Not cancelled: psycopg would send a request to cancel over a network that is cut, and
        # wait. The server has ended every statement by then, so the line is dead.
        if not done:
            _hang_up(connection)
        try:
            results = await answering
        except psycopg.Error as error:
            if connection.closed or error.sqlstate is None or error.sqlstate.startswith(_UNKNOWN):
                await self._disconnect()
                if not done:
                    silence = f"no answer came from {self._address} within {timeouts.answer_seconds:g} s; look whether it can be reached"
                    raise StoreUnavailableError(silence) from error
                raise self._address.unavailable("learn what became of a request to", error) from error
            raise RefusedError(error) from error
        return results[len(settings) :]

    async def _connected(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        """Return the connection; a new one if the other side has ended it meanwhile."""
        if self._connection is not None and _is_ended(self._connection):
            await self._disconnect()
        if self._connection is None:
            self._connection = await connect(self._address, self._purpose)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def connect(address: Address, purpose: str = "") -> psycopg.AsyncConnection[dict[str, Any]]:
    """Connect, with no state that a pooler would have to keep.

    Raises:
        StoreUnavailableError: the server cannot be reached, or does not let us in.
    """
    name = f"agbot {purpose}".strip()
    try:
        parameters = {**address.parameters, "application_name": name}
        return await psycopg.AsyncConnection.connect(
            **parameters, autocommit=True, prepare_threshold=None, row_factory=dict_row
        )
    except psycopg.Error as error:
        raise address.unavailable("connect to", error) from error


async def _exchange(connection: psycopg.AsyncConnection[dict[str, Any]], message: str) -> list[Rows]:
    """Send a message and return the rows of each of its statements."""
    async with connection.cursor() as cursor:
        await cursor.execute(message.encode())
        results = [await _rows(cursor)]
        while cursor.nextset():
            results.append(await _rows(cursor))
        return results


async def _rows(cursor: psycopg.AsyncCursor[dict[str, Any]]) -> Rows:
    return await cursor.fetchall() if cursor.description is not None else []


def _is_ended(connection: psycopg.AsyncConnection[dict[str, Any]]) -> bool:
    """Whether the server has ended the idle connection: only then is there something to read."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _hang_up(connection: psycopg.AsyncConnection[dict[str, Any]]) -> None:
    """End the connection on this side, so that whoever waits for its answer gets an error."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _fail(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(error)
