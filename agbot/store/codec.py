"""Values to rows and back, derived from the fields of their dataclass: a column for each field, in the form that its type has.

Rows are made in the caller's task, before anything is sent: a value that cannot be stored, or could not be read back, is the caller's
error and disturbs nobody else. A row that cannot be read means a damaged store.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from agbot.foreign_text import excerpt
from agbot.rules.facts import Ask
from agbot.rules.lease import Claim, Hold, Lease
from agbot.rules.seen_time import SeenTime
from agbot.store.contract import Entry, StoreUnavailableError
from agbot.store.records import KEPT
from agbot.store.texts import Row, json_text, moment, seen_in_json, seen_moment, seen_stamp, stamp

T = TypeVar("T")

COLUMNS: Mapping[str, str] = {"by": "made_by", "group": "group_id", "node": "node_id"}
"""Fields whose names SQL keeps for itself, or that would not say what they hold."""

_INLINE = frozenset({Ask, Claim, Hold})
"""Parts of a value that have columns of their own, by which it is looked for; any other part is one column of JSON."""

_NAMES = ("id", "node_id", "group_id", "scope")
"""The columns by which people know a row."""
_MESSAGE_CHARACTERS = 1000
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a type is written in one column, and read."""

    write: Callable[[Any], str | int]
    read: Callable[[Any], Any]
    suffix: str = ""
    """What the name of its column ends with."""


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
    """A dataclass whose fields have columns of their own; when it is None they are all NULL."""

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
        if self.is_optional and row[self.names()[0]] is None:
            return None
        return self.of(**{name: part.read(row) for name, part in self.parts.items()})

    def names(self) -> list[str]:
        return [name for part in self.parts.values() for name in part.names()]


class Codec(Generic[T]):
    """Writes values of one type as rows of its table, and reads them."""

    def __init__(self, of: type[T], columns: Mapping[str, str] | None = None) -> None:
        """Derive it from the fields; `columns` names those of which the column has another name than in `COLUMNS`."""
        self._renamed = {**COLUMNS, **(columns or {})}
        self._columns = _columns(of, self._renamed, is_optional=False)
        self.names = tuple(self._columns.names())

    def column(self, path: str) -> str:
        """Return the column of a field of plain form, dotted where it is nested."""
        last = path.rpartition(".")[2]
        return self._renamed.get(last, last)

    def row(self, value: T) -> Row:
        """Write a value.

        Raises:
            TypeError, ValueError, msgspec.MsgspecError: it cannot be stored, or not be read back.
        """
        row: Row = {}
        self._columns.write(value, row)
        return row

    def value(self, row: Mapping[str, Any], what: str) -> T:
        """Read a row; `what` names it for people.

        Raises:
            StoreUnavailableError: the row makes no sense; it is named.
        """
        try:
            value: T = self._columns.read(row)
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            raise StoreUnavailableError(_unreadable(dict(row), what, error)) from error
        return value


def _unreadable(found: Mapping[str, Any], what: str, error: Exception) -> str:
    name = " of ".join(str(found[key]) for key in _NAMES if found.get(key) is not None)
    message = (
        f"the {what} {name} in the file of [store] path cannot be read ({error}); stop the daemon and put a backup in place"
        f" (`agbot store restore`), or mend that row: {found}"
    )
    return excerpt(message, (), _MESSAGE_CHARACTERS)


def _columns(of: type, columns: Mapping[str, str], *, is_optional: bool) -> _Columns:
    hints = get_type_hints(of)
    kept = [each.name for each in fields(of) if each.compare]  # what two equal values may differ in is no part of them
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
    decoder.decode(text)  # facts are an open mapping: what cannot be read back must not stop the next start
    return text


_FORMS: Mapping[type, _Form] = {
    str: _Form(lambda text: text, lambda text: text),
    int: _Form(lambda number: number, lambda number: number),
    bool: _Form(int, bool),
    datetime: _Form(stamp, moment),
    SeenTime: _Form(seen_stamp, seen_moment),
    timedelta: _Form(lambda span: span // _MILLISECOND, lambda span: span * _MILLISECOND, suffix="_ms"),
}

LEASES = Codec(Lease)
ENTRIES = Codec(Entry)
RECORDS: Mapping[type, Codec[Any]] = {kept.of: Codec(kept.of, kept.columns) for kept in KEPT.values()}
