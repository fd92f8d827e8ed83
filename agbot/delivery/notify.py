"""The notification sink: the few events that a person has to see, as messages for chat and mail.

Apprise knows the services. One address is one sink. A message holds all such events since the last
one, so that a bad night is a few messages and not hundreds. A service that fails is tried again
with growing delays, and then receives one message with everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Final, Self
from urllib.parse import unquote

from agbot import log
from agbot.delivery.outbox import Outlet
from agbot.delivery.receiver import Kind
from agbot.delivery.sinks import Backoff, Count, Outcome
from agbot.events.delivering import NotifyFailed, NotifyRecovered, ReceiversTested
from agbot.events.event import Event, Level, Unread
from agbot.events.outage import Outage
from agbot.foreign_text import excerpt
from agbot.settings.addresses import service
from agbot.settings.secret import Secret
from agbot.store.contract import Entry

_BATCH: Final = 500
_MOST_LINES: Final = 20
_SEND_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 60.0
"""Between two messages; what happens meanwhile is in the second one."""
_ERROR_CHARACTERS: Final = 300
_SHORTEST_SECRET: Final = 4
_BETWEEN: Final = re.compile("[/@?:&=]")
"""Between the parts of an address: `user:password@host/token?key=value`."""


class Notify:
    """Notifies one address. See `agbot.delivery.sinks.Sink`."""

    kind: Final = Kind.NOTIFY

    def __init__(
        self,
        address: Secret,
        wanted: Iterable[str],
        count: Count,
        *,
        quiet_seconds: float = _QUIET_SECONDS,
        backoff: Backoff | None = None,
    ) -> None:
        """Create the sink of an address of Apprise; `wanted` are events besides the usual ones.

        Raises:
            AddressError: the address cannot be used.
        """
        self._service = service(address)
        # a hash, because the address is a secret
        self.name = f"notify:{hashlib.sha256(address.reveal().encode()).hexdigest()[:16]}"
        self.receiver = f"{self._service.service_name} {self.name[-4:]}"
        self.outage = Outage()
        self._address = address
        self._wanted = frozenset(wanted)
        self._count = count
        self._quiet_seconds = quiet_seconds
        self._backoff = backoff or Backoff(longest_seconds=300.0)

    async def run(self, outlet: Outlet) -> None:
        """Deliver until cancelled."""
        failures, not_before = 0, 0.0
        while True:
            entries = await outlet.next(_BATCH)
            quiet_seconds = not_before - asyncio.get_running_loop().time()
            if quiet_seconds > 0 and any(map(self._is_wanted, entries)):
                await asyncio.sleep(quiet_seconds)
                entries = await outlet.next(_BATCH)  # what has come since belongs to the same message
            wanted = [entry for entry in entries if self._is_wanted(entry)]
            if wanted:
                why = await self._send(wanted)
                failures = failures + 1 if why else 0
                delay = self._backoff.after(failures) if why else self._quiet_seconds
                not_before = asyncio.get_running_loop().time() + delay
                self._note(why, len(wanted))
                if why:
                    continue  # not confirmed: the next message has these events and the new ones
            if entries:
                outlet.confirm(entries[-1])

    def _is_wanted(self, entry: Entry) -> bool:
        event = entry.read()
        return (
            entry.event in self._wanted
            or isinstance(event, ReceiversTested)
            or (isinstance(event, Event) and event.level in {Level.WARNING, Level.ERROR})
        )

    async def _send(self, entries: Sequence[Entry]) -> str:
        """Send one message; return why that failed, or an empty text."""
        title, body = message(entries)
        with _Warnings() as warnings:
            try:
                async with asyncio.timeout(_SEND_SECONDS):
                    is_sent = await self._service.async_notify(body=body, title=title)
            except TimeoutError:
                return f"no answer within {_SEND_SECONDS:g} s"
            except Exception as error:  # noqa: BLE001 - one of a hundred services may raise anything
                is_sent = False
                warnings.texts.append(str(error) or type(error).__name__)
        if is_sent:
            return ""
        return excerpt("; ".join(warnings.texts) or "it was not accepted", secrets_in(self._address), _ERROR_CHARACTERS)

    def _note(self, why: str, number: int) -> None:
        self._count(self.kind, Outcome.FAILED if why else Outcome.DELIVERED, 1 if why else number)
        if why and self.outage.begins(why):
            log.write(NotifyFailed(receiver=self.receiver, error=why))
        if not why and self.outage.ends():
            log.write(NotifyRecovered(receiver=self.receiver))


def message(entries: Sequence[Entry]) -> tuple[str, str]:
    """Return the title and text of a message about these events."""
    lines = [f"{entry.at:%Y-%m-%d %H:%M} UTC  {_words(entry)}" for entry in entries[:_MOST_LINES]]
    if len(entries) == 1:
        return f"agbot: {_words(entries[0])}", lines[0]
    if len(entries) > _MOST_LINES:
        lines.append(f"and {len(entries) - _MOST_LINES} more: agbot history --since 1d")
    return f"agbot: {len(entries)} events need attention", "\n".join(lines)


def _words(entry: Entry) -> str:
    event = entry.read()
    where = f"{entry.group}: " if entry.group else ""
    return f"{where}{entry.event if isinstance(event, Unread) else event.in_words()}"


def secrets_in(address: Secret) -> tuple[str, ...]:
    """Return what of an address must not be shown: all of it, and each part that may be a token."""
    _, _, rest = address.reveal().partition("://")
    # short parts are left: hiding `tls` or `443` everywhere would make the error unreadable
    parts = [part for part in _BETWEEN.split(rest) if len(part) >= _SHORTEST_SECRET]
    return (address.reveal(), *dict.fromkeys((*parts, *map(unquote, parts))))


class _Warnings(logging.Handler):
    """Keeps what Apprise logs while it sends, which may contain the address, from our log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        with contextlib.suppress(Exception):
            self.texts.append(record.getMessage())

    def __enter__(self) -> Self:
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)
