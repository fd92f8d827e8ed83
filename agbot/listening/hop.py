"""One hop: a request that a standby sends on to the leader, and the leader's whole answer.

Such a request is marked with a header. One that arrives marked is never sent on, so that two
coordinators that believe each other to lead send no request around. Nothing is repeated here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from agbot import log
from agbot.events.leadership import ForwardFailed, ForwardRecovered
from agbot.events.outage import Outage
from agbot.foreign_text import unanswered

MARK: Final = "X-Agbot-Forwarded-By"
"""Names the standby. It grants nothing: the leader authenticates the caller as always."""
_CONNECT_SECONDS: Final = 2.0
_PIECE_BYTES: Final = 65_536


class HopError(Exception):
    """The leader could not be reached, or its answer was not complete."""

    def __init__(self, why: str, *, may_have_arrived: bool = False) -> None:
        super().__init__(why)
        self.may_have_arrived = may_have_arrived
        """Whether the leader may have carried the request out: a connection was open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """The leader's answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Hop:
    """Sends requests on. Nothing is opened before the first one."""

    def __init__(self, own_name: str, ca_file: Path | None) -> None:
        self._own_name = own_name
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._trust: ssl.SSLContext | bool = True
        self._outage = Outage()

    def renew_trust(self) -> None:
        """Load again the CA certificates for the other coordinators.

        Raises:
            OSError: the file is not usable; the former ones stay.
        """
        if self._ca_file is not None:
            self._trust = ssl.create_default_context(cafile=self._ca_file)

    async def stop(self) -> None:
        """Close the HTTP client."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self,
        method: str,
        base_url: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        seconds: float,
        most_bytes: int,
    ) -> Received:
        """Send one request; `target` is written as received.

        Raises:
            HopError: there is no complete answer of at most `most_bytes` within `seconds`, or the
                target is no path.
        """
        # Behind a URL without a port, whatever is before the first slash would be a part of the
        # host's name: the client would choose where the request and its credentials go.
        if not target.startswith("/"):
            raise HopError("the request's target is not a path")
        try:
            async with asyncio.timeout(seconds):
                received = await self._send(method, URL(base_url + target, encoded=True), headers, body, most_bytes)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            why = f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else unanswered(error)
            if self._outage.begins(why, base_url):
                log.write(ForwardFailed(leader=base_url, error=why))
            is_unsent = isinstance(
                error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL
            )
            raise HopError(why, may_have_arrived=not is_unsent) from error
        if self._outage.ends():
            log.write(ForwardRecovered(leader=base_url))
        return received

    async def _send(self, method: str, url: URL, headers: Mapping[str, str], body: bytes, most_bytes: int) -> Received:
        if self._session is None:
            self.renew_trust()
            # a new connection for each request: an idle one could be closed just when it is used
            # again, and no request must be repeated
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        marked = {**headers, MARK: self._own_name}
        async with self._session.request(
            method, url, headers=marked, data=body, allow_redirects=False, ssl=self._trust
        ) as answer:
            content = bytearray()
            async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                content += piece
                if len(content) > most_bytes:
                    raise ValueError(f"the answer has more than {most_bytes} bytes")
            return Received(status=answer.status, headers=answer.headers, body=bytes(content))
