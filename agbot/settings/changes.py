"""What differs between two readings of the settings, for the log. Pure.

No secret is among the settings; a webhook's address is shown without its path, which often is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from agbot.settings import document, scopes
from agbot.settings.model import Settings

_HIDES_PATHS: Final = "webhook.urls"
_NOT_SET: Final = "unset"
ALWAYS_OPEN: Final = "always open"
"""What no maintenance window, `windows = []`, amounts to."""


def changes(old: Settings, new: Settings) -> Mapping[str, tuple[str, str]]:
    """Return by `section.key` the old and the new value of each setting that differs."""
    before, now = dict(_written(old)), dict(_written(new))
    # the order of the model, and then the scopes that are new: a set would shuffle the log line
    keys = [*before, *(key for key in now if key not in before)]
    both = {key: (before.get(key, _NOT_SET), now.get(key, _NOT_SET)) for key in keys}
    return {key: values for key, values in both.items() if values[0] != values[1]}


def _written(settings: Settings) -> Iterator[tuple[str, str]]:
    for section in document.sections().values():
        for key in section.keys.values():
            value = getattr(getattr(settings, section.name), key.name)
            yield key.path, _shown(key.name, map(_without_path, value) if key.path == _HIDES_PATHS else value)
    for scope in settings.scopes:
        for name, value in scope.values.items():
            yield f"{scopes.table_of(scope)}.{name}", _shown(name, value)


def _shown(name: str, value: object) -> str:
    return ALWAYS_OPEN if name == "windows" and not value else _text(value)


def _text(value: object) -> str:
    match value:
        case None | "" | ():
            return _NOT_SET
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple() | map():
            return ", ".join(map(_text, value)) or _NOT_SET
        case _:
            return str(value)


def _without_path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/…" if parts.path.strip("/") else url
