"""`agbot history --follow` in a pipe: the newest entries, then what happens, across an outage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

import pytest

from agbot.store.contract import Entry, JournalQuery, StoreUnavailableError
from tests.integration.cli.conftest import Shell
from tests.integration.console.scripted import ALPHA, BETA, ENTRY
from tests.support.patience import PATIENCE_SECONDS


class Book:
    """A journal that grows, and can fail."""

    def __init__(self) -> None:
        self.looked_after: list[int] = []
        """The entries after which it was asked what has come."""
        self.entries = [replace(ENTRY, id=number) for number in range(1, 31)]
        self.fails = False
        self.was_asked = threading.Event()

    async def read(self, query: JournalQuery) -> list[Entry]:
        self.was_asked.set()
        if self.fails:
            raise StoreUnavailableError("the disk is full")
        found = [each for each in self.entries if query.node in {None, each.node} and each.id < (query.before or 1000)]
        if query.after is None:
            return found[::-1][: query.limit]
        self.looked_after.append(query.after)
        return [each for each in found if each.id > query.after][: query.limit]

    def add(self, **changed: object) -> None:
        self.entries.append(replace(ENTRY, id=len(self.entries) + 1, **changed))  # type: ignore[arg-type]  # by their names


@pytest.fixture
def book(shell: Shell) -> Book:
    found = Book()
    shell.operations.book = found.read
    return found


@contextmanager
def following(shell: Shell, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "agbot.cli.main", "history", "--follow", *words, "--url", shell.url]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_SECONDS) == 0


def wait_for(look: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not look():
        assert time.monotonic() < until
        time.sleep(0.02)


def lines(pipe: IO[str] | None, number: int) -> list[str]:
    assert pipe is not None
    return [pipe.readline().rstrip("\n") for _ in range(number)]


def test_the_newest_come_first_and_then_what_happens_and_nothing_is_missed_in_an_outage(
    shell: Shell, book: Book
) -> None:
    with following(shell, "--json") as process:
        assert [json.loads(line)["id"] for line in lines(process.stdout, 10)] == list(range(21, 31))
        book.add()
        assert [json.loads(line)["id"] for line in lines(process.stdout, 1)] == [31]
        book.fails = True
        assert "the disk is full; trying again" in lines(process.stderr, 1)[0]
        book.add()
        book.add()
        book.fails = False
        assert [json.loads(line)["id"] for line in lines(process.stdout, 2)] == [32, 33]
        assert lines(process.stderr, 1) == ["agbot: the coordinator answers again"]


def test_the_filters_hold_for_what_happens_too(shell: Shell, book: Book) -> None:
    with following(shell, "--node", "acme/beta") as process:
        book.was_asked.wait(PATIENCE_SECONDS)
        book.add(node=ALPHA)
        book.add(node=BETA)

        (line,) = lines(process.stdout, 1)

    assert line == "2026-03-04 05:06:07 UTC  acme/mills  acme/beta may upgrade acme/agent-2.32: every rule allows it"


def test_entries_that_do_not_match_are_passed_over_once(shell: Shell, book: Book) -> None:
    with following(shell, "--node", "acme/beta"):
        wait_for(lambda: book.looked_after)
        for _ in range(500):
            book.add(node=ALPHA)
        wait_for(lambda: book.looked_after[-1] == len(book.entries))


def test_a_store_that_a_backup_has_replaced_is_followed_on(shell: Shell, book: Book) -> None:
    with following(shell, "--json") as process:
        lines(process.stdout, 10)
        wait_for(lambda: book.looked_after)
        del book.entries[20:]
        wait_for(lambda: book.looked_after[-1] == 20)
        book.add()

        assert [json.loads(line)["id"] for line in lines(process.stdout, 1)] == [21]


def test_as_many_as_are_asked_for_are_shown_first(shell: Shell, book: Book) -> None:
    for _ in range(300):
        book.add()
    with following(shell, "--json", "--limit", "320") as process:
        assert [json.loads(line)["id"] for line in lines(process.stdout, 320)] == list(range(11, 331))


def test_a_replay_is_not_followed(shell: Shell) -> None:
    assert shell.run("history", "replay", "--follow").exit_code == 2
