"""Certificates and authorities that are renewed in place: a reload loads changed files.

The contents of the files are compared, not times or names. If a renewed file cannot be used, the
former one stays in use, and the error is logged at each reload. Open connections keep what they
began with, except for the broker's, which would stay open for months.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agbot import log
from agbot.clock import Clock
from agbot.console.server import Console
from agbot.daemon.certificates import WARN_DAYS, first_end
from agbot.daemon.receivers import Receivers
from agbot.events.process import CertificateExpiring, CertificateRefused
from agbot.exchange.transport import HttpTransport
from agbot.gateway.listener import Listener
from agbot.settings.model import Settings

_CHECK_SECONDS: Final = 86_400.0
_SECONDS_PER_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewable:
    """Files that belong together, and the function that loads them into a running part."""

    use: str
    """The use, as in the log and the metrics."""
    files: tuple[Path, ...]
    load: Callable[[], None]
    """Raises OSError if they cannot be used; what was loaded before then stays."""


class Renewals:
    """All files that can be renewed in place."""

    def __init__(self, items: Sequence[Renewable], clock: Clock) -> None:
        """Remember the contents of the files as they are first loaded."""
        self._clock = clock
        self._items = [item for item in items if item.files]
        self._loaded = {item.use: _contents(item) for item in self._items}
        # once for each content: every scrape asks, and there may be hundreds of authorities
        self._ends = {use: first_end(b"\n".join(contents)) for use, contents in self._loaded.items()}

    def renew(self) -> list[str]:
        """Load what has changed; return its uses."""
        return [item.use for item in self._items if self._renew(item)]

    def days_left(self) -> Mapping[str, float]:
        """Return by use the days until its first certificate expires; negative afterwards."""
        now = self._clock.now()
        ends = self._ends.items()
        return {use: (end - now).total_seconds() / _SECONDS_PER_DAY for use, end in ends if end is not None}

    async def watch(self) -> None:
        """Warn of each certificate that expires soon, at the start and once a day."""
        while True:
            self._warn()
            await self._clock.sleep(_CHECK_SECONDS)

    def _warn(self) -> None:
        days_left = self.days_left()
        for item in self._items:
            days = days_left.get(item.use, WARN_DAYS)
            if days < WARN_DAYS:
                log.write(CertificateExpiring(use=item.use, days_left=round(days, 1), files=_named(item)))

    def _renew(self, item: Renewable) -> bool:
        # read before they are loaded: what changes in between is loaded again by the next reload
        contents = _contents(item)
        if contents == self._loaded[item.use]:
            return False
        try:
            item.load()
        except OSError as error:
            log.write(CertificateRefused(use=item.use, files=_named(item), error=str(error)))
            return False
        self._loaded[item.use], self._ends[item.use] = contents, first_end(b"\n".join(contents))
        return True


def renewables(
    settings: Settings, gateway: Listener, console: Console, exchange: HttpTransport, receivers: Receivers
) -> list[Renewable]:
    """Return what can be renewed in place with these settings."""
    own, mqtt = settings.gateway, settings.mqtt

    def renew_mqtt() -> None:
        receivers.renew_mqtt(mqtt)

    def renew_webhooks() -> None:
        receivers.renew_webhooks(settings.webhook)

    def renew_hop() -> None:
        gateway.hop.renew_trust()
        console.hop.renew_trust()

    return [
        Renewable(use=use, files=tuple(file for file in files if file is not None), load=load)
        for use, files, load in (
            ("gateway", (own.certificate_file, own.key_file), gateway.renew_certificate),
            ("upstream-ca", (settings.agbot.secure_api_ca_file,), gateway.passing.renew_trust),
            ("exchange-ca", (settings.exchange.ca_file,), exchange.renew_trust),
            ("leadership-ca", (settings.leadership.ca_file,), renew_hop),
            ("mqtt", (mqtt.certificate_file, mqtt.key_file), renew_mqtt),
            ("mqtt-ca", (mqtt.ca_file,), renew_mqtt),
            ("webhook-ca", (settings.webhook.ca_file,), renew_webhooks),
        )
    ]


def _contents(item: Renewable) -> tuple[bytes, ...]:
    return tuple(map(_content, item.files))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _named(item: Renewable) -> tuple[str, ...]:
    return tuple(map(str, item.files))
