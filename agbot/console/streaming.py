"""The journal as it grows, as server-sent events; a client that was cut off resumes where it was.

The journal is the source, and not what happens in this process: a client misses nothing while it
reconnects, and the numbers of the events are those of the entries.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, cast

from aiohttp import web

from agbot.console import parts, replies
from agbot.console.replies import ApiError
from agbot.console.requests import number, whole_number
from agbot.coordinator.operations import Operations
from agbot.coordinator.operators import history
from agbot.listening.connection import Connection
from agbot.store.contract import Entry, JournalQuery, StoreError

MOST_STREAMS: Final = 32
"""Of the console's 64 connections: the others stay for requests."""
_LOOK_SECONDS: Final = 1.0
_ALIVE_SECONDS: Final = 15.0
"""How often something is sent while nothing happens: both sides notice a lost connection."""
_AT_ONCE: Final = 200
_RETRY_MILLISECONDS: Final = 2000
_MEDIA: Final = "text/event-stream"


@dataclass(slots=True)
class Streams:
    """The open streams of one console."""

    closing: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = 0


STREAMS: Final = web.AppKey("streams", Streams)


async def end_streams(app: web.Application) -> None:
    """End every stream, so that the console can stop."""
    app[STREAMS].closing.set()


async def events(request: web.Request) -> web.StreamResponse:
    """Send every entry of the journal from now on, or after the one that the client had last."""
    streams = request.app[STREAMS]
    if request.method == "HEAD":  # the answer of a stream would never end, and nothing follow it on its connection
        return web.Response(headers=replies.HEADERS, content_type=_MEDIA)
    if streams.open >= MOST_STREAMS:
        raise ApiError(
            503,
            tried="GET /v1/events",
            problem=f"{MOST_STREAMS} streams are open already",
            next_step="close one, or read /v1/history?after=ID from time to time",
            headers={"Retry-After": "30"},
        )
    response = web.StreamResponse(headers={**replies.HEADERS, "X-Accel-Buffering": "no"})
    response.content_type, response.charset = _MEDIA, "utf-8"
    streams.open += 1  # before anything is awaited, in which others would find the same free place
    try:
        after = await _begin(request)
        await response.prepare(request)
        await response.write(f"retry: {_RETRY_MILLISECONDS}\n\n".encode())
        # A store that fails ends the stream: the client asks again, after its last entry.
        with suppress(ConnectionError, StoreError):
            await _send(request, response, after, streams.closing)
    finally:
        streams.open -= 1
    return response


async def newest_id(operations: Operations) -> int:
    """Return the id of the newest entry; 0 if there is none."""
    newest = await operations.journal(JournalQuery(limit=1))
    return newest[0].id if newest else 0


async def _begin(request: web.Request) -> int:
    """Return the entry after which the stream begins: the header of a reconnect goes first."""
    resumed = request.headers.get("Last-Event-ID")
    if resumed:  # one that is no id is refused: from now on, it would miss what it asks for
        return whole_number(request, "Last-Event-ID", resumed, least=0)
    given = number(request, "after", least=0)
    return await newest_id(parts.of(request).operations) if given is None else given


async def _send(request: web.Request, response: web.StreamResponse, after: int, closing: asyncio.Event) -> None:
    journal, idle_seconds = parts.of(request).operations.journal, 0.0
    connection = cast("Connection", request.protocol)
    while not closing.is_set():
        newest = await newest_id(
            parts.of(request).operations
        )  # before the page: what is written in between comes later
        # An older copy of the store, or another one, has replaced the one that the client knows: it
        # would get nothing until the ids are as high again. Its newest entry leads it there.
        if newest < after:
            after = max(newest - 1, 0)
        found = await journal(JournalQuery(after=after, limit=_AT_ONCE, without=history.LEFT_OUT))
        for entry in found:
            await response.write(_written(entry))
            after, idle_seconds = entry.id, 0.0
        if len(found) == _AT_ONCE:  # there is more; the pause would make a long gap take minutes
            continue
        # Entries that are left out are passed over once. In a rollout there are thousands of them
        # after the last grant, and each stream would read them all again every second.
        after = max(after, newest)
        # A page that is left closes its connection, which fails only when something is sent. Its
        # stream must not wait for that, or whoever opens page after page would take all streams.
        if idle_seconds >= _ALIVE_SECONDS or connection.sends_no_more:
            await response.write(b": nothing new\n\n")
            idle_seconds = 0.0
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await closing.wait()
        except TimeoutError:
            idle_seconds += _LOOK_SECONDS


def _written(entry: Entry) -> bytes:
    """Write an entry as one event, without its decision record, which is large."""
    view = replace(history.view(entry), facts=entry.delivered_facts)
    return b"id: %d\nevent: journal\ndata: %s\n\n" % (entry.id, replies.encoded(view))
