"""The table of faults names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert named
    assert named - set(re.findall(r"^(?:async )?def (test_\w+)", code, flags=re.MULTILINE)) == set()


def test_every_fault_has_what_users_see_what_the_log_says_and_a_test() -> None:
    lines = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("|").split(" | ") for line in lines if line.startswith("|")][2:]

    assert [row for row in rows if len(row) != 4 or "`test_" not in row[-1] or not all(map(str.strip, row))] == []
