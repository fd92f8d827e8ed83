"""The two ports over real HTTP: the Exchange on a shared session, questions on own connections.

A question has exactly the headers that a recorded agent sends, in that order
(`agent-permission.jsonl`): no `Connection`, no port except the URL's, `Content-Length: 0`. A 307 is
followed at once. Timeouts here are real seconds: a hub that runs faster than real time passes
shorter ones.
"""

from __future__ import annotations

import json
import ssl
from http import HTTPStatus
from typing import Self

import aiohttp
from yarl import URL

from agbot.sim.exchange.message import basic
from agbot.sim.links import HEADER_TIMEOUT_SECONDS, Answered, Doc, Kind, Question, Unanswered

_FAILED_END = "?outcome=failed"
"""The reported end of a service upgrade that did not reach its version."""


def _broken(error: Exception) -> Unanswered:
    plain = isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.ClientSSLError)
    return Unanswered(f"{type(error).__name__}: {error}", is_transport=not plain)


class HttpExchange:
    """The Exchange at a URL such as `http://127.0.0.1:3090/v1`. An async context manager."""

    def __init__(self, url: str, *, timeout_seconds: float = HEADER_TIMEOUT_SECONDS, connections: int = 50) -> None:
        """Take the Exchange's URL with its `/v1`, and the timeout in real seconds."""
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(self, method: str, path: str, identity: str, secret: str, body: Doc | None = None) -> Answered:
        """Send one request.

        Raises:
            Unanswered: no reply, or a broken one.
        """
        if self._session is None:
            message = "used outside its context"
            raise RuntimeError(message)
        headers = {"Authorization": basic(identity, secret), "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        url = URL(self._url + path, encoded=True)
        try:
            async with self._session.request(method, url, headers=headers, data=data) as reply:
                return Answered(reply.status, await reply.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(error) from error


class HttpGateway:
    """What gives permissions at a URL, as an agent's `HZN_AGBOT_URL` names it."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = HEADER_TIMEOUT_SECONDS,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        """Take the URL and the real seconds to wait for the reply to begin."""
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_seconds * 1.5, sock_connect=timeout_seconds, sock_read=timeout_seconds
        )
        self._tls = tls

    async def ask(self, question: Question) -> Answered:
        """Ask for permission on a new connection.

        Raises:
            Unanswered: no reply in time, or the connection broke.
        """
        return await self._send("POST", question.path, question)

    async def report_end(self, question: Question, *, succeeded: bool) -> Answered:
        """Report the end of a service upgrade, on the same path.

        Raises:
            Unanswered: no reply in time, or the connection broke.
            ValueError: the question is an agent's: agents report no end.
        """
        if question.kind is not Kind.SERVICE:
            message = "agents report no end"
            raise ValueError(message)
        return await self._send("DELETE", question.path + ("" if succeeded else _FAILED_END), question)

    async def _send(self, method: str, path: str, question: Question) -> Answered:
        headers = {
            "User-Agent": "Go-http-client/1.1",
            "Content-Length": "0",
            "Accept": "application/json",
            "Authorization": basic(question.identity, question.secret),
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip",
        }
        url = URL(self._url + path, encoded=True)
        try:
            # a separate session is a separate connection, without the `Connection: close` that
            # agents do not send
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.request(method, url, headers=headers, ssl=self._tls) as reply,
            ):
                return await _read(reply)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _broken(error) from error


async def _read(reply: aiohttp.ClientResponse) -> Answered:
    if reply.status == HTTPStatus.NO_CONTENT:
        return Answered(reply.status)
    try:
        return Answered(reply.status, await reply.read())
    except aiohttp.ClientPayloadError:
        return Answered(reply.status)  # an agent finds no JSON in a truncated body
