"""Sentences on a terminal: a line is broken between words only. A pipe gets it whole.

`screen` does that with styles, and for standard output alone; this is for what has to start fast.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import IO, Any, Final

import click

_FEWEST_COLUMNS: Final = 24


def folded(text: str, out: IO[Any], *, indent: int = 2) -> str:
    """Return a text as this stream shows it; its further lines begin at `indent`."""
    if not out.isatty():  # a program looks for a sentence in one line
        return text
    columns = max(shutil.get_terminal_size().columns, _FEWEST_COLUMNS)
    rest = " " * indent
    lines = text.split("\n")
    return "\n".join(
        textwrap.fill(line, columns, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)
        for line in lines
    )


def say(text: str, *, err: bool = False, indent: int = 2) -> None:
    """Print a sentence."""
    click.echo(folded(text, sys.stderr if err else sys.stdout, indent=indent), err=err)
