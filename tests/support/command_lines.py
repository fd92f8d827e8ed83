"""What the command line takes, looked up and not run."""

from __future__ import annotations

import shlex

import click

from agbot.cli.main import main

_ENDS = {"|", ">", ">>", "2>", "2>>", "<", "&", "&&", "||", ";", "#", ";do", "do"}


def words(command: str) -> list[str]:
    """Split a command as a shell does, up to a pipe, a redirection or a comment."""
    found: list[str] = []
    for word in shlex.split(command, comments=True):
        if word in _ENDS:
            break
        found.append(word.removesuffix(";"))
        if word.endswith(";"):
            break
    return found


def refused(command: str) -> str:
    """Return why the command line does not take this; an empty text if it does. Nothing is run."""
    left = words(command)
    found: click.Command = main
    context = click.Context(main, info_name="agbot")
    while isinstance(found, click.Group) and left and not left[0].startswith("-"):
        name = left.pop(0)
        below = found.get_command(context, name)
        if below is None:
            return f"{command}: no command {name}"
        context, found = click.Context(below, info_name=name, parent=context), below
    try:
        if not isinstance(found, click.Group):
            found.make_context(context.info_name, left, parent=context.parent)
    except click.exceptions.Exit:
        return ""  # --help
    except click.BadParameter as error:
        # A value in the documents may stand for another: FILE, N, or a file that is not here.
        return f"{command}: {error.format_message()}" if isinstance(error, click.MissingParameter) else ""
    except click.UsageError as error:
        return f"{command}: {error.format_message()}"
    return ""
