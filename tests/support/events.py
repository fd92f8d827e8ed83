"""An example of each event, with every field filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from agbot.events.event import Event

_BY_NAME: Final[dict[str, Any]] = {"kind": "agent", "cause": "failed", "who": "ada@hub"}
_BY_TYPE: Final[dict[str, Any]] = {
    "ReasonGiven": [{"code": "brake", "text": "it failed on o1/anna"}],
    "SettingChanged": [{"setting": "rules.min_available", "old": "1", "new": "2"}],
    "tuple[Mapping": [{"rule": "brake"}],
    "tuple[int": [5, 6],
    "tuple[str": ["2.31.0"],
    "Mapping": {"o1/carl": "o1/agent"},
    "datetime": "2026-03-04T05:06:07.890Z",
    "bool": True,
    "float": 5.5,
    "int": 5,
    "str": "o1/example",
}
"""By a part of the type's name, the first that fits."""


def example_of(event: type[Event], *, long: Mapping[str, str] = {}, repeat: int = 1) -> Event:
    """Fill every field of an event by its name or its type.

    With `long`, texts and names are as given there, and with `repeat` lists have so many elements.
    """
    fields = {each.name: _value(each.name, each.type) for each in msgspec.structs.fields(event)}
    return msgspec.convert({name: _longer(name, value, long, repeat) for name, value in fields.items()}, event)


def _longer(name: str, value: object, long: Mapping[str, str], repeat: int) -> object:
    match value:
        case str() if name in long:
            return long[name]
        case str() if value.startswith("o1/"):
            return long.get("str", value)
        case list() if repeat > 1:
            return [_longer("", each, long, 1) for each in value * repeat]
        case dict() if repeat > 1:
            return {f"{key}{number}": each for key, each in value.items() for number in range(repeat)}
        case _:
            return value


def _value(name: str, kind: object) -> object:
    if name in _BY_NAME:
        return _BY_NAME[name]
    written = str(kind).replace("collections.abc.", "").replace("typing.", "").replace("agbot.rules.ids.", "")
    return next((value for part, value in _BY_TYPE.items() if part in written), f"o1/{name}")
