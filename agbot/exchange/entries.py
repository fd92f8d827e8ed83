"""Collections of the Exchange, entry by entry: one that cannot be read must not hide the others.

A list of an organisation holds what many different agents have written. Its entries stay undecoded (`msgspec.Raw`) until each is read on
its own. Two things break even that, because a parser stops at them wherever they stand: JSON nested deeper than it likes, and half of a
surrogate pair. Then the entries are found by their brackets alone, and those that no parser takes are replaced by `null`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from agbot.fleet.garbled import Garbled
from agbot.rules.ids import OrgId, org_of

Shape = TypeVar("Shape", bound=msgspec.Struct)
Value = TypeVar("Value")

NOT_JSON = (ValueError, ArithmeticError, RecursionError, TypeError, LookupError, AttributeError)
"""What decoding and understanding of text from outside may raise: msgspec's errors are ValueErrors, as are wrong encodings and meanings.
The others would be mistakes of ours; also these must harm nobody but the record that brought them to light."""

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_COLLECTION_DEPTH = 2
"""An entry is a value in the collection in the reply's object: `{"nodes": {"o1/n1": ENTRY}}`, `{"nodeGroups": [ENTRY]}`."""
_OPEN = (b"{", b"[")
_NULL = b"null"


def entry(raw: msgspec.Raw, shape: type[Shape], meaning: Callable[[Shape], Value]) -> Value | Garbled:
    """Read one entry of a collection."""
    if bytes(raw).strip() == _NULL:
        return Garbled("it is no JSON that can be read: nested too deeply, or not in Unicode")
    try:
        return meaning(msgspec.json.decode(raw, type=shape))
    except NOT_JSON as error:
        return Garbled.by(error)


def needed(found: Value | Garbled) -> Value:
    """Return the one entry that was asked for.

    Raises:
        ValueError: it cannot be read.
    """
    if not isinstance(found, Garbled):
        return found
    raise ValueError(found.why)


def only(wanted: str, found: Mapping[str, Value]) -> Value | None:
    """Return the one entry that was asked for, None from an empty reply.

    Raises:
        ValueError: the reply is about others.
    """
    if found and wanted not in found:
        message = f"it is about {', '.join(sorted(found)[:3])}, not about {wanted}"
        raise ValueError(message)
    return found.get(wanted)


def only_of(org: OrgId, found: Iterable[str]) -> None:
    """Hold that a list is one of this organisation.

    Raises:
        ValueError: it is not.
    """
    strange = next((key for key in found if org_of(key) != org), None)
    if strange is not None:
        message = f"it is about {strange}, which is not in organisation {org}"
        raise ValueError(message)


def mended(body: bytes) -> bytes:
    """Replace the entries that no parser takes by `null`; about a second for 10 MB, and only where the whole could not be parsed."""
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
