"""The expiry of certificates in PEM files. Pure.

Python's `ssl` has that for a peer's certificate only, so the fields before it are parsed here
(X.509, RFC 5280, 4.1: a sequence of version, serial number, algorithm, issuer, validity and more).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

WARN_DAYS: Final = 21.0
"""A certificate of 90 days is usually renewed a month before its expiry. Later than that, something
has gone wrong."""
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_LONG_FORM: Final = 0x80
_BEFORE_VALIDITY: Final = 3
"""Serial number, algorithm, issuer."""
_CENTURY_TURNS_AT: Final = "50"
"""Two digits below it are of this century (RFC 5280, 4.1.2.5.1)."""


def first_end(pem: bytes) -> datetime | None:
    """Return when the first of these certificates expires; None if none can be parsed."""
    return min(_ends(pem), default=None)


def _ends(pem: bytes) -> Iterator[datetime]:
    for found in _PEM.finditer(pem.decode("ascii", "replace")):
        try:
            yield _end(ssl.PEM_cert_to_DER_cert(found.group()))
        except (ValueError, IndexError, StopIteration):
            continue


def _end(der: bytes) -> datetime:
    (_, certificate), *_ = _elements(der)
    (_, to_be_signed), *_ = _elements(certificate)
    fields = [element for element in _elements(to_be_signed) if element[0] != _VERSION]
    _, (kind, end) = _elements(fields[_BEFORE_VALIDITY][1])
    text = end.decode("ascii")
    if kind == _UTC_TIME:
        text = f"{'20' if text[:2] < _CENTURY_TURNS_AT else '19'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= _LONG_FORM:
            size = length - _LONG_FORM
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        yield tag, der[at : at + length]
        at += length
