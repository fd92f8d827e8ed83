"""Statements with their values as literals, in the form that the simple protocol takes.

The statements of one transaction go to the server in one message, so that it never waits for a
client in the middle of one, and a pooler needs to remember nothing. The simple protocol has no
parameters. All quoting is done here, by the driver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from psycopg.types.string import StrDumper

from agbot.store.texts import Row

_Value = str | int | None
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_quote = StrDumper(str).quote

# PostgreSQL takes no U+0000. The two escapes keep the order of texts, and a prefix stays a prefix.
_ESCAPES: Final = (("\x01", "\x01\x02"), ("\x00", "\x01\x01"))


def escaped(text: str) -> str:
    """Write a text without U+0000."""
    for character, written in _ESCAPES:
        if character in text:
            text = text.replace(character, written)
    return text


def original(text: str) -> str:
    """Read what `escaped` has written."""
    if "\x01" not in text:
        return text
    for character, written in reversed(_ESCAPES):
        text = text.replace(written, character)
    return text


def originals(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read a row whose texts `escaped` has written."""
    return {name: original(value) if type(value) is str else value for name, value in row.items()}


def _literal(value: _Value) -> str:
    """Write one value.

    Raises:
        UnicodeEncodeError: it is no valid text.
    """
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value) if value >= 0 else f"({value})"
    return bytes(_quote(escaped(value))).decode()


def filled(statement: str, row: Row | Mapping[str, _Value]) -> str:
    """Put the values in place of the statement's `:name` parameters."""
    pieces = _pieces(statement)
    return "".join([_literal(row[piece]) if at % 2 else piece for at, piece in enumerate(pieces)])


@lru_cache(maxsize=512)
def _pieces(statement: str) -> list[str]:
    """Split a statement into text and names, in turns."""
    return _PARAMETER.split(statement)
