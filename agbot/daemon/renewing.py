"""Certificates and authorities that are renewed in place: found by their contents at a reload, and loaded while everything runs.

What is loaded is compared with what the file holds now, not times or names. A renewed file that cannot be used leaves the former one in use
and is told each time. Connections that are open go on with what they began with, but for the broker's, which would stay open for months.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from agbot.clock import Clock
from agbot.daemon.certificates import first_end
from agbot.daemon.delivering import Told
from agbot.exchange.transport import HttpTransport
from agbot.gateway.listener import Listener
from agbot.settings.model import Settings

WARN_DAYS: Final = 21.0
"""Certificates of 90 days are usually renewed a month before their end: then something has gone wrong."""
_CHECK_SECONDS: Final = 86_400.0
_SECONDS_PER_DAY: Final = 86_400.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewable:
    """Files that belong together, and what loads them into a part that runs."""

    use: str
    """What for, as the log and the metrics know it."""
    files: tuple[Path, ...]
    load: Callable[[], None]
    """Raises OSError when they cannot be used; what was loaded before stays then."""


class Renewals:
    """Everything that can be renewed in place."""

    def __init__(self, items: Sequence[Renewable], clock: Clock) -> None:
        """Remember what the files hold as they are loaded for the first time."""
        self._clock = clock
        self._items = [item for item in items if item.files]
        self._loaded = {item.use: _contents(item) for item in self._items}

    def renew(self) -> list[str]:
        """Load what has changed, and return its uses."""
        return [item.use for item in self._items if self._renew(item)]

    def days_left(self) -> Mapping[str, float]:
        """Return how many days are left of the first certificate to end of each use; negative when it has ended."""
        now = self._clock.now()
        ends = {use: first_end(b"\n".join(contents)) for use, contents in self._loaded.items()}
        return {use: (end - now).total_seconds() / _SECONDS_PER_DAY for use, end in ends.items() if end is not None}

    async def watch(self) -> None:
        """Tell of each certificate that ends soon, at the start and once a day, for ever."""
        while True:
            self._warn()
            await self._clock.sleep(_CHECK_SECONDS)

    def _warn(self) -> None:
        days_left = self.days_left()
        for item in self._items:
            days = days_left.get(item.use, WARN_DAYS)
            if days < WARN_DAYS:
                _log.warning("certificate.expiring", use=item.use, days_left=round(days, 1), files=_named(item))

    def _renew(self, item: Renewable) -> bool:
        contents = _contents(item)
        if contents == self._loaded[item.use]:
            return False
        try:
            item.load()
        except OSError as error:
            _log.error("certificate.refused", use=item.use, files=_named(item), error=str(error))
            return False
        self._loaded[item.use] = contents
        return True


def renewables(settings: Settings, gateway: Listener, exchange: HttpTransport, told: Told) -> list[Renewable]:
    """List what can be renewed in place, as the settings name it."""
    own, mqtt = settings.gateway, settings.mqtt

    def renew_mqtt() -> None:
        told.renew_mqtt(mqtt)

    def renew_webhooks() -> None:
        told.renew_webhooks(settings.webhook)

    return [
        Renewable(use=use, files=tuple(file for file in files if file is not None), load=load)
        for use, files, load in (
            ("gateway", (own.certificate_file, own.key_file), gateway.renew_certificate),
            ("upstream-ca", (settings.agbot.secure_api_ca_file,), gateway.renew_upstream_trust),
            ("exchange-ca", (settings.exchange.ca_file,), exchange.renew_trust),
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


def _named(item: Renewable) -> list[str]:
    return [str(file) for file in item.files]
