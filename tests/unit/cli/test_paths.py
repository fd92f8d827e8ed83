"""Files that a command is given."""

from __future__ import annotations

from collections.abc import Iterator

import click

from agbot.cli.main import main


def paths(command: click.Command, name: str) -> Iterator[tuple[str, click.Path[object]]]:
    """Yield each argument and option that is a file, with the words that lead to it."""
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            yield f"{name} {parameter.name}", parameter.type
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            if (found := command.get_command(context, word)) is not None:
                yield from paths(found, f"{name} {word}")


def test_a_file_that_this_user_may_not_read_is_left_to_the_command_which_says_what_to_do() -> None:
    """Click would call it wrong usage (2): a file that cannot be read is 4, and `sudo` may help."""
    found = dict(paths(main, "agbot"))

    assert "agbot hold token_file" in found
    assert [name for name, kind in found.items() if kind.readable] == []
