"""Where in a TOML file a key stands. `tomllib` does not say, and a mistake without its line is half a report.

A scan of lines, not a second parser: it is asked only about keys that `tomllib` has found, and answers None rather than a wrong line
it could know to be wrong.
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
    """Return the line of every table header (`section`) and of every assignment (`section.key`), counted from 1."""
    found: dict[str, int] = {}
    section = ""
    closing = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        if header := _HEADER.match(line):
            section = _plain(header[1])
            # `[a.b]` is where `a` begins, when nothing of it stood before.
            found.setdefault(section.partition(".")[0], number)
            found.setdefault(section, number)
            continue
        if assigned := _ASSIGNMENT.match(line):
            name = _plain(assigned[1])
            found.setdefault(f"{section}.{name}" if section else name, number)
        closing = _left_open(line)
    return found


def dotted(*parts: str) -> str:
    """Write a name as TOML does: what is not a bare word stands in quotes, so that a dot inside a part separates nothing."""
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in parts)


def _plain(name: str) -> str:
    return dotted(*(part.strip("\"'") for part in re.findall(_PART, name)))


def _left_open(line: str) -> str:
    """Return the quotes of a multi-line string that this line opens and does not close."""
    quotes = _MULTILINE.findall(line.partition("#")[0])
    return quotes[0] if len(quotes) % 2 else ""
