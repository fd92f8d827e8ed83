"""The lines of the keys of a TOML file, which `tomllib` does not give.

This is a scan of lines, not a second parser: it is used only for keys that `tomllib` has found, and
has no line for a key rather than a wrong one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_PART = r"(?:[\w-]+|\"[^\"]*\"|'[^']*')"
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[{{1,2}}\s*({_NAME})\s*]{{1,2}}\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"\s*({_NAME})\s*=")
_MULTILINE = re.compile("\"\"\"|'''")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def lines(text: str) -> Mapping[str, int]:
    """Return the line, from 1, of every table (`section`) and assignment (`section.key`)."""
    found: dict[str, int] = {}
    section: tuple[str, ...] = ()
    closing = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        if header := _HEADER.match(line):
            section = _parts(header[1])
            _note(found, section, number)
            continue
        if assigned := _ASSIGNMENT.match(line):
            _note(found, (*section, *_parts(assigned[1])), number)
        closing = _left_open(line)
    return found


def dotted(*parts: str) -> str:
    """Write a dotted key as TOML does: a part that is not a bare key is quoted."""
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in parts)


def renamed(found: Mapping[str, int], table: str, to: str) -> Mapping[str, int]:
    """Return the lines of a table and its keys as those of another one."""
    return {to + key[len(table) :]: line for key, line in found.items() if key == table or key.startswith(f"{table}.")}


def _note(found: dict[str, int], parts: tuple[str, ...], number: int) -> None:
    """`a.b` is the line of `a` too, unless `a` came before."""
    for end in range(1, len(parts) + 1):
        found.setdefault(dotted(*parts[:end]), number)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, name))


def _left_open(line: str) -> str:
    """Return the quotes of a multi-line string that this line leaves open, or nothing."""
    # a `#` within a string cuts it too early, which matters to no setting: none is a long text
    quotes = _MULTILINE.findall(line.partition("#")[0])
    return quotes[0] if len(quotes) % 2 else ""
