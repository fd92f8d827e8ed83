"""Confirmations: `y` or `yes` in any case is yes, other answers are no.

The end of input is an error, as in `hzn`, which takes a small `y` alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from agbot.cli import screen
from agbot.cli.failure import Exit, Failure
from agbot.cli.folding import folded, say
from agbot.cli.hzn.session import Session


def warn(lines: Iterable[str]) -> None:
    """Print warnings on standard error; standard output is for the result."""
    for line in lines:
        say(f"agbot: warning: {screen.clean(line)}", err=True)


def declines(question: str, session: Session, *, is_forced: bool) -> bool:
    """Ask, unless nothing would be changed or `--force` is given; return whether the answer is no.

    Raises:
        Failure: the input ended before an answer.
    """
    return not is_forced and not session.is_dry and not agrees(question)


def agrees(question: str) -> bool:
    """Ask, and return whether the answer is yes.

    Raises:
        Failure: the input ended before an answer.
    """
    click.echo(folded(f"{screen.clean(question)} [y/N]:", sys.stdout) + " ", nl=False)
    # not click.confirm: it asks again after any other answer, and at the end of input only aborts
    answer = sys.stdin.readline()
    if not answer:
        click.echo()
        raise Failure(
            Exit.BAD_INPUT,
            tried="asking for confirmation",
            problem="the input ended without an answer; nothing has changed",
            next_step="answer y, or use --force (for add: --yes) in scripts",
        )
    if answer.strip().casefold() in {"y", "yes"}:
        return True
    click.echo("Exiting; nothing has changed.")
    return False
