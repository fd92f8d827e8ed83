"""Keys that are in no section, or in another one than theirs: the sections below which they go."""

from __future__ import annotations

from typing import Final

from agbot.rules.nearest import nearest
from agbot.settings import document

LIKE: Final = 0.5
"""Sections and keys are few and differ much: a name with several mistakes is recognised too."""


def above_all(name: str) -> tuple[str, str, str] | None:
    """Return what is wrong with a key above all sections, what is expected, and which key is meant.

    None if it is like no key.
    """
    keys = {key: None for section in document.sections().values() for key in section.keys}
    meant = name if name in keys else nearest(name, keys, like=LIKE)
    if not meant:
        return None
    problem = f'the key "{name}" is above all sections'
    if meant != name:
        problem = f'there is no key "{name}" and it is above all sections; did you mean "{meant}"?'
    return problem, f"move it below {_listed(meant)}", _first(meant)


def elsewhere(section: str, name: str) -> tuple[str, str, str] | None:
    """Return the same of a key that is in another section than its own; None if it is not."""
    # a near key of the section itself is meant first: it is mistyped, and not misplaced
    if nearest(name, document.sections()[section].keys) or not _homes(name):
        return None
    return f'[{section}] has no key "{name}"', f"move it below {_listed(name)}", _first(name)


def _homes(name: str) -> list[str]:
    return [section.name for section in document.sections().values() if name in section.keys]


def _listed(name: str) -> str:
    return " or ".join(f"[{each}]" for each in _homes(name))


def _first(name: str) -> str:
    return f"{_homes(name)[0]}.{name}"
