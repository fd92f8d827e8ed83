"""Failures of commands, and their exit codes.

Each states what was tried, what came back and what to do next; with `--json` as an object on
standard output.
"""

from __future__ import annotations

import errno
import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from agbot.cli.folding import folded
from agbot.foreign_text import escaped, escaped_json

if TYPE_CHECKING:
    from agbot.settings.secret import SecretError


REFUSED_BY_A_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""The numbers of errors that are about the disk, and not about a name or the rights to a file."""
FREE_SPACE: Final = "free space there, or write to another place"


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    BAD_INPUT = 1
    """A file, a value or a request is invalid."""
    USAGE = 2
    """The command line is invalid (`hagroup` exits with 1, as `hzn` does)."""
    BAD_JSON = 3
    """A file is not the JSON that is expected."""
    BAD_FILE = 4
    """A file cannot be read or written."""
    UNREACHABLE = 5
    """The coordinator, the Exchange or the database could not be reached, or its answer was an
    error."""
    NEEDS_A_PERSON = 6
    """`agbot status`: grants go on, but something fails or is stopped until a person acts."""
    REFUSED = 7
    """It was refused: no token, a wrong one or too few rights, or the state does not allow it. Or
    HZN_EXCHANGE_URL is not set."""
    NOT_FOUND = 8
    """A name is not known: of a group, node, policy, scope or coordinator. Or there is no guard."""
    NOTHING_GRANTED = 9
    """`agbot status`: the coordinator is not ready, or none leads: nothing is granted."""


def bad_secret(error: SecretError) -> Exit:
    """Return the exit code for a secret's file: it cannot be read, or has something else in it."""
    return Exit.BAD_FILE if isinstance(error.__cause__, OSError) else Exit.BAD_INPUT


class Failure(click.ClickException):
    """A command has failed."""

    def __init__(self, code: Exit, *, tried: str, problem: str, next_step: str) -> None:
        super().__init__(problem)
        self.exit_code = int(code)  # type: ignore[misc]  # click declares it for the class and reads it from the instance
        # When it is shown, the command's context is gone.
        context = click.get_current_context(silent=True)
        self._as_json = context is not None and bool(context.params.get("as_json"))
        self.tried = tried
        self.problem = problem
        self.next_step = next_step

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it on standard error, and with `--json` on standard output."""
        # on standard output, where a program reads the result: it gets JSON in either case
        if self._as_json:
            error = {"tried": self.tried, "problem": self.problem, "next": self.next_step, "exit_code": self.exit_code}
            click.echo(escaped_json(json.dumps({"error": error}, ensure_ascii=False, indent=2)))
            return
        out = file or sys.stderr
        click.echo(folded(f"agbot: {escaped(self.problem)}", out), file=out)
        click.echo(folded(f"  tried: {escaped(self.tried)}", out, indent=9), file=out)
        click.echo(folded(f"  next:  {escaped(self.next_step)}", out, indent=9), file=out)


def unwritable(file: Path, error: OSError, next_step: str) -> Failure:
    """Return that a file cannot be written; the next step is for other causes than a full disk."""
    return Failure(
        Exit.BAD_FILE,
        tried=f"writing {file}",
        problem=f"{file} cannot be written: {error.strerror}",
        next_step=FREE_SPACE if error.errno in REFUSED_BY_A_DISK else next_step,
    )
