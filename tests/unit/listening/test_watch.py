"""Many sockets behind one entry in the event loop's selector."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from agbot.listening.watch import BATCH, Watch


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    made = Watch(asyncio.get_running_loop())
    yield made
    made.close()


async def _turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_reader_is_called_as_long_as_there_is_something_to_read(watch: Watch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        seen: list[bytes] = []
        watch.add(ours.fileno(), lambda: seen.append(ours.recv(1)))
        theirs.send(b"ab")
        await _turns()
        assert seen == [b"a", b"b"]
        watch.closing(ours.fileno())


async def test_a_socket_that_is_watched_no_more_calls_nothing_and_may_be_watched_again(watch: Watch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        seen: list[bytes] = []
        watch.add(ours.fileno(), lambda: seen.append(b"first"))
        watch.remove(ours.fileno())
        theirs.send(b"a")
        await _turns()
        assert seen == []
        watch.add(ours.fileno(), lambda: seen.append(ours.recv(1)))
        await _turns()
        assert seen == [b"a"]
        watch.closing(ours.fileno())


async def test_a_descriptor_that_was_closed_and_given_out_again_is_another_socket(watch: Watch) -> None:
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    watch.add(number, lambda: pytest.fail("the former socket is gone"))
    watch.closing(number)
    ours.close()
    theirs.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert number in {ours.fileno(), theirs.fileno()}
        mine, other = (ours, theirs) if ours.fileno() == number else (theirs, ours)
        seen: list[bytes] = []
        watch.add(number, lambda: seen.append(mine.recv(1)))
        other.send(b"a")
        await _turns()
        assert seen == [b"a"]
        watch.closing(number)


async def test_a_reader_that_ends_another_connection_of_the_same_round_is_not_followed_by_that_ones(
    watch: Watch,
) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def end_both() -> None:
        called.append(1)
        for ours, _ in pairs:
            watch.closing(ours.fileno())
            ours.close()

    for ours, theirs in pairs:
        watch.add(ours.fileno(), end_both)
        theirs.send(b"a")
    await _turns()
    assert called == [1]
    for _, theirs in pairs:
        theirs.close()


async def test_other_parts_get_their_turn_between_batches(watch: Watch) -> None:
    pairs = [socket.socketpair() for _ in range(2 * BATCH)]
    called: list[socket.socket] = []
    for ours, theirs in pairs:
        watch.add(ours.fileno(), lambda ours=ours: called.append(ours.recv(1)))  # type: ignore[misc]  # a default binds the loop's value
        theirs.send(b"a")
    numbers = []
    while len(called) < len(pairs):
        await asyncio.sleep(0)
        numbers.append(len(called))
    assert max(after - before for before, after in zip([0, *numbers], numbers, strict=False)) <= BATCH
    for ours, theirs in pairs:
        watch.closing(ours.fileno())
        ours.close()
        theirs.close()
