"""The webhook sink: each event as one signed POST, in order. One address is one sink.

Only a 2xx confirms an event. No answer, 408, 425, 429 and 5xx may pass: the event is sent again
after growing delays, and not before the time that the receiver requests (`Retry-After`), up to an
hour. Any other answer (a redirect, 401, 404, 422, ...) is a refusal: something has to be changed,
at the receiver or in our settings. It is logged once, as an error, and the same event is sent again
every few minutes. A repaired receiver gets everything in order, but nothing that the journal has
dropped.

An event that the receiver does not accept does not hold up the others without limit. After a
quarter of an hour without a 2xx the next events are sent as well, at each attempt twice as many,
until one is accepted. Then those before that one are sent once more, and those that are still not
accepted are skipped and reported (`delivery.refused`). For a quarter of an hour after that, events
are skipped sooner.

The signature covers the time of sending and the body, so that an old message cannot be replayed
later. The id identifies repetitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import hmac
import math
import os
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agbot import __version__, log
from agbot.clock import Clock
from agbot.delivery.outbox import Outlet, without_gap
from agbot.delivery.payload import encoded, event_message
from agbot.delivery.receiver import Kind
from agbot.delivery.retry_after import retry_after_seconds
from agbot.delivery.sinks import Backoff, Count, Outcome, wait_to_retry
from agbot.events.delivering import WebhookFailed, WebhookRecovered, WebhookRefused
from agbot.events.outage import Outage
from agbot.foreign_text import excerpt
from agbot.settings.secret import Secret
from agbot.store.contract import Entry

ID: Final = "X-Agbot-Event-Id"
TIMESTAMP: Final = "X-Agbot-Timestamp"
SIGNATURE: Final = "X-Agbot-Signature"
_BATCH: Final = 20
"""The cursor is written once for all of them, so at most this many are sent again after a crash."""
_MOST_AHEAD: Final = 512
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


class Expired(Exception):
    """The journal has dropped the event while the receiver refused it."""


class Skipped(Exception):
    """The receiver has accepted a later event, but not this one for a long time."""


class Webhook:
    """Delivers to one address. See `agbot.delivery.sinks.Sink`."""

    kind: Final = Kind.WEBHOOK

    def __init__(
        self,
        url: str,
        secret: Secret,
        clock: Clock,
        count: Count,
        *,
        timeout_seconds: float = 10.0,
        tls: ssl.SSLContext | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        # a hash, because the path of an address may be a secret
        self.name = f"webhook:{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        self._url = url
        self._secret = secret
        self._clock = clock
        self._count = count
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._backoff = backoff or Backoff()
        self.receiver = urlsplit(url).netloc
        self.outage = Outage()
        self._is_refused = False
        """Whether it has refused an event since it last accepted one. Other failures are not logged
        then."""
        self._renewed = asyncio.Event()
        self._selective_until = -math.inf
        """Until then (the loop's time) it is known that the receiver accepts some events and not
        others."""

    def sign_with(self, secret: Secret) -> None:
        """Use this secret from now on; if it is new, try again at once."""
        if secret != self._secret:
            self._secret = secret
            self._renewed.set()

    def trust(self, tls: ssl.SSLContext | None) -> None:
        """Trust these authorities from now on, and try again at once."""
        self._tls = True if tls is None else tls
        self._renewed.set()

    async def run(self, outlet: Outlet) -> None:
        """Deliver until cancelled."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"agbot/{__version__}",
            # the body of an answer is not read, and never decompressed
            "Accept-Encoding": "identity",
        }
        async with aiohttp.ClientSession(timeout=self._timeout, headers=headers, auto_decompress=False) as session:
            while True:
                with contextlib.suppress(Expired, Skipped):  # the outlet continues after it
                    for entry in await outlet.next(_BATCH):
                        await self._deliver(session, outlet, entry)
                        outlet.confirm(entry)

    async def _deliver(self, session: aiohttp.ClientSession, outlet: Outlet, entry: Entry) -> None:
        """Send an event until it is accepted.

        Raises:
            Expired: it was refused until the journal dropped it.
            Skipped: it was not accepted for a long time, but a later one was.
        """
        began_at, ahead = self._loop_time(), 1

        async def attempt() -> None:
            nonlocal ahead
            self._renewed.clear()
            if self._is_refused and not await outlet.keeps(entry):
                raise Expired
            try:
                await self._send(session, entry)
            except NotAccepted as error:
                if not self._is_out_of_patience(error, began_at):
                    raise
                if await self._accepts_later(session, outlet, entry, ahead, str(error)):
                    raise Skipped from error
                ahead = min(2 * ahead, _MOST_AHEAD)
                raise

        attempts = AsyncRetrying(
            sleep=lambda seconds: wait_to_retry(seconds, self._renewed),
            wait=self._delay_seconds,
            retry=retry_if_exception_type(NotAccepted),
            after=self._failed,
        )
        await attempts(attempt)
        self._accepted(1)

    def _is_out_of_patience(self, error: NotAccepted, began_at: float) -> bool:
        waited = self._loop_time() - began_at
        if self._is_selective() and not error.is_unavailable:
            return isinstance(error, Refused) or waited >= self._backoff.selective_patience_seconds
        return waited >= self._backoff.patience_seconds

    def _is_selective(self) -> bool:
        return self._loop_time() < self._selective_until

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _accepts_later(
        self, session: aiohttp.ClientSession, outlet: Outlet, entry: Entry, ahead: int, why: str
    ) -> bool:
        """Send events after one that is not accepted, until one is accepted; go on after that.

        All before it are then sent once more, out of order, because the receiver may have been
        repaired in the meantime.
        """
        unaccepted = [entry]
        for later in await outlet.following(entry, ahead):
            failure = await self._failure(session, later)
            if failure is None:
                return await self._skip_refused(session, outlet, unaccepted, later, why)
            if failure.is_unavailable:
                break
            unaccepted.append(later)
        return False

    async def _skip_refused(
        self, session: aiohttp.ClientSession, outlet: Outlet, unaccepted: Sequence[Entry], accepted: Entry, why: str
    ) -> bool:
        # events after a gap wait until it is reported as lost
        known = without_gap([*unaccepted, accepted])
        refused: list[Entry] = []
        for each in known:
            failure = None if each is accepted else await self._failure(session, each)
            if failure is not None:
                if failure.is_unavailable and str(failure) != why:
                    return False  # it became unavailable, which is not about these events
                refused.append(each)
        if refused:
            if not await outlet.skip(refused, why):
                return False
            self._selective_until = self._loop_time() + self._backoff.patience_seconds
        outlet.confirm(known[-1])
        self._accepted(len(known) - len(refused))
        return True

    async def _failure(self, session: aiohttp.ClientSession, entry: Entry) -> NotAccepted | None:
        try:
            await self._send(session, entry)
        except NotAccepted as error:
            return error
        return None

    def _accepted(self, number: int) -> None:
        self._count(self.kind, Outcome.DELIVERED, number)
        if self.outage.ends():
            log.write(WebhookRecovered(receiver=self.receiver))
        self._is_refused = False

    async def _send(self, session: aiohttp.ClientSession, entry: Entry) -> None:
        message = event_message(entry)
        body = encoded(message)
        headers = {ID: message.id, **signed(body, self._secret, int(self._clock.now().timestamp()))}
        try:
            async with session.post(
                self._url, data=body, headers=headers, ssl=self._tls, allow_redirects=False
            ) as reply:
                status, headers_back = reply.status, reply.headers
        except TimeoutError as error:
            raise NotAccepted(f"no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            # aiohttp's error quotes what is not HTTP, which may be our own request
            why = _unreached(error) or excerpt(
                str(error), (self._secret.reveal(), *urlsplit(self._url)[2:4]), _ERROR_CHARACTERS
            )
            is_away = isinstance(error, aiohttp.ClientConnectorError)
            raise NotAccepted(why or type(error).__name__, is_unavailable=is_away) from error
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _MAY_PASS:
            raise Refused(f"it answered {status} to event {message.id}")
        asked = retry_after_seconds(headers_back.get("Retry-After"), headers_back.get("Date"), self._clock.now())
        is_unavailable = bool(asked) or status in _BUSY
        raise NotAccepted(
            f"it answered {status}" + (f" and asks for {asked:g} s" if asked else ""),
            asked,
            is_unavailable=is_unavailable,
        )

    def _delay_seconds(self, state: RetryCallState) -> float:
        error = _error(state)
        if isinstance(error, Refused) and not self._is_selective():
            return self._backoff.after_refusal()
        asked = error.retry_after_seconds if isinstance(error, NotAccepted) else 0.0
        return self._backoff.after(state.attempt_number, asked)

    def _failed(self, state: RetryCallState) -> None:
        error = _error(state)
        is_refusal = isinstance(error, Refused)
        self._count(self.kind, Outcome.REFUSED if is_refusal else Outcome.FAILED, 1)
        self._is_refused = self._is_refused or is_refusal
        if self.outage.begins(str(error), self._is_refused):
            kind = WebhookRefused if is_refusal else WebhookFailed
            log.write(kind(receiver=self.receiver, error=str(error)))


def signed(body: bytes, secret: Secret, timestamp: int) -> Mapping[str, str]:
    """Return the headers that prove who sent this body, and when."""
    mac = hmac.new(secret.reveal().encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {TIMESTAMP: str(timestamp), SIGNATURE: f"sha256={mac}"}


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _unreached(error: Exception) -> str:
    """Return why no connection could be made, without aiohttp's words; empty if there was one."""
    met = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    return f"it cannot be reached: {os.strerror(met.errno or 0)}" if met is not None and met.errno in _AWAY else ""
