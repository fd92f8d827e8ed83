"""The documents: their links lead somewhere, the commands that they name exist, and their lines end by column 100."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TARGETS = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def named(path: Path) -> str:
    """Call a document by its path in the repository."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_inside_the_repository_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"]\((?!https?:|mailto:|#)([^)#\s]+)", document.read_text(encoding="utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_to_a_heading_leads_to_one(document: Path) -> None:
    links = re.findall(r"]\((?!https?:|mailto:)([^)#\s]*)#([^)\s]+)\)", document.read_text(encoding="utf-8"))
    targets = [(document.parent / path if path else document, anchor) for path, anchor in links]

    assert [(path.name, anchor) for path, anchor in targets if anchor not in anchors(path)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_make_command_in_the_documents_is_a_target(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    commands = re.findall(r"(?:^\s+|`|\$ )make ((?:[a-z]+ ?)+)(?=[`\s=#A-Z]|$)", text, flags=re.MULTILINE)

    assert {target for command in commands for target in command.split()} - TARGETS == set()


def test_the_page_for_contributors_names_every_make_target() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    assert {target for target in TARGETS if f"make {target}" not in text} == set()


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = (ROOT / "site" / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}

    assert pages - set(re.findall(r"- (?:[\w ]+: )?([\w-]+\.md)$", navigation, flags=re.MULTILINE)) == set()


def prose(document: Path) -> Iterator[str]:
    """Yield the lines that can be broken: not code, tables, headings, or a line that is one link."""
    is_code, after = False, ""
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
        indented = line.startswith("    ") and not after.strip()
        whole = re.fullmatch(r"\s*(?:[-*] )?(?:[|#].*|!?\[[^]]*]\([^)]*\))", line)
        if not (is_code or indented or whole):
            yield line
        # a line of indented code is followed by code, as an empty line is
        after = "" if indented else line


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_prose_ends_by_column_100(document: Path) -> None:
    assert [line for line in prose(document) if len(line) > 100] == []
