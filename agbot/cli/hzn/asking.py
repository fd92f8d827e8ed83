"""Asking a person: `y` is yes, anything else leaves everything as it is, the end of input is no answer (as `hzn`, recorded)."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from agbot.cli import screen
from agbot.cli.failure import Exit, Failure


def warn(lines: Iterable[str]) -> None:
    """Write what a person should know before it happens, on standard error: standard output is for the outcome."""
    for line in lines:
        click.echo(f"agbot: warning: {screen.clean(line)}", err=True)


def is_person() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin.isatty()


def agrees(question: str) -> bool:
    """Ask, and tell whether the answer is yes.

    Raises:
        Failure: the input ended before an answer.
    """
    click.echo(f"{screen.clean(question)} [y/N]: ", nl=False)
    answer = sys.stdin.readline()
    if not answer:
        click.echo()
        raise Failure(
            Exit.BAD_INPUT,
            tried="asking before something is changed",
            problem="the input ended without an answer; nothing was changed",
            next_step="answer y, or say --force (for add: --yes) where nobody can answer",
        )
    if answer.strip() == "y":
        return True
    click.echo("Exiting; nothing was changed.")
    return False
