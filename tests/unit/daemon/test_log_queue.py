"""The queue before standard error, over real pipes: it never waits, keeps the order, and reports what it dropped."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agbot.daemon.log_queue import LogQueue
from tests.support.patience import PATIENCE_SECONDS, in_time

LINES = 3000


class Pipe:
    """A pipe with a stream at its writing end."""

    def __init__(self) -> None:
        self.read_end, write_end = os.pipe()
        self.stream = os.fdopen(write_end, "w", encoding="utf-8")

    def fill(self) -> int:
        """Write until nothing goes in any more; return how many bytes that were."""
        os.set_blocking(self.stream.fileno(), False)
        size = 0
        try:
            while True:
                size += os.write(self.stream.fileno(), b"." * 512)
        except BlockingIOError:
            os.set_blocking(self.stream.fileno(), True)
        return size

    def read_until(self, end: bytes) -> bytes:
        """Read until this has come."""
        seen = b""
        while end not in seen:
            seen += os.read(self.read_end, 65_536)
        return seen

    def close(self) -> None:
        self.stream.close()
        os.close(self.read_end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    found = Pipe()
    yield found
    found.close()


def soon(look: Callable[[], bool]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_lines_come_in_the_order_in_which_they_were_written(pipe: Pipe) -> None:
    with LogQueue(pipe.stream, print) as queue:
        written = "".join(f"line {number}\n" for number in range(LINES))
        for line in written.splitlines(keepends=True):
            queue.write(line)
        assert pipe.read_until(f"line {LINES - 1}\n".encode()).decode() == written
    assert queue.dropped == 0


def test_a_full_pipe_holds_no_one_up_and_what_finds_no_room_is_counted(pipe: Pipe) -> None:
    pipe.fill()
    with in_time(0.2), LogQueue(pipe.stream, print, max_bytes=10_000, flush_seconds=0.1) as queue:
        for number in range(LINES):
            queue.write(f"line {number:05}\n")
        queue.flush()
    assert queue.dropped == LINES - 10_000 // len("line 00000\n")


def test_a_gap_is_reported_once_behind_the_lines_before_it_with_the_number_that_is_missing(pipe: Pipe) -> None:
    filled = pipe.fill()
    queue = LogQueue(pipe.stream, lambda lines: print(f"missing {lines}", file=queue, end="\n"), max_bytes=10_000)
    with queue:
        for number in range(LINES):
            queue.write(f"line {number}\n")
        kept = LINES - queue.dropped
        seen = pipe.read_until(b"missing")[filled:]
        queue.write("after\n")
        seen += pipe.read_until(b"after\n")
    lines = seen.decode().splitlines()
    assert lines == [*(f"line {number}" for number in range(kept)), f"missing {LINES - kept}", "after"]


def test_a_line_that_is_longer_than_the_queue_is_dropped_alone(pipe: Pipe) -> None:
    with LogQueue(pipe.stream, lambda _: None, max_bytes=1000) as queue:
        queue.write(f"{'long ' * 1000}\n")
        queue.write("next\n")
        assert pipe.read_until(b"\n") == b"next\n"
    assert queue.dropped == 1


def test_many_threads_write_whole_lines_each_in_its_own_order(pipe: Pipe) -> None:
    with LogQueue(pipe.stream, print) as queue:

        def write(name: str) -> None:
            for number in range(LINES):
                queue.write(f"{name} {number}\n")

        threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        seen = b""
        while seen.count(b"\n") < 3 * LINES:
            seen += os.read(pipe.read_end, 65_536)
        for thread in threads:
            thread.join()
    lines = seen.decode().splitlines()
    for name in "abc":
        assert [line for line in lines if line[0] == name] == [f"{name} {number}" for number in range(LINES)]


def test_a_reader_that_has_gone_costs_the_lines_and_nothing_else() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w", encoding="utf-8") as stream, LogQueue(stream, print) as queue:
        queue.write("nobody hears\n")
        soon(lambda: queue.dropped == 1)


def test_a_full_disk_is_reported_when_there_is_room_again(tmp_path: Path) -> None:
    emitted: list[int] = []
    with Path("/dev/full").open("w", encoding="utf-8") as full, (tmp_path / "log").open("w", encoding="utf-8") as room:
        file = os.dup(full.fileno())
        with os.fdopen(file, "w", encoding="utf-8") as stream, LogQueue(stream, emitted.append) as queue:
            queue.write("no room\n")
            soon(lambda: queue.dropped == 1)
            os.dup2(room.fileno(), file)
            queue.write("room\n")
            soon(lambda: emitted == [1])
        assert (tmp_path / "log").read_text(encoding="utf-8") == "room\n"


def test_a_non_blocking_pipe_loses_nothing(pipe: Pipe) -> None:
    filled = pipe.fill()
    os.set_blocking(pipe.stream.fileno(), False)
    with LogQueue(pipe.stream, print) as queue:
        queue.write("late\n")
        assert pipe.read_until(b"late\n")[filled:] == b"late\n"


def test_a_standard_error_that_is_closed_takes_everything_and_writes_nothing() -> None:
    with LogQueue(None, print) as queue:
        assert not queue.isatty()
        assert queue.write("into the void\n") == len("into the void\n")
        with pytest.raises(OSError, match="closed"):
            queue.fileno()
    assert queue.dropped == 1


def test_half_a_surrogate_pair_is_written_as_an_escape(pipe: Pipe) -> None:
    with LogQueue(pipe.stream, print) as queue:
        queue.write("name \ud800\n")
        assert pipe.read_until(b"\n") == b"name \\ud800\n"


def test_a_traceback_of_the_interpreter_goes_through_it(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaks:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    with LogQueue(pipe.stream, print) as queue:
        monkeypatch.setattr(sys, "stderr", queue)
        monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
        Breaks()
        assert b"ValueError: in a finalizer\n" in pipe.read_until(b"in a finalizer\n")
    assert isinstance(queue, io.TextIOBase)
