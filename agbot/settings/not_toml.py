"""What is wrong with a file that is not TOML, and in which line.

`tomllib` names the place where it could not go on. That may be the end of the file, where the
mistake is a bracket or quote that was never closed: the line to correct is where that began.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Final

from agbot.settings import globs, model, places
from agbot.settings.problems import Problem

ERRORS: Final = (ValueError, RecursionError)
"""What `tomllib` raises: also Python's own errors, for thousands of digits or brackets."""
_AT: Final = re.compile(r" \(at (?:line (\d+), column \d+|(end of document))\)$")
_OPEN_STRING: Final = "Illegal character '\\n'"
"""How `tomllib` reports a string that the end of its line cuts off."""


def problem(path: Path, text: str, error: Exception) -> Problem:
    """Return the problem, at the line in which what cannot be read begins."""
    at = _AT.search(str(error))
    stated = str(error)[: at.start()] if at else str(error)
    if not isinstance(error, tomllib.TOMLDecodeError):
        stated = "it is nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"
    line = _begin(text, int(at[1]) if at and at[1] else None)
    lower = f"{stated[:1].lower()}{stated[1:]}"
    has_more = bool("\n".join(text.split("\n")[line:]).strip())
    what = "a string is not closed" if stated == _OPEN_STRING else lower
    if has_more and not (at and at[1] == str(line)):
        until = f"in line {at[1]}" if at and at[1] else "at the end of the file"
        what = f"what begins here is not complete {until}: {lower}"
    is_scope = text.split("\n")[line - 1].lstrip().startswith(f"[{model.SCOPE}.")
    return Problem(
        key="",
        file=str(path),
        line=line,
        problem=_twice(text, stated) or f"this is not TOML: {what}",
        expected=f"a name in quotes: {globs.SHAPE}" if is_scope else "",
    )


def _begin(text: str, noticed: int | None) -> int:
    """Return the line after the longest beginning of the file that is TOML."""
    lines = text.split("\n")
    # from the end: an open string or bracket is noticed far behind the line in which it began
    for number in range(min(noticed or len(lines), len(lines)), 1, -1):
        try:
            tomllib.loads("\n".join(lines[: number - 1]))
        except ERRORS:
            continue
        return number
    return 1


def _twice(text: str, stated: str) -> str:
    """Name the section that the file has twice; empty if the error is another one."""
    found = re.match(r"Cannot declare (\(.*\)) twice", stated)
    if found is None:
        return ""
    section = places.dotted(*ast.literal_eval(found[1]))
    first = places.lines(text).get(section)
    return (
        f"[{section}] is here a second time{f', first in line {first}' if first else ''}: write its keys in one section"
    )
