"""The commands in the documents: each is one that this version takes, with options that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agbot.cli.failure import Exit
from tests.support.command_lines import refused

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


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


def test_the_exit_codes_of_the_commands_are_those_of_the_table() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    table = text.partition("## Exit codes")[2].partition("\n\n`")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)] == sorted(Exit)


def test_the_documents_have_commands_to_check() -> None:
    assert sum(len(list(in_code(document))) for document in DOCUMENTS) > 50
    assert sum(len(list(in_prose(document))) for document in DOCUMENTS) > 100
