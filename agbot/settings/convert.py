"""Converts values of TOML and of the environment to the types of the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Final

from agbot.rules.window import Window
from agbot.settings import windows

_BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_TOML_NAMES: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}

_LARGEST: Final = 10**15


class WrongTypeError(ValueError):
    """The value is not of the setting's type; the message names both."""


def from_toml(value: object, kind: object, folder: Path) -> object:
    """Convert a value of the file. A relative path is relative to `folder`, the file's own.

    Raises:
        WrongTypeError: it is of another type.
    """
    convert = _TOML.get(kind)
    if convert is None:
        raise TypeError(f"no conversion to {kind}")
    converted = convert(value)
    return folder / converted if isinstance(converted, Path) else converted


def from_text(text: str, kind: object, separator: str = ",") -> object:
    """Convert the value of an environment variable; `separator` separates the elements of a list.

    Raises:
        WrongTypeError: it cannot be parsed as the setting's type.
    """
    try:
        if kind is bool:
            return _BOOLEANS[text.lower()]
        if kind is int:
            return _small(int(text))
        if kind is float:
            return _finite(float(text))
    except (KeyError, ValueError) as error:
        raise WrongTypeError(f'"{text}" is not {expected(kind)}') from error
    if kind in (tuple[str, ...], tuple[Window, ...]):
        # a list in the environment may end with a separator, or have spaces around each
        parts = [part.strip() for part in text.split(separator) if part.strip()]
        return _TOML[kind](parts)
    return Path(text) if kind in (Path, Path | None) else text


def expected(kind: object) -> str:
    """Return what a setting of this type accepts."""
    return _EXPECTED.get(kind, str(kind))


def _finite(number: float) -> float:
    if not isfinite(number):
        raise WrongTypeError(f"{number} is not a finite number")
    return number


def _small(number: int) -> int:
    # a float cannot hold every whole number, and a check or a message would fail on it
    if abs(number) > _LARGEST:
        raise WrongTypeError(f"a number of more than {len(str(_LARGEST))} digits is not usable")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(value, str)
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value:
        raise _wrong(value, Path)
    return Path(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, bool)
    return value


def _whole(value: object) -> int:
    # `true` is an int to Python, and a mistake in a file
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, int)
    return _small(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, float)
    return _finite(float(_small(value) if isinstance(value, int) else value))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(value, tuple[str, ...])
    return tuple(value)


def _windows(value: object) -> tuple[Window, ...]:
    parsed, wrong = [], []
    if not isinstance(value, list):
        raise _wrong(value, tuple[Window, ...])
    for each in value:
        try:
            parsed.append(windows.parse(_text(each)))
        except (WrongTypeError, windows.WindowError) as error:
            wrong.append(str(error))
    if wrong:
        raise WrongTypeError("; ".join(wrong))
    return tuple(parsed)


def _wrong(value: object, kind: object) -> WrongTypeError:
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return WrongTypeError(f"{shown} is {_TOML_NAMES.get(type(value), 'a date or time')}, not {expected(kind)}")


_TOML: Final[Mapping[object, Callable[[object], object]]] = {
    str: _text,
    bool: _boolean,
    int: _whole,
    float: _number,
    Path: _path,
    Path | None: _path,
    tuple[str, ...]: _texts,
    tuple[Window, ...]: _windows,
}
_EXPECTED: Final[Mapping[object, str]] = {
    str: 'text, such as "…"',
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: 'the path of a file, such as "/…"',
    Path | None: 'the path of a file, such as "/…"',
    tuple[str, ...]: 'a list of texts, such as ["…"]',
    tuple[Window, ...]: windows.SHAPE,
}
