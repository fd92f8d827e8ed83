"""The rules of CONTRIBUTING.md that a linter does not know."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES = 350
FUNCTION_LINES = 60
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


@pytest.mark.parametrize("path", PRODUCT, ids=named)
def test_a_module_is_one_concern_and_says_which(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= MODULE_LINES
    assert {node.name: length(node) for node in functions if length(node) > FUNCTION_LINES} == {}
    assert path.stem not in BANNED_NAMES


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
def test_a_reason_is_told_from_none(comment: str, explained: bool, tmp_path: Path) -> None:
    path = tmp_path / "probe.py"
    path.write_text(f"x = 1  {comment}\n", encoding="utf-8")

    assert (unexplained(path) == []) is explained
