"""The commands in the documents: each is one that this version takes, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agbot.cli.main import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_ENDS = {"|", ">", ">>", "2>", "2>>", "<", "&", "&&", "||", ";", "#", ";do", "do"}


def in_code(document: Path) -> Iterator[str]:
    """Yield each command line of `agbot` in the code blocks of a document."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^ {4,}(.*)$", text, flags=re.MULTILINE):
        if typed := re.match(r"(?:until |AGBOT_URL=\S+ |\S*bin/)*agbot ([a-z].*)", line.lstrip()):
            yield typed[1]


def in_prose(document: Path) -> Iterator[str]:
    """Yield each command that the text names, perhaps without its arguments, as in `agbot explain`."""
    text = document.read_text(encoding="utf-8")
    for command in re.findall(r"`agbot ([a-z][^`\n]*)`", text):
        yield re.sub(r"[\[\]…]|\\\|.*", "", command)


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_code_of_the_documents_can_be_typed(document: Path) -> None:
    assert [why for each in in_code(document) if (why := refused(each))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_the_text_names_exists_with_its_options(document: Path) -> None:
    found = [why for each in in_prose(document) if (why := refused(each))]

    assert [why for why in found if "no command" in why or "No such option" in why] == []


def test_a_command_that_cannot_be_typed_is_found() -> None:
    assert refused("statuss o1/g1") == "statuss o1/g1: no command statuss"
    assert "No such option" in refused("status --follow")
    assert "Missing" in refused("explain")
    assert refused("status o1/g1 --watch | head") == ""


def test_the_documents_have_commands_to_check() -> None:
    assert sum(len(list(in_code(document))) for document in DOCUMENTS) > 50
    assert sum(len(list(in_prose(document))) for document in DOCUMENTS) > 100
