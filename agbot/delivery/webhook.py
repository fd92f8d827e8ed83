"""The webhook sink: each event as one signed POST, in order. One address is one sink.

An event that is not accepted (`webhook_posting`) is sent again after growing delays, and not before
the time that the receiver requests (`Retry-After`), up to an hour. A refusal is logged once, as an
error, and the same event is sent again every few minutes. A repaired receiver gets everything in
order, but nothing that the journal has dropped.

An event that the receiver does not accept does not hold up the others without limit. After a
quarter of an hour without a 2xx the next events are sent as well, at each attempt twice as many,
until one is accepted. Then those before that one are sent once more, and those that are still not
accepted are skipped and reported (`delivery.refused`). For a quarter of an hour after that, events
are skipped sooner.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agbot import log
from agbot.clock import Clock
from agbot.delivery.outbox import Outlet, without_gap
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Backoff, Count, Outcome, wait_to_retry
from agbot.delivery.webhook_posting import NotAccepted, Poster, Refused
from agbot.events.delivering import WebhookFailed, WebhookRecovered, WebhookRefused
from agbot.events.outage import Outage
from agbot.settings.secret import Secret
from agbot.store.contract import Entry

_BATCH: Final = 20
"""The cursor is written once for all of them, so at most this many are sent again after a crash."""
_MOST_AHEAD: Final = 512


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
        self._poster = Poster(url, secret, clock, timeout_seconds=timeout_seconds, tls=tls)
        self._count = count
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
        if secret != self._poster.secret:
            self._poster.secret = secret
            self._renewed.set()

    def trust(self, tls: ssl.SSLContext | None) -> None:
        """Trust these authorities from now on, and try again at once."""
        self._poster.trust(tls)
        self._renewed.set()

    async def run(self, outlet: Outlet) -> None:
        """Deliver until cancelled."""
        async with self._poster.connected():
            while True:
                with contextlib.suppress(Expired, Skipped):  # the outlet continues after it
                    for entry in await outlet.next(_BATCH):
                        await self._deliver(outlet, entry)
                        outlet.confirm(entry)

    async def _deliver(self, outlet: Outlet, entry: Entry) -> None:
        """Send an event until it is accepted.

        Raises:
            Expired: it was refused until the journal dropped it.
            Skipped: it was not accepted for a long time, but a later one was.
        """
        began_at, ahead = self._loop_time(), 1

        async def attempt() -> None:
            nonlocal ahead
            self._renewed.clear()
            # a refused event waits for a person, and may be older than the journal by then
            if self._is_refused and not await outlet.keeps(entry):
                raise Expired
            try:
                await self._poster.post(entry)
            except NotAccepted as error:
                if not self._is_out_of_patience(error, began_at):
                    raise
                if await self._accepts_later(outlet, entry, ahead, str(error)):
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
        # That the receiver takes some events and not others was found out a moment ago. One that is
        # away is another matter, and gets the whole time.
        if self._is_selective() and not error.is_unavailable:
            return isinstance(error, Refused) or waited >= self._backoff.selective_patience_seconds
        return waited >= self._backoff.patience_seconds

    def _is_selective(self) -> bool:
        return self._loop_time() < self._selective_until

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _accepts_later(self, outlet: Outlet, entry: Entry, ahead: int, why: str) -> bool:
        """Send events after one that is not accepted, until one is accepted; go on after that."""
        unaccepted = [entry]
        for later in await outlet.following(entry, ahead):
            failure = await self._failure(later)
            if failure is None:
                return await self._skip_refused(outlet, unaccepted, later, why)
            if failure.is_unavailable:
                break
            unaccepted.append(later)
        return False

    async def _skip_refused(self, outlet: Outlet, unaccepted: Sequence[Entry], accepted: Entry, why: str) -> bool:
        # All before the accepted one are sent once more, out of order: the receiver may have been
        # repaired in the meantime. Events after a gap wait until that is reported as lost.
        known = without_gap([*unaccepted, accepted])
        refused: list[Entry] = []
        for each in known:
            failure = None if each is accepted else await self._failure(each)
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

    async def _failure(self, entry: Entry) -> NotAccepted | None:
        try:
            await self._poster.post(entry)
        except NotAccepted as error:
            return error
        return None

    def _accepted(self, number: int) -> None:
        self._count(self.kind, Outcome.DELIVERED, number)
        if self.outage.ends():
            log.write(WebhookRecovered(receiver=self.receiver))
        self._is_refused = False

    def _delay_seconds(self, state: RetryCallState) -> float:
        error = _error(state)
        # a refusal does not pass by itself, unless the event is about to be skipped
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


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
