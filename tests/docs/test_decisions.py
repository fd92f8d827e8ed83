"""The pages under `docs/decisions/`: each has a number of its own, in its title and in the list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
PAGES = sorted(_FOLDER.glob("[0-9]*.md"))


def test_no_two_decisions_have_the_same_number() -> None:
    numbers = Counter(page.name[:4] for page in PAGES)

    assert [number for number, count in numbers.items() if count > 1] == []


def test_the_list_is_in_the_order_of_the_numbers_and_names_no_page_twice() -> None:
    lines = (_FOLDER / "README.md").read_text("utf-8").splitlines()
    listed = [line.partition("](")[2].removesuffix(")") for line in lines if line.startswith("- [")]

    assert listed == [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_decision_says_its_number_in_its_title_and_stands_in_the_list(page: Path) -> None:
    title = page.read_text("utf-8").splitlines()[0]

    assert title.startswith(f"# {int(page.name[:4])}. ")
    assert f"- [{title.removeprefix('# ')}]({page.name})" in (_FOLDER / "README.md").read_text("utf-8").splitlines()
