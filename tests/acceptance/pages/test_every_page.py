"""Every page whose commands can be run has a test that runs them, and what no test runs is named with its reason."""

from __future__ import annotations

import re
from pathlib import Path

from tests.acceptance.pages.commands import PAGES, PARSED_ONLY, ROOT, WALKED_ELSEWHERE, commands, written

TESTS = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))


def test_every_page_with_commands_has_a_test_that_types_them() -> None:
    walked = set(re.findall(r'walking\(\s*machine, "([\w./-]+)"', TESTS))

    assert {page for page in PAGES if commands(page)} == walked | set(WALKED_ELSEWHERE)


def test_a_page_that_is_typed_as_one_script_is_named_by_the_test_that_does_so() -> None:
    missing = [
        page for page, test in WALKED_ELSEWHERE.items() if Path(page).name not in (ROOT / test).read_text("utf-8")
    ]

    assert missing == []


def test_what_is_not_run_is_a_command_of_some_page() -> None:
    assert set(PARSED_ONLY) - {command for page in PAGES for command in written(page)} == set()
