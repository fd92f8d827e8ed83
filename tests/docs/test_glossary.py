"""The words that the glossary drops do not come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
SUFFIXES = {".py", ".md", ".toml", ".service"}
PLACES = ("agbot", "bench", "config", "docs", "systemd", "README.md", "CONTRIBUTING.md")
"""Where the words do not occur."""


def dropped() -> list[str]:
    """Return the words of the second table, without those in plain text: these have other, good meanings."""
    table = GLOSSARY.read_text(encoding="utf-8").partition("## Words that are not used")[2]
    rows = re.findall(r"^\| (`.+?`) \|", table, flags=re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`(.+?)`", row)]


def uses(path: Path) -> list[str]:
    """Return each use of a dropped word, also as a part of a name in code."""
    word = re.compile(
        rf"(?<![A-Za-z])({'|'.join(each.replace(' ', '[ _]') for each in dropped())})(?![a-z])", re.IGNORECASE
    )
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    return [f"{path.relative_to(ROOT)}:{number}: {line.strip()}" for number, line in lines if word.search(line)]


def files(place: str) -> list[Path]:
    """Return the text files of a place, without the glossary itself."""
    path = ROOT / place
    found = [path] if path.is_file() else [each for each in path.rglob("*") if each.suffix in SUFFIXES]
    return sorted(each for each in found if each != GLOSSARY)


def test_the_glossary_names_the_words_that_it_drops() -> None:
    assert {"anew", "for ever", "nobody", "told"} <= set(dropped())


@pytest.mark.parametrize("place", PLACES)
def test_no_dropped_word_is_used(place: str) -> None:
    found = files(place)

    assert found
    assert [use for path in found for use in uses(path)] == []
