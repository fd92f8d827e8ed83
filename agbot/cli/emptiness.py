"""An empty value on the command line is refused, for all commands at one place.

It usually comes from a variable of a script that is not set. As the value of an option it would
mean that the option is not given (a hold without an end), and as a path the current folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from agbot.cli.failure import Exit

_AS_IN_HZN: Final = frozenset({"hagroup", "hagr", "node", "nmp", "version"})
"""Their exit code for wrong usage is 1."""


def refuse_empty(words: Sequence[str]) -> None:
    """Refuse a command line with an empty word, or an option with an empty value.

    Raises:
        click.UsageError: it has one.
    """
    for before, word in zip(["", *words], words, strict=False):
        option, equals, value = word.partition("=")
        if word.startswith("--") and equals and not value.strip():
            raise _refusal(f"The value of {option} is empty.", words)
        if not word.strip():
            is_of_option = before.startswith("-") and "=" not in before and before != "--"
            raise _refusal(f"{f'The word after {before}' if is_of_option else 'An argument'} is empty.", words)


def _refusal(problem: str, words: Sequence[str]) -> click.UsageError:
    error = click.UsageError(f"{problem} Give a value, or leave it out; is a variable of the shell not set?")
    if words[0] in _AS_IN_HZN:
        error.exit_code = int(Exit.BAD_INPUT)  # type: ignore[misc]  # click reads it from the instance
    return error
