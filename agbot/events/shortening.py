"""Shortens text to a number of bytes, because a line of the log has a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MAX_FIELDS_BYTES: Final = 1_400
"""The most that the data of a line take at info and above."""
MAX_SENTENCE_BYTES: Final = 600
"""The most that the sentence of a line for people takes."""
_TEXT_BYTES: Final = (400, 110, 40)
"""What a text keeps in a line that is too long: the first of these with which the line fits."""
_MOST_LISTED: Final = 5
_OTHERS: Final = "and {} more"
_CUT: Final = "…"
_ESCAPED_BYTES: Final = 12
"""The most that one character takes in a line of JSON: two `\\uXXXX`."""


def shortened(text: str, most_bytes: int) -> str:
    """Return the text, or its beginning and `…`, with at most so many bytes in a JSON string."""
    if len(text) * _ESCAPED_BYTES <= most_bytes:
        return text  # nearly every text, without a look at its characters
    if bytes_in_json(text) <= most_bytes:
        return text
    left, end = most_bytes - len(_CUT.encode()), 0
    for character in text:
        left -= _bytes_of(character)
        if left < 0:
            break
        end += 1
    return text[:end] + _CUT


def bytes_in_json(text: str) -> int:
    """Return how many bytes a text takes at most in a JSON string."""
    return len(text) if _is_plain(text) else sum(map(_bytes_of, text))


def in_a_line(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the data of an event as they fit into a line, which is nearly always as they are.

    Otherwise long texts are cut, and of a list its beginning stays, with the number of the others.
    """
    brief: Any = fields
    for most_bytes in _TEXT_BYTES:
        if _size(brief) <= MAX_FIELDS_BYTES:
            break
        brief = {key: _brief(value, most_bytes) for key, value in fields.items()}
    return dict(brief)


def _size(value: object) -> int:
    """Return about how many bytes of JSON a value takes, at most."""
    match value:
        case str():
            return bytes_in_json(value) + 2
        case Mapping():
            return sum(_size(key) + _size(each) + 4 for key, each in value.items()) + 2
        case list() | tuple():
            return sum(_size(each) + 2 for each in value) + 2
        case _:
            return len(str(value))


def _brief(value: object, most_bytes: int) -> object:
    match value:
        case str():
            return shortened(value, most_bytes)
        case Mapping():
            first = list(value.items())[:_MOST_LISTED]
            others = {"…": _OTHERS.format(len(value) - _MOST_LISTED)} if len(value) > _MOST_LISTED else {}
            return {shortened(str(key), most_bytes): _brief(each, most_bytes) for key, each in first} | others
        case list() | tuple():
            left = [_brief(each, most_bytes) for each in value[:_MOST_LISTED]]
            return left + [_OTHERS.format(len(value) - _MOST_LISTED)] * (len(value) > _MOST_LISTED)
        case _:
            return value


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def _bytes_of(character: str) -> int:
    if not character.isprintable():
        # half of a surrogate pair is among these, and could not be encoded
        return _ESCAPED_BYTES
    return 2 if character in '"\\' else len(character.encode())
