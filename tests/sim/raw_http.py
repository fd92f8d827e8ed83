"""Requests over a bare socket: a client library would add headers of its own and decode what is to be compared."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], str]


async def send(url: str, request: bytes) -> Answer:
    """Send one request as it stands; return status, headers and body."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.partition(": ")[::2] for line in lines)
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        return int(first.split(" ")[1]), headers, body.decode()
    finally:
        writer.close()
        await writer.wait_closed()


def request(method: str, path: str, body: str = "", **headers: str) -> bytes:
    """Return a request."""
    content = body.encode()
    given = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {path} HTTP/1.1\r\nHost: agbot\r\nContent-Length: {len(content)}\r\n{given}\r\n"
    return head.encode() + content
