"""Checks of a single value beyond its type, as annotations of its field.

Bounds of numbers are msgspec's own (`Meta`). Checks across values are in `consistency`.
"""

from __future__ import annotations

import ipaddress
import operator
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from msgspec import Meta

from agbot.rules.nearest import nearest
from agbot.settings.hosts import host_and_port


@dataclass(frozen=True, slots=True)
class Check:
    """A check of one value."""

    expected: str
    """The text for what is expected."""
    wrong: Callable[[Any], str | None]
    """Returns what is wrong with a value, or None."""


_HOST: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Example:
    """An annotation: the value in the sample where there is no default."""

    value: str


def of_annotations(annotations: Iterable[object]) -> tuple[Check, ...]:
    """Return the checks among the annotations of a field."""
    found: list[Check] = []
    for each in annotations:
        if isinstance(each, Check):
            found.append(each)
        elif isinstance(each, Meta):
            found += _of_bounds(each)
    return tuple(found)


def _of_bounds(meta: Meta) -> Iterator[Check]:
    if meta.gt is not None:
        yield _bound(f"a number greater than {meta.gt:.12g}", operator.gt, meta.gt, "is not greater than")
    if meta.ge is not None:
        yield _bound(f"{meta.ge:.12g} or more", operator.ge, meta.ge, "is less than")
    if meta.le is not None:
        yield _bound(f"{meta.le:.12g} or less", operator.le, meta.le, "is more than")
    if meta.lt is not None:
        yield _bound(f"less than {meta.lt:.12g}", operator.lt, meta.lt, "is not less than")
    if meta.pattern is not None:
        pattern, expected = re.compile(meta.pattern), meta.description or meta.pattern
        # whole, because `$` also matches before a newline at the end, and `asked\n` is no order
        yield Check(expected, lambda value: None if pattern.fullmatch(value) else f'"{value}" is not {expected}')


def _bound(expected: str, holds: Callable[[float, float], bool], limit: float, wrong: str) -> Check:
    return Check(expected, lambda value: None if holds(value, limit) else f"{value:.12g} {wrong} {limit:.12g}")


def one_of(*words: str) -> Check:
    """Accept these words only."""
    expected = f"one of {', '.join(words)}"
    return Check(expected, lambda value: None if value in words else f'"{value}" is not {expected}')


def _wrong_events(value: tuple[str, ...]) -> str | None:
    from agbot.events.catalogue import EVENTS  # noqa: PLC0415 - slow to import, and seldom needed

    journalled = [name for name, event in EVENTS.items() if event.is_journalled]
    wrong = {name: nearest(name, journalled) for name in value if name not in journalled}
    return (
        "; ".join(
            f'"{name}" is not an event of the journal' + (f', did you mean "{near}"?' if near else "")
            for name, near in wrong.items()
        )
        or None
    )


