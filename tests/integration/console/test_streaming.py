"""The journal as server-sent events: from now on, or after the last one that a client had."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agbot.console import streaming
from agbot.store.contract import Entry, JournalQuery
from tests.integration.console.conftest import Desk
from tests.integration.console.scripted import ENTRY
from tests.support.patience import PATIENCE_SECONDS, until


class Book:
    """A journal that a test writes on."""

    def __init__(self, entries: int) -> None:
        self.entries = [replace(ENTRY, id=number) for number in range(1, entries + 1)]

    async def read(self, query: JournalQuery) -> Sequence[Entry]:
        if query.after is None:
            return self.entries[::-1][: query.limit]
        return [each for each in self.entries if each.id > query.after][: query.limit]

    def add(self, **changed: Any) -> None:
        self.entries.append(replace(ENTRY, id=len(self.entries) + 1, **changed))


@pytest.fixture
def book(desk: Desk) -> Book:
    found = Book(3)
    desk.operations.book = found.read
    return found


async def events(desk: Desk, number: int, query: str = "", **headers: str) -> list[dict[str, Any]]:
    """Read so many events, and close the stream."""
    found: list[dict[str, Any]] = []
    event: dict[str, Any] = {}
    async with desk.http.get(f"{desk.url}/v1/events{query}", headers=headers) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found) < number:
                raw = await reply.content.readline()
                assert raw, "the stream has ended"
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = json.loads(value) if name == "data" else value
                elif "data" in event:
                    found.append(event)
                    event = {}
    return found


async def test_a_stream_begins_with_what_happens_next(desk: Desk, book: Book) -> None:
    reading = asyncio.create_task(events(desk, 1))
    await until("the stream", lambda: len(desk.operations.emitted) >= 2)
    book.add()

    (event,) = await reading

    assert (event["id"], event["event"]) == ("4", "journal")
    assert event["data"]["what"] == "acme/alpha may upgrade acme/agent-2.32"
    assert event["data"]["id"] == 4


@pytest.mark.parametrize(
    ("query", "headers", "first"),
    [
        ("?after=1", {}, "2"),
        ("?after=0", {}, "1"),
        ("", {"Last-Event-ID": "2"}, "3"),
        ("?after=0", {"Last-Event-ID": "2"}, "3"),
    ],
)
async def test_a_client_that_was_cut_off_misses_nothing(
    desk: Desk, book: Book, query: str, headers: dict[str, str], first: str
) -> None:
    assert (await events(desk, 1, query, **headers))[0]["id"] == first


async def test_the_decision_record_is_left_out(desk: Desk, book: Book) -> None:
    book.add(facts={**ENTRY.facts, "decision_record": {"large": "x" * 5000}})

    (event,) = await events(desk, 1, "?after=3")

    assert set(event["data"]["facts"]) == {"kind", "expires_at"}


@pytest.mark.parametrize("query", ["?after=-1", "?after=x", "?after=99999999999999999999"])
async def test_a_place_that_cannot_be_is_refused(desk: Desk, book: Book, query: str) -> None:
    assert (await desk.get(f"/v1/events{query}")).status == 400


async def test_no_more_streams_are_open_than_leave_room_for_requests(
    desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MOST_STREAMS", 1)
    reading = asyncio.create_task(events(desk, 1))
    await until("the stream", lambda: len(desk.operations.emitted) >= 2)

    refused = await desk.get("/v1/events")
    book.add()
    await reading

    assert (refused.status, refused.headers["Retry-After"]) == (503, "30")


async def test_streams_that_begin_at_once_take_no_place_twice(
    desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MOST_STREAMS", 1)
    may_read = asyncio.Event()

    async def slowly(query: JournalQuery) -> Sequence[Entry]:
        await may_read.wait()
        return await book.read(query)

    desk.operations.book = slowly
    first = asyncio.create_task(desk.http.get(f"{desk.url}/v1/events"))
    await until("the first stream", lambda: desk.operations.emitted)
    second = asyncio.create_task(desk.http.get(f"{desk.url}/v1/events"))
    await until("the second stream", lambda: len(desk.operations.emitted) > 1 or second.done())
    may_read.set()

    assert [(await each).status for each in (first, second)] == [200, 503]
    first.result().close()


async def test_entries_that_are_left_out_are_read_once_and_not_at_every_look(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_LOOK_SECONDS", 0.01)
    waits = Book(50)

    async def read(query: JournalQuery) -> Sequence[Entry]:
        return [] if query.without else await waits.read(query)

    desk.operations.book = read
    async with desk.http.get(f"{desk.url}/v1/events?after=0") as reply:
        assert reply.status == 200
        await until("the next look", lambda: len(read_after(desk)) >= 3)
    assert read_after(desk)[:3] == [0, 50, 50]


def read_after(desk: Desk) -> list[int]:
    """Return after which entries a stream has looked for more."""
    queries = (each for each in desk.operations.emitted if isinstance(each, JournalQuery))
    return [each.after for each in queries if each.after is not None]


async def test_a_client_that_has_gone_takes_no_place_while_nothing_happens(
    desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MOST_STREAMS", 1)
    monkeypatch.setattr(streaming, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(streaming, "_ALIVE_SECONDS", math.inf)  # nothing is sent to it
    gone = await desk.http.get(f"{desk.url}/v1/events")
    gone.close()

    async def is_open() -> bool:
        async with desk.http.get(f"{desk.url}/v1/events") as next_one:
            return next_one.status == 200

    await until("the free place", is_open)


async def test_a_stream_does_not_keep_the_console_from_stopping(desk: Desk, book: Book) -> None:
    """The fixture stops the console while the stream is open."""
    reply = await desk.http.get(f"{desk.url}/v1/events")

    assert (await reply.content.readline()).startswith(b"retry:")


async def test_a_stream_of_a_store_that_an_older_copy_has_replaced_begins_at_its_newest_entry(
    desk: Desk, book: Book
) -> None:
    """The ids of the copy are lower than what the client had last: it would get nothing for days."""
    first = await events(desk, 1, "", **{"Last-Event-ID": "5000"})

    assert [each["id"] for each in first] == ["3"]


async def test_an_open_stream_goes_on_when_an_older_copy_replaces_the_store(
    desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_LOOK_SECONDS", 0.01)
    reading = asyncio.create_task(events(desk, 2, "?after=2"))
    await until("the first event", lambda: 3 in read_after(desk))

    del book.entries[1:]

    assert [each["id"] for each in await reading] == ["3", "1"]


@pytest.mark.parametrize("resumed", ["x", "-1", "9" * 30])
async def test_a_client_that_resumes_after_what_is_no_entry_is_not_let_in_at_another_place(
    desk: Desk, book: Book, resumed: str
) -> None:
    assert (await desk.get("/v1/events", headers={"Last-Event-ID": resumed})).status == 400


async def test_the_head_of_a_stream_is_answered_and_ends(desk: Desk, book: Book) -> None:
    reply = await desk.ask("HEAD", "/v1/events")

    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
    assert desk.operations.emitted == [], "it takes no place among the streams"
