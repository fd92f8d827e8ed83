"""All events by name, in the order of `docs/events.md`, and the reading of rows of the journal.

`python -m agbot.events.catalogue` prints the table of that page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final

import msgspec

from agbot.events import (
    agreementbot,
    busy,
    deferrals,
    delivering,
    exchange,
    guard,
    leadership,
    leases,
    listeners,
    operators,
    outcomes,
    process,
    rollouts,
    shadow,
    store,
    waits,
)
from agbot.events.event import Event, Level, Unread

_MODULES: Final = (
    leases,
    outcomes,
    waits,
    rollouts,
    deferrals,
    operators,
    busy,
    agreementbot,
    guard,
    shadow,
    exchange,
    store,
    leadership,
    delivering,
    process,
    listeners,
)

_HEAD: Final = "| event | level | journal | meaning |\n|---|---|---|---|\n"


def _named_in(module: ModuleType) -> Iterable[type[Event]]:
    """Return the events that a module defines, in its order; base classes have no name."""
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Event) and value.__module__ == module.__name__ and value.name:
            yield value


EVENTS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {each.name: each for module in _MODULES for each in _named_in(module)}
)


def read(name: str, columns: Mapping[str, Any], facts: Mapping[str, object]) -> Event | Unread:
    """Read a row of the journal, which another version of the program may have written."""
    kind = EVENTS.get(name)
    if kind is not None:
        try:
            return msgspec.convert({**facts, **columns}, kind)
        except msgspec.ValidationError:
            # a field has another type in the version that wrote it: shown like an unknown event
            pass
    level = kind.level if kind is not None else Level.INFO
    return Unread(name=name, columns=columns, facts=facts, level=level)


def table() -> str:
    """Return the table as it is on the page, which a test compares."""
    return _HEAD + "".join(
        f"| `{name}` | {event.level} | {'yes' if event.is_journalled else ''} | {event.meaning()} |\n"
        for name, event in EVENTS.items()
    )


if __name__ == "__main__":
    sys.stdout.write(table())
