"""Where in a TOML file a key stands. `tomllib` does not say, and a mistake without its line is half a report.

A scan of lines, not a second parser: it is asked only about keys that `tomllib` has found, and answers None rather than a wrong line
it could know to be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*]\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_MULTILINE = re.compile("\"\"\"|'''")


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
            found.setdefault(section, number)
            continue
        if assigned := _ASSIGNMENT.match(line):
            name = _plain(assigned[1])
            found.setdefault(f"{section}.{name}" if section else name, number)
        closing = _left_open(line)
    return found


def _plain(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _left_open(line: str) -> str:
    """Return the quotes of a multi-line string that this line opens and does not close."""
    quotes = _MULTILINE.findall(line.partition("#")[0])
    return quotes[0] if len(quotes) % 2 else ""
