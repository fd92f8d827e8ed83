"""Posts one event to a webhook, signed, and reads from the answer whether it was accepted.

Only a 2xx confirms an event. No answer, 408, 425, 429 and 5xx may pass. Any other answer (a
redirect, 401, 404, 422, ...) is a refusal: something has to be changed, at the receiver or in our
settings.

The signature covers the time of sending and the body, so that an old message cannot be replayed
later. The id identifies repetitions.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from agbot import __version__
from agbot.clock import Clock
from agbot.delivery.payload import encoded, event_message
from agbot.delivery.retry_after import retry_after_seconds
from agbot.foreign_text import excerpt
from agbot.settings.secret import Secret
from agbot.store.contract import Entry

ID: Final = "X-Agbot-Event-Id"
TIMESTAMP: Final = "X-Agbot-Timestamp"
SIGNATURE: Final = "X-Agbot-Signature"
_ERROR_CHARACTERS: Final = 300
_AWAY: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT})
_BUSY: Final = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_MAY_PASS: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class NotAccepted(Exception):
    """The receiver did not confirm; it may do so later, or after the seconds that it requests."""

    def __init__(self, why: str, retry_after_seconds: float = 0.0, *, is_unavailable: bool = False) -> None:
        super().__init__(why)
        self.retry_after_seconds = retry_after_seconds
        self.is_unavailable = is_unavailable
        """Whether the receiver is busy or unreachable, which is not about this event."""


class Refused(NotAccepted):
    """The receiver refused the event, and only a person can change that."""


class Poster:
    """Posts to one address, while `connected`."""

    def __init__(
        self, url: str, secret: Secret, clock: Clock, *, timeout_seconds: float, tls: ssl.SSLContext | None
    ) -> None:
        self.secret = secret
        """Signs, from the next event on."""
        self._url = url
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._session: aiohttp.ClientSession

    def trust(self, tls: ssl.SSLContext | None) -> None:
        """Trust these authorities from the next event on; None: those of the system."""
        self._tls = True if tls is None else tls

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep connections open from one event to the next."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"agbot/{__version__}",
            # the body of an answer is not read, and never decompressed
            "Accept-Encoding": "identity",
        }
        async with aiohttp.ClientSession(
            timeout=self._timeout, headers=headers, auto_decompress=False
        ) as self._session:
            yield

    async def post(self, entry: Entry) -> None:
        """Send an event.

        Raises:
            NotAccepted: the receiver has not accepted it; `Refused` if it never will.
        """
        message = event_message(entry)
        body = encoded(message)
        headers = {ID: message.id, **signed(body, self.secret, int(self._clock.now().timestamp()))}
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, ssl=self._tls, allow_redirects=False
            ) as reply:
                status, headers_back = reply.status, reply.headers
        except TimeoutError as error:
            raise NotAccepted(f"no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            # aiohttp's error quotes what is not HTTP, which may be our own request
            why = _unreached(error) or excerpt(
                str(error), (self.secret.reveal(), *urlsplit(self._url)[2:4]), _ERROR_CHARACTERS
            )
            is_away = isinstance(error, aiohttp.ClientConnectorError)
            raise NotAccepted(why or type(error).__name__, is_unavailable=is_away) from error
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        # redirects too: the body is signed for this address, and its token may be in the path
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _MAY_PASS:
            raise Refused(f"it answered {status} to event {message.id}")
        asked = retry_after_seconds(headers_back.get("Retry-After"), headers_back.get("Date"), self._clock.now())
        raise NotAccepted(
            f"it answered {status}" + (f" and asks for {asked:g} s" if asked else ""),
            asked,
            is_unavailable=bool(asked) or status in _BUSY,
        )


def signed(body: bytes, secret: Secret, timestamp: int) -> Mapping[str, str]:
    """Return the headers that prove who sent this body, and when."""
    mac = hmac.new(secret.reveal().encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {TIMESTAMP: str(timestamp), SIGNATURE: f"sha256={mac}"}


def _unreached(error: Exception) -> str:
    """Return why no connection could be made, without aiohttp's words; empty if there was one."""
    met = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    return f"it cannot be reached: {os.strerror(met.errno or 0)}" if met is not None and met.errno in _AWAY else ""
