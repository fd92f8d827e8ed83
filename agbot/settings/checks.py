"""What a single value must be, beyond its type. A table: key -> checks; each check gives a sentence on what is wrong, or None.

What one value means for another is in `sense`.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from agbot.rules.limits import Order
from agbot.settings import windows


class Check:
    """A test of one value with the words for what is expected."""

    __slots__ = ("_wrong", "expected")

    def __init__(self, expected: str, wrong: Callable[[Any], str | None]) -> None:
        self.expected = expected
        self._wrong = wrong

    def wrong(self, value: object) -> str | None:
        """Say what is wrong with the value, or None."""
        return self._wrong(value)


AGENT_PATIENCE_SECONDS: Final = 20
"""Agents give up a question after this long (`HTTPRequestTimeoutS`, cut to 20 s) and then ask in a loop."""
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+")
_PORTS: Final = 65535
_LONGEST_KEEPALIVE_SECONDS: Final = 65535
"""MQTT sends it in two bytes."""


def _more_than(least: float) -> Check:
    expected = f"a number greater than {least:g}"
    return Check(expected, lambda value: None if value > least else f"{value:g} is not greater than {least:g}")


def _at_least(least: float) -> Check:
    return Check(f"{least:g} or more", lambda value: None if value >= least else f"{value:g} is less than {least:g}")


def _at_most(most: float) -> Check:
    return Check(f"{most:g} or less", lambda value: None if value <= most else f"{value:g} is more than {most:g}")


def _less_than(limit: float) -> Check:
    return Check(
        f"less than {limit:g}", lambda value: None if value < limit else f"{value:g} is not less than {limit:g}"
    )


def _one_of(*words: str) -> Check:
    return Check(f"one of {', '.join(words)}", lambda value: None if value in words else f'"{value}" is none of them')


def _wrong_url(value: str) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        return f'"{value}" is not a URL: {error}'
    # A user or password is not shown again: it would be a secret in a log.
    faults = {
        "it holds a user or password; credentials come from files": bool(parts.username or parts.password),
        f'"{value}" does not begin with http:// or https://': parts.scheme not in {"http", "https"},
        f'"{value}" names no host': not parts.hostname or port == 0,
        f'"{value}" has a query or fragment': bool(parts.query or parts.fragment),
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def _wrong_urls(value: tuple[str, ...]) -> str | None:
    wrong = (_wrong_url(each) if each else "an empty text is no address" for each in value)
    return next((each for each in wrong if each), None) or _twice(value)


def _wrong_exchange_url(value: str) -> str | None:
    wrong = _wrong_url(value)
    if wrong or not value or value.rstrip("/").endswith("/v1"):
        return wrong
    return f'"{value}" does not end in /v1'


def _wrong_identity(value: str) -> str | None:
    org, slash, name = value.partition("/")
    if not value:
        return None
    if not (org and slash and name):
        return f'"{value}" is not an organisation and a name with a slash between'
    if ":" in value or not value.isprintable() or " " in value:
        return f'"{value}" holds a colon or space, which no identity can have'
    return None


def _wrong_listen(value: str) -> str | None:
    host, colon, port = value.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > _PORTS:
        return f'"{value}" does not end in a colon and a port'
    if host.startswith("[") and host.endswith("]"):
        return None if _is_ipv6(host[1:-1]) else f'"{host}" is not an IPv6 address'
    return None if _HOST.fullmatch(host) else f'"{value}" names no host; 0.0.0.0 listens on every address'


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6  # noqa: PLR2004 - the version is the name
    except ValueError:
        return False


def _wrong_organisations(value: tuple[str, ...]) -> str | None:
    bad = [each for each in value if not each or "/" in each or not each.isprintable()]
    if bad:
        return f'"{bad[0]}" is not an organisation'
    return _twice(value)


def _twice(value: tuple[str, ...]) -> str | None:
    twice = [each for each in value if value.count(each) > 1]
    return f'"{twice[0]}" stands there twice' if twice else None


def _wrong_host(value: str) -> str | None:
    if not value or _HOST.fullmatch(value) or _is_ipv6(value):
        return None
    return f'"{value}" is not the name or address of a host'


def _wrong_prefix(value: str) -> str | None:
    faults = {
        "it is empty": not value,
        f'"{value}" holds + or #, which stand for other topics': bool({"+", "#"} & set(value)),
        f'"{value}" begins with $, which belongs to the broker': value.startswith("$"),
        f'"{value}" begins or ends with /': value.startswith("/") or value.endswith("/"),
        "it holds a character that cannot be seen": not value.isprintable(),
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def _wrong_windows(value: tuple[str, ...]) -> str | None:
    for each in value:
        try:
            windows.parse(each)
        except windows.WindowError as error:
            return str(error)
    return None


def _wrong_order(value: str) -> str | None:
    order, colon, named = value.partition(":")
    if order == Order.PROPERTY.value:
        return None if named and named.isprintable() and named == named.strip() else f'"{value}" names no property'
    return None if not colon and order in _ORDERS else f'"{value}" is none of them'


def _wrong_pem(value: Path | None) -> str | None:
    if value is None:
        return None
    try:
        text = value.read_text(encoding="utf-8", errors="replace")
    except PermissionError:
        return f"{value} may not be read by this user"
    except OSError as error:
        return f"{value} cannot be read: {error.strerror}"
    return None if "-----BEGIN " in text else f"{value} is not a PEM file"


def _wrong_certificates(value: Path | None) -> str | None:
    wrong = _wrong_pem(value)
    if wrong or value is None:
        return wrong
    try:
        ssl.create_default_context(cafile=str(value))
    except (ssl.SSLError, OSError) as error:
        return f"{value} holds no usable certificate: {error}"
    return None


_ORDERS: Final = tuple(each.value for each in Order if each is not Order.PROPERTY)
_ORDER: Final = Check(f"one of {', '.join(_ORDERS)}, or property:NAME, such as property:zone", _wrong_order)
_BROKER: Final = Check("a host alone, such as broker.example.com; the port has a key of its own", _wrong_host)
_PREFIX: Final = Check("the beginning of a topic, such as agbot or site-1/agbot", _wrong_prefix)
_URLS: Final = Check('addresses such as ["https://example.com/agbot-events"]', _wrong_urls)
_LOCAL_APIS: Final = Check('addresses such as ["http://127.0.0.1:8080"]', _wrong_urls)
_POSITIVE: Final = (_more_than(0),)
_PERCENT: Final = (_at_least(0), _at_most(100))
_ZERO_OR_MORE: Final = (_at_least(0),)
_URL: Final = Check("an address such as https://agbot.example.com:8083", _wrong_url)
_EXCHANGE_URL: Final = Check("an address such as https://hub.example.com/edge-exchange/v1", _wrong_exchange_url)
_IDENTITY: Final = Check("org/name, such as IBM/upgrade-coordinator", _wrong_identity)
_LISTEN: Final = Check("host:port, such as 127.0.0.1:8084 or [::1]:8084", _wrong_listen)
_ORGANISATIONS: Final = Check('names of organisations, or "*"', _wrong_organisations)
_WINDOWS: Final = Check(windows.SHAPE, _wrong_windows)
_CERTIFICATES: Final = Check("a readable PEM file with certificates", _wrong_certificates)
_PEM: Final = Check("a readable PEM file", _wrong_pem)

CHECKS: Final[Mapping[str, tuple[Check, ...]]] = {
    "exchange.url": (_EXCHANGE_URL,),
    "exchange.identity": (_IDENTITY,),
    "exchange.ca_file": (_CERTIFICATES,),
    "exchange.organisations": (_ORGANISATIONS,),
    "exchange.poll_seconds": _POSITIVE,
    "exchange.busy_poll_seconds": _POSITIVE,
    "exchange.heartbeat_seconds": _POSITIVE,
    "exchange.resync_seconds": _POSITIVE,
    "exchange.view_max_age_seconds": _POSITIVE,
    "exchange.request_seconds": _POSITIVE,
    "exchange.max_requests_open": (_at_least(1),),
    "agbot.secure_api": (_URL,),
    "agbot.secure_api_ca_file": (_CERTIFICATES,),
    "agbot.api": (_LOCAL_APIS,),
    "agbot.identity": (_IDENTITY,),
    "agbot.request_seconds": _POSITIVE,
    "gateway.listen": (_LISTEN,),
    "gateway.certificate_file": (_PEM,),
    "gateway.key_file": (_PEM,),
    "gateway.answer_seconds": (_more_than(0), _less_than(AGENT_PATIENCE_SECONDS)),
    "gateway.remember_seconds": _ZERO_OR_MORE,
    "gateway.max_open": (_at_least(1),),
    "gateway.questions_per_minute": (_at_least(1),),
    "gateway.request_seconds": _POSITIVE,
    "gateway.max_body_bytes": _ZERO_OR_MORE,
    "gateway.max_header_bytes": (_at_least(1024),),
    "console.listen": (_LISTEN,),
    "store.journal_days": _POSITIVE,
    "store.journal_megabytes": _ZERO_OR_MORE,
    "mqtt.host": (_BROKER,),
    "mqtt.port": (_at_least(1), _less_than(_PORTS + 1)),
    "mqtt.ca_file": (_CERTIFICATES,),
    "mqtt.certificate_file": (_PEM,),
    "mqtt.key_file": (_PEM,),
    "mqtt.protocol": (_one_of("5", "3.1.1"),),
    "mqtt.prefix": (_PREFIX,),
    "mqtt.keepalive_seconds": (_at_least(1), _less_than(_LONGEST_KEEPALIVE_SECONDS + 1)),
    "webhook.urls": (_URLS,),
    "webhook.ca_file": (_CERTIFICATES,),
    "webhook.timeout_seconds": _POSITIVE,
    "log.level": (_one_of("debug", "info", "warning", "error"),),
    "log.format": (_one_of("auto", "json", "console"),),
    "rules.lease_seconds": _POSITIVE,
    "rules.confirm_seconds": _POSITIVE,
    "rules.failure_grace_seconds": _ZERO_OR_MORE,
    "rules.reset_grace_seconds": _ZERO_OR_MORE,
    "rules.max_upgrade_seconds": _POSITIVE,
    "rules.dead_after_seconds": _POSITIVE,
    "rules.heartbeat_stale_seconds": _POSITIVE,
    "rules.min_available": _ZERO_OR_MORE,
    "rules.min_available_percent": _PERCENT,
    "rules.order": (_ORDER,),
    "rules.org_brake_groups": _ZERO_OR_MORE,
    "rules.org_brake_percent": _PERCENT,
    "rules.max_groups_in_org": _ZERO_OR_MORE,
    "rules.max_groups_in_fleet": _ZERO_OR_MORE,
    "rules.canary_percent": _PERCENT,
    "rules.agent_soak_seconds": _ZERO_OR_MORE,
    "rules.service_soak_seconds": _ZERO_OR_MORE,
    "rules.rest_proof_seconds": _ZERO_OR_MORE,
    "rules.version_proof_seconds": _ZERO_OR_MORE,
    "rules.ask_period_seconds": _POSITIVE,
    "rules.windows": (_WINDOWS,),
}
"""Keys that are missing here take any value of their type; a test names them."""
