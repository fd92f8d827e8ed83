"""Reads collections entry by entry: an unreadable one must not hide the others.

A list of an organisation contains what many agents have written. Its entries stay undecoded
(`msgspec.Raw`) until each is read by itself. Two things prevent even that, because a parser stops
at them: JSON that is nested too deeply, and half of a surrogate pair. Then the entries are found by
their brackets alone, and those that cannot be parsed are replaced by `null`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from agbot.fleet.garbled import Garbled
from agbot.rules.ids import OrgId, org_of

_Shape = TypeVar("_Shape", bound=msgspec.Struct)
_Value = TypeVar("_Value")

NOT_JSON = (ValueError, ArithmeticError, RecursionError, TypeError, LookupError, AttributeError)
"""Errors of decoding text from outside: msgspec's are ValueErrors, as are wrong encodings. The
others would be bugs of ours; they too must affect only the record that revealed them."""

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_COLLECTION_DEPTH = 2
"""The depth of an entry in a reply: `{"nodes": {"o1/n1": ENTRY}}`, `{"nodeGroups": [ENTRY]}`."""
_OPEN = (b"{", b"[")
_NULL = b"null"


def entry(raw: msgspec.Raw, shape: type[_Shape], meaning: Callable[[_Shape], _Value]) -> _Value | Garbled:
    """Read one entry of a collection."""
    # `mended` has written it, or the Exchange has: neither is an absence
    if bytes(raw).strip() == _NULL:
        return Garbled("it is not valid JSON, or nested too deeply")
    try:
        return meaning(msgspec.json.decode(raw, type=shape))
    except NOT_JSON as error:
        return Garbled.by(error)


def needed(found: _Value | Garbled) -> _Value:
    """Return the requested entry.

    Raises:
        ValueError: it cannot be read.
    """
    if not isinstance(found, Garbled):
        return found
    raise ValueError(found.why)


def only(wanted: str, found: Mapping[str, _Value]) -> _Value | None:
    """Return the requested entry, None from an empty reply.

    Raises:
        ValueError: the reply is about others.
    """
    if found and wanted not in found:
        message = f"it is about {', '.join(sorted(found)[:3])}, not about {wanted}"
        raise ValueError(message)
    return found.get(wanted)


def only_of(org: OrgId, found: Iterable[str]) -> None:
    """Check that a list is of this organisation.

    Raises:
        ValueError: it is not.
    """
    strange = next((key for key in found if org_of(key) != org), None)
    if strange is not None:
        message = f"it is about {strange}, which is not in organisation {org}"
        raise ValueError(message)


def mended(body: bytes) -> bytes:
    """Replace entries that cannot be parsed by `null`.

    It takes about a second for 10 MB, and runs only if the whole could not be parsed.
    """
    kept: list[bytes] = []
    depth = begin = done = 0
    for token in _TOKEN.finditer(body):
        mark = token[0]
        if mark in _OPEN:
            depth += 1
            if depth == _COLLECTION_DEPTH + 1:
                begin = token.start()
        elif mark[:1] != b'"':
            if depth == _COLLECTION_DEPTH + 1 and not _is_json(body[begin : token.end()]):
                kept += (body[done:begin], _NULL)
                done = token.end()
            depth -= 1
    return b"".join((*kept, body[done:]))


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except NOT_JSON:
        return False
    return True
