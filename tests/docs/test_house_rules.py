"""The rules of CONTRIBUTING.md that a linter does not know."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LONG

ROOT = Path(__file__).parents[2]
MODULE_LINES = 300
TEST_LINES = 500
"""A file of tests may have more lines than a module: most of them are cases."""
FUNCTION_LINES = 40
BANNED_NAMES = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}
PRODUCT = sorted(path for folder in ("agbot", "bench") for path in (ROOT / folder).rglob("*.py"))
CODE = PRODUCT + sorted((ROOT / "tests").rglob("*.py"))
# An exception names its rule and is followed by the reason; a bare one hides what it is for.
EXCEPTION = re.compile(
    r"#\s*(?:noqa\b(?P<noqa>:\s*[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*)?|type:\s*ignore(?P<ignore>\[[^]]+])?)"
)
REASON = re.compile(r"[\s#:-]*\w+\W+\w+")


def named(path: Path) -> str:
    """Call a file by its path in the repository."""
    return path.relative_to(ROOT).as_posix()


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its decorators and docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return whole
    docstring = function.body[0]
    return whole - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def unexplained(path: Path) -> list[str]:
    """Find the comments that switch a check off without naming the rule and the reason."""
    if not EXCEPTION.search(path.read_text(encoding="utf-8")):
        return []
    found = []
    with path.open("rb") as source:
        comments = [token for token in tokenize.tokenize(source.readline) if token.type == tokenize.COMMENT]
    for comment in comments:
        exceptions = list(EXCEPTION.finditer(comment.string))
        if not exceptions:
            continue
        ruled = all(exception["noqa"] or exception["ignore"] for exception in exceptions)
        if not ruled or not REASON.match(comment.string[exceptions[-1].end() :]):
            found.append(f"{path}:{comment.start[0]}: {comment.string}")
    return found


def problems(path: Path) -> Iterator[str]:
    """Find what makes a module more than one concern, or does not say which it is."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if not ast.get_docstring(tree):
        yield f"{named(path)} has no docstring"
    if (lines := len(text.splitlines())) > MODULE_LINES:
        yield f"{named(path)} has {lines} lines"
    if path.stem in BANNED_NAMES:
        yield f"{named(path)} is not named after a concern"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > FUNCTION_LINES:
            yield f"{named(path)}: {node.name} has {length(node)} lines"


def test_a_file_of_tests_is_about_one_subject() -> None:
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}

    assert {name: number for name, number in lines.items() if number > TEST_LINES} == {}


def test_a_module_is_one_concern_and_says_which() -> None:
    assert [problem for path in PRODUCT for problem in problems(path)] == []


def test_whoever_switches_a_check_off_names_the_rule_and_the_reason() -> None:
    assert [line for path in CODE for line in unexplained(path)] == []


@pytest.mark.parametrize(
    ("comment", "explained"),
    [
        ("# noqa: S105 - a made-up secret", True),
        ("# type: ignore[attr-defined]  # the library has no stubs", True),
        ("# type: ignore[arg-type]  # noqa: S105 - both, for one reason", True),
        ("# noqa: S105", False),
        ("# noqa", False),
        ("# type: ignore", False),
        ("# type: ignore[attr-defined]", False),
        ("# type: ignore  # says why but not what", False),
    ],
)
def test_a_reason_is_reported_from_none(comment: str, explained: bool, tmp_path: Path) -> None:
    path = tmp_path / "probe.py"
    path.write_text(f"x = 1  {comment}\n", encoding="utf-8")

    assert (unexplained(path) == []) is explained


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 failed"), ("", "1 skipped")])
def test_in_continuous_integration_a_skipped_test_has_failed(ci: str, outcome: str, tmp_path: Path) -> None:
    probe = tmp_path / "test_probe.py"
    probe.write_text("import pytest\n\ndef test_probe():\n    pytest.skip('no broker')\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]

    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", "-c", str(ROOT / "pyproject.toml"), str(probe)],
        cwd=ROOT,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome in done.stdout, done.stdout + done.stderr
    assert "no broker" in done.stdout


@pytest.mark.parametrize("name", LONG)
def test_a_file_with_which_the_tests_begin_is_there(name: str) -> None:
    assert (ROOT / "tests" / name).is_file()
