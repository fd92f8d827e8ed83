"""The webhook sink: each event as one signed POST, in order. One address is one sink.

Only a 2xx confirms. No answer, 408, 425, 429 and 5xx may pass by themselves: the event is sent again after growing pauses, and not before
the receiver wants it (`Retry-After`), within an hour. Every other answer (a redirect, 401, 404, 422, ...) says that something has to be
changed, at the receiver or in our settings: that is told once, as an error, and the same event is tried again every few minutes: a receiver
that is mended gets everything in order, and what it had not taken when the journal's time was over is gone for it.

What it does not take keeps no other waiting for ever. After a quarter of an hour without a 2xx the next events are sent as well, at each
attempt twice as many, until it takes one. Then those before that one are sent once more, and what it does not take is passed over
and written down as such (`delivery.refused`). For a quarter of an hour from then on a no is believed sooner.

The signature is over the time of sending and the body, so that an old message cannot be played again later; the id tells repetitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import math
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agbot import __version__
from agbot.clock import Clock
from agbot.events.delivery import Count, Kind, Outcome, Pauses, paused
from agbot.events.outbox import Outlet, without_gap
from agbot.events.payload import encoded, event_message
from agbot.events.retry_after import asked_seconds
from agbot.foreign_text import excerpt
from agbot.settings.secret import Secret
from agbot.store.contract import Entry

ID: Final = "X-Agbot-Event-Id"
TIMESTAMP: Final = "X-Agbot-Timestamp"
SIGNATURE: Final = "X-Agbot-Signature"
_BATCH: Final = 20
"""At most so many are told again after a kill; the cursor is written once for all of them."""
_FARTHEST: Final = 512
_SAID_CHARACTERS: Final = 300
_BUSY: Final = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_MAY_PASS: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_log = structlog.get_logger()


class NotTaken(Exception):
    """The receiver did not confirm; it may do so a moment later, or after so many seconds for which it asks."""

    def __init__(self, said: str, asked_seconds: float = 0.0, *, is_of_all: bool = False) -> None:
        super().__init__(said)
        self.asked_seconds = asked_seconds
        self.is_of_all = is_of_all
        """Whether it says that the receiver is busy or away, and nothing of this one event."""


class Refused(NotTaken):
    """The receiver said no; somebody has to change something."""


class Outgrown(Exception):
    """The event has grown older than the journal while the receiver said no."""


class PassedOver(Exception):
    """The receiver has taken a later event, and not this one for a long time."""


class Webhook:
    """Tells one address. See `agbot.events.delivery.Sink`."""

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
        pauses: Pauses | None = None,
    ) -> None:
        # a hash, because the path of an address may be as good as a password
        self.name = f"webhook:{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        self._url = url
        self._secret = secret
        self._clock = clock
        self._count = count
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._pauses = pauses or Pauses()
        self.receiver = urlsplit(url).netloc
        self._told = ""
        """What was last told of it, while it does not take events."""
        self._renewed = asyncio.Event()
        self._choosy_until = -math.inf
        """Until then (the loop's time) the receiver is known not to take some events while it takes others."""

    def sign_with(self, secret: Secret) -> None:
        """Use this secret from the next attempt on; where it is another one, that comes now."""
        if secret != self._secret:
            self._secret = secret
            self._renewed.set()

    def trust(self, tls: ssl.SSLContext | None) -> None:
        """Believe these authorities from the next attempt on, which comes now."""
        self._tls = True if tls is None else tls
        self._renewed.set()

    async def run(self, outlet: Outlet) -> None:
        """Deliver for ever."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"agbot/{__version__}",
            "Accept-Encoding": "identity",  # what an answer says beyond its head is not read, and never unpacked
        }
        async with aiohttp.ClientSession(timeout=self._timeout, headers=headers, auto_decompress=False) as session:
            while True:
                with contextlib.suppress(Outgrown, PassedOver):  # the outlet goes on behind it
                    for entry in await outlet.next(_BATCH):
                        await self._deliver(session, outlet, entry)
                        outlet.confirm(entry)

    async def _deliver(self, session: aiohttp.ClientSession, outlet: Outlet, entry: Entry) -> None:
        """Send an event until it has been taken.

        Raises:
            Outgrown: it was met with a no for as long as the journal keeps it.
            PassedOver: it was not taken for a long time, but a later one was.
        """
        began_at, ahead = self._loop_time(), 1

        async def attempt() -> None:
            nonlocal ahead
            self._renewed.clear()
            if self._told == "webhook.refused" and not await outlet.keeps(entry):
                raise Outgrown
            try:
                await self._send(session, entry)
            except NotTaken as error:
                if not self._is_out_of_patience(error, began_at):
                    raise
                if await self._takes_later(session, outlet, entry, ahead, str(error)):
                    raise PassedOver from error
                ahead = min(2 * ahead, _FARTHEST)
                raise

        attempts = AsyncRetrying(
            sleep=lambda seconds: paused(seconds, self._renewed),
            wait=self._pause_seconds,
            retry=retry_if_exception_type(NotTaken),
            after=self._failed,
        )
        await attempts(attempt)
        self._taken(1)

    def _is_out_of_patience(self, error: NotTaken, began_at: float) -> bool:
        waited = self._loop_time() - began_at
        if self._is_choosy() and not error.is_of_all:
            return isinstance(error, Refused) or waited >= self._pauses.choosy_patience_seconds
        return waited >= self._pauses.patience_seconds

    def _is_choosy(self) -> bool:
        return self._loop_time() < self._choosy_until

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _takes_later(
        self, session: aiohttp.ClientSession, outlet: Outlet, entry: Entry, ahead: int, why: str
    ) -> bool:
        """Send some events behind one that is not taken, until one is taken; go on behind that.

        All before it are sent once more then, out of their turn: the receiver may have been mended in between.
        """
        doubted = [entry]
        for later in await outlet.following(entry, ahead):
            failure = await self._failure(session, later)
            if failure is None:
                return await self._has_chosen(session, outlet, doubted, later, why)
            if failure.is_of_all:
                break
            doubted.append(later)
        return False

    async def _has_chosen(
        self, session: aiohttp.ClientSession, outlet: Outlet, doubted: Sequence[Entry], taken: Entry, why: str
    ) -> bool:
        known = without_gap([*doubted, taken])  # what is behind a gap has its turn after the gap was told as lost
        refused: list[Entry] = []
        for each in known:
            failure = None if each is taken else await self._failure(session, each)
            if failure is not None:
                if failure.is_of_all and str(failure) != why:
                    return False  # it has gone away meanwhile, which is no choice
                refused.append(each)
        if refused:
            if not await outlet.pass_over(refused, why):
                return False
            self._choosy_until = self._loop_time() + self._pauses.patience_seconds
        outlet.confirm(known[-1])
        self._taken(len(known) - len(refused))
        return True

    async def _failure(self, session: aiohttp.ClientSession, entry: Entry) -> NotTaken | None:
        try:
            await self._send(session, entry)
        except NotTaken as error:
            return error
        return None

    def _taken(self, number: int) -> None:
        self._count(self.kind, Outcome.DELIVERED, number)
        if self._told:
            _log.info("webhook.recovered", receiver=self.receiver)
        self._told = ""

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
            raise NotTaken(f"no answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            # what is not HTTP stands in aiohttp's error as it came, and may be our own request
            said = excerpt(str(error), (self._secret.reveal(), *urlsplit(self._url)[2:4]), _SAID_CHARACTERS)
            is_away = isinstance(error, aiohttp.ClientConnectorError)
            raise NotTaken(said or type(error).__name__, is_of_all=is_away) from error
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _MAY_PASS:
            raise Refused(f"it answered {status} to event {message.id}")
        asked = asked_seconds(headers_back.get("Retry-After"), headers_back.get("Date"), self._clock.now())
        is_of_all = bool(asked) or status in _BUSY
        raise NotTaken(
            f"it answered {status}" + (f" and asks for {asked:g} s" if asked else ""), asked, is_of_all=is_of_all
        )

    def _pause_seconds(self, state: RetryCallState) -> float:
        error = _error(state)
        if isinstance(error, Refused) and not self._is_choosy():
            return self._pauses.after_refusal()
        asked = error.asked_seconds if isinstance(error, NotTaken) else 0.0
        return self._pauses.after(state.attempt_number, asked)

    def _failed(self, state: RetryCallState) -> None:
        error = _error(state)
        told = {"receiver": self.receiver, "error": str(error)}
        if isinstance(error, Refused):
            self._count(self.kind, Outcome.REFUSED, 1)
            if self._told != "webhook.refused":
                _log.error("webhook.refused", **told)
            self._told = "webhook.refused"
        else:
            self._count(self.kind, Outcome.FAILED, 1)
            if not self._told:
                _log.warning("webhook.failed", **told)
            self._told = self._told or "webhook.failed"


def signed(body: bytes, secret: Secret, timestamp: int) -> Mapping[str, str]:
    """Return the headers that prove who sent this body, and when."""
    seal = hmac.new(secret.reveal().encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {TIMESTAMP: str(timestamp), SIGNATURE: f"sha256={seal}"}


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
