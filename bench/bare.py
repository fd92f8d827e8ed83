"""The baseline of the refusals, in a separate process: plain aiohttp with a constant answer.

aiohttp uses its C parser, and has neither bounds nor an access log: no server on aiohttp can do
with less. It runs on the same kind of event loop as the daemon. `python -m bench.bare PORT` reads
the body of the answer from standard input, and serves until it is stopped.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from agbot.gateway import answers
from agbot.gateway.listener import BACKLOG


async def serve(port: int, body: bytes) -> None:
    """Answer every request with 409 and this body, with the headers of the agbot.

    Raises:
        RuntimeError: aiohttp's C parser is missing or switched off, so the comparison would be in
            our favour.
    """
    if HttpRequestParser is HttpRequestParserPy:
        raise RuntimeError("aiohttp has no C parser here; unset AIOHTTP_NO_EXTENSIONS")
    headers = dict(answers.HEADERS)

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=409, body=body, headers=headers)

    server = await asyncio.get_running_loop().create_server(
        web.Server(handle, access_log=None),
        "127.0.0.1",
        port,
        backlog=BACKLOG,
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.stdin.buffer.read()))
