"""Waits out a coordinator that does not answer, for commands that ask more than once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import click

from agbot.cli.failure import Exit, Failure
from agbot.foreign_text import escaped

PASSING: Final = frozenset({Exit.UNREACHABLE, Exit.REFUSED})
"""What may be over by itself. A coordinator that stands by refuses for the seconds in which none
leads."""
_AGAIN_SECONDS: Final = 2.0

Answer = TypeVar("Answer")


def waited_out(ask: Callable[[], Answer]) -> Answer:
    """Return the answer.

    While there is none, state that once and ask again. Standard error has it, so that standard
    output has nothing but answers.

    Raises:
        Failure: one that waiting does not end.
    """
    is_lost = False
    while True:
        try:
            found = ask()
        except Failure as failure:
            if failure.exit_code not in PASSING:
                raise
            if not is_lost:
                click.echo(f"agbot: {escaped(failure.problem)}; trying again", err=True)
            is_lost = True
            time.sleep(_AGAIN_SECONDS)
        else:
            if is_lost:
                click.echo("agbot: the coordinator answers again", err=True)
            return found