def _wrong_url(value: str) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        return f'"{value}" is not a URL: {error}'
    # A user or password is not repeated: it would be a secret in a log.
    faults = {
        "it contains a user or password; credentials come from files": bool(parts.username or parts.password),
        f'"{value}" does not begin with http:// or https://': parts.scheme not in {"http", "https"},
        f'"{value}" contains a space': any(map(str.isspace, value)),
        f'"{value}" names no host': not parts.hostname or port == 0,
        f'"{value}" has a query or fragment': bool(parts.query or parts.fragment),
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def _wrong_urls(value: tuple[str, ...]) -> str | None:
    wrong = [_wrong_url(each) if each else "an empty text is not an address" for each in value]
    return "; ".join(each for each in wrong if each) or _twice(value)


def _wrong_exchange_url(value: str) -> str | None:
    wrong = _wrong_url(value)
    if wrong or not value or value.rstrip("/").endswith("/v1"):
        return wrong
    return f'"{value}" does not end in /v1'


def _wrong_database(value: str) -> str | None:
    if not value:
        return None
    try:
        parts = urlsplit(value)
        # libpq takes both of these from the query as well
        has_password = bool(parts.password) or not {"password", "sslpassword"}.isdisjoint(parse_qs(parts.query))
    except ValueError:
        return "it is not a URL"  # not repeated: whatever it is, it may contain a password
    if has_password:
        return "it contains a password, which comes from a file"
    if parts.scheme not in {"postgresql", "postgres"}:
        return f'"{value}" does not begin with postgresql://'
    return None


def _wrong_identity(value: str) -> str | None:
    org, slash, name = value.partition("/")
    if not value:
        return None
    if not (org and slash and name):
        return f'"{value}" is not of the form org/name'
    # Basic credentials end the identity at the first colon
    if ":" in value or not value.isprintable() or " " in value:
        return f'"{value}" contains a colon or a space; no identity does'
    return None


def _wrong_listen(value: str) -> str | None:
    try:
        host_and_port(value)
    except ValueError as error:
        return str(error)
    host = value.rpartition(":")[0]
    if host.startswith("[") and host.endswith("]"):
        return None if _is_ipv6(host[1:-1]) else f'"{host}" is not an IPv6 address'
    # asyncio takes an empty host for every address, which is hardly what was meant
    return None if _HOST.fullmatch(host) else f'"{value}" names no host; 0.0.0.0 listens on every address'


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6  # noqa: PLR2004 - the version is the name
    except ValueError:
        return False


def _wrong_organisations(value: tuple[str, ...]) -> str | None:
    bad = [each for each in value if not each or "/" in each or not each.isprintable()]
    return "; ".join(f'"{each}" is not an organisation' for each in bad) or _twice(value)


def _twice(value: tuple[str, ...]) -> str | None:
    twice = [each for each in value if value.count(each) > 1]
    return f'"{twice[0]}" is listed twice' if twice else None


def _wrong_host(value: str) -> str | None:
    if not value or _HOST.fullmatch(value) or _is_ipv6(value):
        return None
    return f'"{value}" is not the name or address of a host'


def _wrong_name(value: str) -> str | None:
    return (
        None
        if not value or _HOST.fullmatch(value)
        else f'"{value}" contains characters other than letters, digits, . _ -'
    )


def _wrong_prefix(value: str) -> str | None:
    faults = {
        "it is empty": not value,
        f'"{value}" contains + or #, the wildcards of topics': bool({"+", "#"} & set(value)),
        f'"{value}" begins with $, which is reserved for the broker': value.startswith("$"),
        f'"{value}" begins or ends with /': value.startswith("/") or value.endswith("/"),
        "it contains an unprintable character": not value.isprintable(),
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def _wrong_pem(value: Path | None) -> str | None:
    if value is None:
        return None
    try:
        text = value.read_text(encoding="utf-8", errors="replace")
    except PermissionError:
        return f"{value} may not be read by this user"
    except OSError as error:
        return f"{value} cannot be read: {error.strerror}"
    # only its form: whether key and certificate belong together is checked of the pair
    return None if "-----BEGIN " in text else f"{value} is not a PEM file"


def _wrong_certificates(value: Path | None) -> str | None:
    wrong = _wrong_pem(value)
    if wrong or value is None:
        return wrong
    try:
        ssl.create_default_context(cafile=str(value))
    except (ssl.SSLError, OSError):
        return f"{value} contains no usable certificate"
    return None


EVENTS_OF_JOURNAL: Final = Check('events of the journal, such as ["lease.released"]', _wrong_events)
EXCHANGE_URL: Final = Check("an address such as https://hub.example.com/edge-exchange/v1", _wrong_exchange_url)
URL: Final = Check("an address such as https://agbot.example.com:8083", _wrong_url)
WEBHOOKS: Final = Check('addresses such as ["https://example.com/agbot-events"]', _wrong_urls)
LOCAL_APIS: Final = Check('addresses such as ["http://127.0.0.1:8080"]', _wrong_urls)
DATABASE: Final = Check("an address such as postgresql://agbot@db.example.com/agbot", _wrong_database)
SCHEMA: Final = Meta(pattern="^[a-z_][a-z0-9_]{0,62}$", description="a name of lower-case letters, digits and _")
IDENTITY: Final = Check("org/name, such as IBM/upgrade-coordinator", _wrong_identity)
LISTEN: Final = Check("host:port, such as 127.0.0.1:8084 or [::1]:8084", _wrong_listen)
ORGANISATIONS: Final = Check('names of organisations, or "*"', _wrong_organisations)
HOST: Final = Check("a host without a port, such as broker.example.com; `port` is a key of its own", _wrong_host)
NAME: Final = Check("a short name, such as hub-1", _wrong_name)
TOPIC_PREFIX: Final = Check("the beginning of a topic, such as agbot or site-1/agbot", _wrong_prefix)
CERTIFICATES: Final = Check("a readable PEM file with certificates", _wrong_certificates)
PEM: Final = Check("a readable PEM file", _wrong_pem)
