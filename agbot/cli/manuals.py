"""Man pages and shell completion, both made from the commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from click.shell_completion import ShellComplete, get_completion_class

from agbot import __version__

_MAN: Final = Path("usr/local/share/man/man1")
_COMPLETIONS: Final = {
    "bash": Path("usr/local/share/bash-completion/completions/agbot"),
    "zsh": Path("usr/local/share/zsh/site-functions/_agbot"),
    "fish": Path("usr/local/share/fish/vendor_completions.d/agbot.fish"),
}
"""Where the shells of Debian look for what is not part of a package."""


def files(main: click.Group) -> Iterator[tuple[Path, bytes]]:
    """Yield the path below the root and the content of each man page and completion script."""
    for context in commands(click.Context(main, info_name="agbot", **main.context_settings)):
        yield _MAN / f"{context.command_path.replace(' ', '-')}.1", man_page(context).encode()
    for shell, path in _COMPLETIONS.items():
        yield path, completion(main, shell).encode()


def commands(context: click.Context) -> Iterator[click.Context]:
    """Yield this command and all below it that are not hidden."""
    yield context
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield from commands(click.Context(command, info_name=name, parent=context))


def completion(main: click.Group, shell: str) -> str:
    """Return the completion script of a shell: `bash`, `zsh` or `fish`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"click has no completion for {shell}")
    # That of bash would start a bash to ask for its version.
    return ShellComplete.source(kind(main, {}, "agbot", "_AGBOT_COMPLETE"))


def man_page(context: click.Context) -> str:
    """Return the man page of a command, in the macros of man(7)."""
    command, title = context.command, context.command_path.replace(" ", "-")
    summary = command.get_short_help_str(200).rstrip(".")
    lines = [
        f'.TH "{title.upper()}" "1" "" "agbot {__version__}" "Open Horizon upgrade coordinator"',
        ".SH NAME",
        rf"{_text(title)} \- {_text(summary)}",
        ".SH SYNOPSIS",
        rf"\fB{_text(context.command_path)}\fR {_text(' '.join(command.collect_usage_pieces(context)))}",
        ".SH DESCRIPTION",
        *_paragraphs(inspect.cleandoc(command.help or "")),
        *_options(context),
        *_commands(context),
        *_exits(context),
    ]
    return "\n".join(lines) + "\n"


def _options(context: click.Context) -> Iterator[str]:
    options = [each for each in context.command.get_params(context) if isinstance(each, click.Option)]
    records = [each.get_help_record(context) for each in options]
    if any(records):
        yield ".SH OPTIONS"
    for name, text in filter(None, records):
        yield from (".TP", rf"\fB{_text(name)}\fR", _text(text))


def _commands(context: click.Context) -> Iterator[str]:
    below = [each for each in commands(context) if each.parent is context]
    if below:
        yield ".SH COMMANDS"
    for each in below:
        page = each.command_path.replace(" ", "-")
        yield from (".TP", rf"\fB{_text(page)}\fR(1)", _text(each.command.get_short_help_str(200)))


def _exits(context: click.Context) -> Iterator[str]:
    epilog = context.find_root().command.epilog
    if epilog:
        yield ".SH EXIT STATUS"
        yield from _paragraphs(epilog.removeprefix("Exit codes: "))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b"):  # click's mark of a paragraph whose lines stay as they are
            yield from (".nf", *map(_text, paragraph.splitlines()[1:]), ".fi")
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """Escape what roff would read as a macro, a hyphen or an escape."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
