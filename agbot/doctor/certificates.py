"""Checks certificates: the days left of our own, and of those that servers show us."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agbot.clock import Clock
from agbot.daemon.certificates import WARN_DAYS, first_end
from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.rules.words import count
from agbot.settings.model import Settings

_CHECK: Final = "certificates"
_SECONDS: Final = 5.0
_SECONDS_PER_DAY: Final = 86_400.0
_HTTPS_PORT: Final = 443


def own(settings: Settings, now: datetime) -> Iterator[tuple[str, Finding]]:
    """Check the certificate files of the settings, each with its key."""
    files = {
        "gateway.certificate_file": settings.gateway.certificate_file,
        "exchange.ca_file": settings.exchange.ca_file,
        "agbot.secure_api_ca_file": settings.agbot.secure_api_ca_file,
        "leadership.ca_file": settings.leadership.ca_file,
        "mqtt.certificate_file": settings.mqtt.certificate_file,
        "mqtt.ca_file": settings.mqtt.ca_file,
        "webhook.ca_file": settings.webhook.ca_file,
    }
    for key, path in files.items():
        if path is not None:
            section, _, name = key.partition(".")
            yield key, _file(f"[{section}] {name}", path, now)


def _file(name: str, path: Path, now: datetime) -> Finding:
    try:
        end = first_end(path.read_bytes())
    except OSError as error:
        step = "make it readable to the user of the coordinator"
        return wrong(_CHECK, f"{name}: {path} cannot be read: {error.strerror}", next_step=step)
    if end is None:
        return wrong(_CHECK, f"{name}: {path} contains no certificate", next_step="set a PEM file")
    return _days(f"{name} {path}", end, now)


def _days(what: str, end: datetime, now: datetime) -> Finding:
    days = (end - now).total_seconds() / _SECONDS_PER_DAY
    step = "renew it; `systemctl reload agbot` then uses the new file"
    if days < 0:
        return wrong(_CHECK, f"{what} expired {count(round(-days), 'day')} ago", next_step=step)
    text = f"{what} expires in {count(round(days), 'day')}"
    return warning(_CHECK, text, next_step=step) if days < WARN_DAYS else ok(_CHECK, text)


async def of_server(what: str, url: str, ca_file: Path | None, clock: Clock) -> tuple[Finding, ...]:
    """Check the certificate that a server shows; nothing for plain HTTP."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        return ()
    host, port = parts.hostname or "", parts.port or _HTTPS_PORT
    tried = f"a TLS connection to {host}:{port}"
    try:
        end = await _peer_end(host, port, ca_file)
    except ssl.SSLCertVerificationError as error:
        step = "name the authority that signed it in the ca_file of that section"
        return (wrong(_CHECK, f"{what}: {error.verify_message}", tried=tried, next_step=step),)
    except (OSError, TimeoutError) as error:
        step = "is it running, and is the address right?"
        return (wrong(_CHECK, f"{what}: {str(error) or 'no answer'}", tried=tried, next_step=step),)
    return (_days(f"{what} at {host}:{port}", end, clock.now()),)


async def _peer_end(host: str, port: int, ca_file: Path | None) -> datetime:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    async with asyncio.timeout(_SECONDS):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        shown = writer.get_extra_info("peercert")["notAfter"]
    finally:
        writer.transport.abort()
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(shown), UTC)
