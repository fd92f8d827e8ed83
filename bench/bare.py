"""The baseline of the refusals, as a process of its own: aiohttp with our parser, and a handler that knows its answer by heart.

`python -m bench.bare PORT` reads the body of the answer from standard input and serves until it is terminated.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from agbot.gateway import answers
from agbot.gateway.listener import BACKLOG
from agbot.listening.connection import Bounds, Connections
from agbot.settings.model import GatewaySettings


async def serve(port: int, body: bytes) -> None:
    """Answer everything with 409 and this body, in the headers of the agbot."""
    headers = dict(answers.HEADERS)

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=409, body=body, headers=headers)

    def refuse(_error: HttpProcessingError) -> web.StreamResponse:
        return web.Response(status=400)

    ours = GatewaySettings()
    bounds = Bounds(
        head_seconds=ours.request_seconds,
        max_field_bytes=ours.max_header_bytes,
        max_connections=2 * ours.max_open,
    )
    server = await asyncio.get_running_loop().create_server(
        Connections(handle, bounds, refuse=refuse), "127.0.0.1", port, backlog=BACKLOG
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.stdin.buffer.read()))
