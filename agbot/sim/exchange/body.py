"""Request bodies, parsed as strictly as the Exchange's JSON library parses them.

At any depth, a field that the Exchange's class does not have is a 400. Scalars are coerced into
each other as Jackson does it. An array or an object in place of a scalar is a 400. A field's `kind`
is what it accepts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from agbot.sim.exchange.message import JSON_TYPE, Doc, PlainRefusal, Refusal, Request, bad_input

MAX_BODY_BYTES = 8 * 1024 * 1024
_ROUTE = "org.openhorizon.exchangeapi.route"


class Kind(StrEnum):
    """What a field accepts. `ANY` is JSON that the Exchange stores unchanged."""

    TEXT = "String"
    NUMBER = "long"
    FLAG = "boolean"
    TEXTS = "List[String]"
    MAP = "Map"
    LIST = "List"
    ANY = "Object"


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields that one class of the Exchange accepts.

    A nested shape stands for an object, or for a list of them.
    """

    name: str
    fields: Mapping[str, Kind | Shape]
    many: bool = False

    def list_of(self) -> Shape:
        """Return the shape of a list of these."""
        return Shape(self.name, self.fields, many=True)


def _wrong(value: object, wanted: str) -> Refusal:
    return bad_input(f"Cannot deserialize value of type `{wanted}` from {type(value).__name__} value")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise _wrong(value, "java.lang.String")


def _number(value: object) -> int:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise _wrong(value, "long")


def _flag(value: object) -> bool:
    if isinstance(value, bool | int):
        return bool(value)
    if value in ("true", "false"):
        return value == "true"
    raise _wrong(value, "boolean")


def _coerced(value: object, kind: Kind) -> object:
    match kind:
        case Kind.TEXT:
            return _text(value)
        case Kind.NUMBER:
            return _number(value)
        case Kind.FLAG:
            return _flag(value)
        case Kind.TEXTS if isinstance(value, list):
            return [None if item is None else _text(item) for item in value]
        case Kind.MAP if not isinstance(value, dict):
            raise _wrong(value, "Map")
        case Kind.LIST | Kind.TEXTS if not isinstance(value, list):
            raise _wrong(value, "List")
        case _:
            return value


def _shaped(value: object, shape: Shape) -> object:
    if shape.many:
        if not isinstance(value, list):
            raise _wrong(value, f"List[{shape.name}]")
        return [_object(item, shape) for item in value]
    return _object(value, shape)


def _object(value: object, shape: Shape) -> Doc:
    if not isinstance(value, dict):
        raise _wrong(value, shape.name)
    result: Doc = {}
    for name, item in value.items():
        wanted = shape.fields.get(name)
        if wanted is None:
            raise _unknown(name, shape)
        if item is not None:
            result[name] = _shaped(item, wanted) if isinstance(wanted, Shape) else _coerced(item, wanted)
        elif wanted is Kind.NUMBER:
            result[name] = 0
    return result


def _unknown(field: str, shape: Shape) -> Refusal:
    known = ", ".join(f'"{name}"' for name in shape.fields)
    return bad_input(
        f'Unrecognized field "{field}" (class {_ROUTE}.{shape.name}), not marked as ignorable '
        f"({len(shape.fields)} known properties: {known})\n at [Source: REDACTED]"
    )


def _constant(text: str) -> object:
    raise bad_input(f"Non-standard token '{text}'")


def read(request: Request, shape: Shape) -> Doc:
    """Parse and check a body; fields that are absent or null are absent from the result.

    Raises:
        PlainRefusal: there is no body (400), or the content type is not JSON (415). Both are plain
            text.
        Refusal: 400 for a body that is too large, is not JSON, or does not have this shape.
    """
    if not request.body:
        raise PlainRefusal(HTTPStatus.BAD_REQUEST, "Request entity expected but not supplied")
    media = request.header("Content-Type").partition(";")[0].strip().lower()
    if media != JSON_TYPE:
        text = f"The request's Content-Type [{media}] is not supported. Expected:\n{JSON_TYPE}"
        raise PlainRefusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
    if len(request.body) > MAX_BODY_BYTES:
        raise bad_input(
            f"EntityStreamSizeException: incoming entity size exceeded size limit ({MAX_BODY_BYTES} bytes)!"
        )
    try:
        value = json.loads(request.body, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise bad_input(f"Unexpected character or end of input: {error}") from error
    return _object(value, shape)
