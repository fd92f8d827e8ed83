"""Options of several commands, each with the same meaning everywhere."""

from __future__ import annotations

import getpass
import math
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from agbot.cli.client import DEFAULT_TOKEN_FILE, DEFAULT_URL
from agbot.cli.failure import Exit, Failure
from agbot.cli.folding import folded


class Seconds(click.FloatRange):
    """A number of seconds. `nan` is none, although it is neither below nor above a bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - as in click
        """Return the number."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return found


as_json: Final = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
url: Final = click.option(
    "--url",
    envvar="AGBOT_URL",
    default=DEFAULT_URL,
    show_default=True,
    show_envvar=True,
    help="Address of the coordinator's operators' listener.",
)
watch: Final = click.option("-W", "--watch", is_flag=True, help="Refresh it until Ctrl-C.")
interval: Final = click.option(
    "--interval",
    type=Seconds(min=0.2, max=86_400),
    default=2.0,
    show_default=True,
    help="Seconds between two refreshes.",
)
token_file: Final = click.option(
    "--token-file",
    envvar="AGBOT_OPERATOR_TOKEN_FILE",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    show_envvar=True,
    help=f"File with the operator token.  [default: {DEFAULT_TOKEN_FILE}]",
)
"""The token itself is never an argument: every user of the machine can read those."""
org: Final = click.option(
    "-o", "--org", envvar="HZN_ORG_ID", show_envvar=True, help="Organisation of names given without one."
)
"""In every command, it completes names and does nothing else."""
reason: Final = click.option("--reason", required=True, help="The reason, for the journal.")
yes: Final = click.option("--yes", is_flag=True, help="Do not ask, for scripts.")


def qualified(name: str, org: str | None, noun: str) -> tuple[str, str]:
    """Split `org/name`, or complete a bare name with the organisation.

    Raises:
        click.UsageError: there is no organisation.
    """
    given, slash, bare = name.partition("/")
    if slash and given and bare:  # -o completes, and never moves a name to another organisation
        return given, bare
    if slash or not name or not org:
        raise click.UsageError(
            f"{name!r} does not name a {noun}: give org/name, or a name with -o ORG (or HZN_ORG_ID)."
        )
    return org, name


def qualified_name(name: str | None, org: str | None, noun: str) -> str | None:
    """Complete the bare name of an option with the organisation; None if it is not given.

    Raises:
        click.UsageError: there is no organisation.
    """
    return "/".join(qualified(name, org, noun)) if name is not None else None


def refuse_without(what: str, *names: str) -> None:
    """Refuse those of these options that are given: without `what` they have no effect.

    Raises:
        click.UsageError: one is given.
    """
    context = click.get_current_context()
    given = [name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        shown = " and ".join(f"--{name}" for name in given)
        raise click.UsageError(f"{shown} {'goes' if len(given) == 1 else 'go'} only with {what}.")


def is_person() -> bool:
    """Whether a person can answer."""
    return sys.stdin.isatty()


def confirm(effect: str, question: str, *, yes: bool) -> None:
    """State the effect and ask a person before something is done, unless `--yes` is given.

    Raises:
        Failure: there is no terminal.
        click.exceptions.Exit: the answer is no, or there is none.
    """
    try:
        agreed = agrees(effect, question, yes=yes)
    except click.Abort:
        agreed = False
    if not agreed:
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(1)


def agrees(effect: str, question: str, *, yes: bool) -> bool:
    """State the effect of something, and ask a person whether to do it; with `--yes` it is done.

    Raises:
        Failure: there is no terminal.
        click.Abort: there is no answer: Ctrl-C, or the end of the input.
    """
    if yes:
        return True
    if not is_person():
        raise Failure(
            Exit.USAGE,
            tried="to ask a person before anything is changed, but this is no terminal; nothing was changed",
            problem=effect,
            next_step="if that is what you want, give --yes",
        )
    try:
        return click.confirm(folded(f"{effect} {question}", sys.stderr), err=True)
    except click.Abort:
        click.echo(err=True)
        raise


def person() -> str:
    """Return the user's name for the journal: the user behind sudo, if there is one."""
    try:
        # the journal is to name a person, and with sudo everyone is root
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
