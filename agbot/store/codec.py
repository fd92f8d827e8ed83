"""Converts values to rows and back, derived from their dataclass: a column for each field.

Rows are made in the caller's task, before anything is sent: a value that cannot be stored or read
back is an error of the caller alone. A row that cannot be read means a damaged store.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from sys import intern
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from agbot.foreign_text import excerpt
from agbot.rules.facts import Ask
from agbot.rules.lease import Claim, Lease, Tenure
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import Entry, StoreUnavailableError
from agbot.store.records import KEPT
from agbot.store.texts import Row, json_text, moment, seen_in_json, seen_moment, seen_stamp, stamp

_T = TypeVar("_T")

_COLUMNS: Mapping[str, str] = {"by": "made_by", "group": "group_id", "node": "node_id"}
"""Fields whose names are reserved in SQL, or would not describe the column."""

_INLINE = frozenset({Ask, Claim, Tenure})
"""Nested dataclasses whose fields have columns; any other nested value is one column of JSON."""

_NAMES = ("id", "node_id", "group_id", "scope")
"""The columns that identify a row for people."""
_MESSAGE_CHARACTERS = 1000
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a type is written to one column, and read."""

    write: Callable[[Any], str | int]
    read: Callable[[Any], Any]
    suffix: str = ""
    """The suffix of the column's name."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A field in one column."""

    name: str
    form: _Form
    is_optional: bool

    def write(self, value: object, row: Row) -> None:
        row[self.name] = None if self.is_optional and value is None else self.form.write(value)

    def read(self, row: Mapping[str, Any]) -> object:
        text = row[self.name]
        return None if self.is_optional and text is None else self.form.read(text)

    def names(self) -> list[str]:
        return [self.name]


@dataclass(frozen=True, slots=True)
class _Columns:
    """A nested dataclass whose fields have columns; if it is None they are all NULL."""

    of: type
    parts: Mapping[str, _Column | _Columns]
    is_optional: bool

    def write(self, value: object, row: Row) -> None:
        if self.is_optional and value is None:
            row.update(dict.fromkeys(self.names()))
            return
        for name, part in self.parts.items():
            part.write(getattr(value, name), row)

    def read(self, row: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the value of a type that is known only here
        # of a value that is there the first column is never NULL: a tenure has a holder
        if self.is_optional and row[self.names()[0]] is None:
            return None
        return self.of(**{name: part.read(row) for name, part in self.parts.items()})

    def names(self) -> list[str]:
        return [name for part in self.parts.values() for name in part.names()]


class Codec(Generic[_T]):
    """Writes and reads values of one type as rows of its table."""

    def __init__(self, of: type[_T], columns: Mapping[str, str] | None = None) -> None:
        """Derive the codec from the fields.

        `columns` are names of columns that differ from `_COLUMNS`.
        """
        self._renamed = {**_COLUMNS, **(columns or {})}
        self._columns = _columns(of, self._renamed, is_optional=False)
        self.names = tuple(self._columns.names())

    def column(self, path: str) -> str:
        """Return the column of a field; a nested field is dotted."""
        last = path.rpartition(".")[2]
        return self._renamed.get(last, last)

    def row(self, value: _T) -> Row:
        """Write a value.

        Raises:
            TypeError, ValueError, msgspec.MsgspecError: it cannot be stored or read back.
        """
        row: Row = {}
        self._columns.write(value, row)
        return row

    def value(self, row: Mapping[str, Any], what: str) -> _T:
        """Read a row; `what` names its kind for people.

        Raises:
            StoreUnavailableError: the row is invalid; the error names it.
        """
        try:
            value: _T = self._columns.read(row)
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            raise StoreUnavailableError(_unreadable(dict(row), what, error)) from error
        return value


def _unreadable(found: Mapping[str, Any], what: str, error: Exception) -> str:
    name = " of ".join(str(found[key]) for key in _NAMES if found.get(key) is not None)
    message = (
        f"the {what} {name} in the store ([store] path or url) cannot be read ({error}); stop the daemon and put"
        f" a backup in place (`agbot store restore` for a file), or repair that row: {found}"
    )
    return excerpt(message, (), _MESSAGE_CHARACTERS)


def _columns(of: type, columns: Mapping[str, str], *, is_optional: bool) -> _Columns:
    hints = get_type_hints(of)
    # a field that is not compared is not part of the value
    kept = [each.name for each in fields(of) if each.compare]
    return _Columns(of, {name: _part(name, hints[name], columns) for name in kept}, is_optional)


def _part(field: str, hint: Any, columns: Mapping[str, str]) -> _Column | _Columns:  # noqa: ANN401 - a type hint
    options = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    is_optional = type(None) in options
    (kind,) = (each for each in options if each is not type(None))
    if kind in _INLINE:
        return _columns(kind, columns, is_optional=is_optional)
    form = _form(kind)
    return _Column(columns.get(field, field) + form.suffix, form, is_optional)


def _form(kind: Any) -> _Form:  # noqa: ANN401 - a type hint
    plain = getattr(kind, "__supertype__", kind)  # of a NewType
    if plain in _FORMS:
        return _FORMS[plain]
    if isinstance(plain, type) and issubclass(plain, Enum):
        return _Form(lambda value: plain(value).value, plain)
    decoder = msgspec.json.Decoder(plain, dec_hook=_of_json)
    return _Form(lambda value: _readable_json(value, decoder), decoder.decode)


def _of_json(kind: type, value: object) -> object:
    return value if kind is object else seen_in_json(kind, value)


def _readable_json(value: object, decoder: msgspec.json.Decoder[Any]) -> str:
    text = json_text(value)
    # facts are an open mapping; a value that cannot be read back would stop the next start
    decoder.decode(text)
    return text


_FORMS: Mapping[type, _Form] = {
    str: _Form(lambda text: text, intern),  # mostly ids, of which the picture has a copy
    int: _Form(lambda number: number, lambda number: number),
    bool: _Form(int, bool),
    datetime: _Form(stamp, moment),
    SeenTime: _Form(seen_stamp, seen_moment),
    timedelta: _Form(lambda span: span // _MILLISECOND, lambda span: span * _MILLISECOND, suffix="_ms"),
}

LEASES = Codec(Lease)
ENTRIES = Codec(Entry)
RECORDS: Mapping[type, Codec[Any]] = {kept.of: Codec(kept.of, kept.columns) for kept in KEPT.values()}
