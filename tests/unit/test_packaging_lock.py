"""The lock files: everything exact and hashed, nothing that ties it to one index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = "".join((ROOT / "requirements" / name).read_text(encoding="utf-8") for name in ("lock.txt", "docs.txt"))
"""Both files: what runs and tests the product, and what builds the documentation's site."""
ENTRIES = [entry for entry in re.split(r"\n(?=\S)", LOCK.strip()) if entry]
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][0-9a-z.]*)(?: ; (?P<marker>[^\\]+?))? \\\n")
HASHES = re.compile(r"(?:    --hash=sha256:[0-9a-f]{64}(?: \\\n|$))+")


def wanted_names() -> set[str]:
    """Give the distributions that pyproject.toml asks for, in every group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for group in (*project["dependency-groups"].values(), *project["project"]["optional-dependencies"].values()):
        lines += group
    return {re.split(r"[<>=!~;\[ ]", line)[0] for line in lines}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.split("==")[0])
def test_every_entry_is_an_exact_version_followed_by_hashes_alone(entry: str) -> None:
    pin = PIN.match(entry)

    assert pin is not None
    assert HASHES.fullmatch(entry[pin.end() :])


def test_the_lock_names_no_index_and_no_address() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|--index|--extra-index|--find-links|--trusted-host|#)", LOCK, flags=re.MULTILINE)


def test_whatever_the_project_asks_for_is_locked() -> None:
    locked = {entry.split("==")[0] for entry in ENTRIES}

    assert wanted_names() - locked == set()
