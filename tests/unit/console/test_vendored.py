"""The scripts of others are those that the page beside them names."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

FOLDER = resources.files("agbot.console.page") / "static" / "vendor"
PAGE = (FOLDER / "README.md").read_text("utf-8")


def test_every_vendored_file_has_the_hash_that_is_written_down() -> None:
    written = dict(re.findall(r"^\| `(.+?)` \| `([0-9a-f]{64})` \|$", PAGE, flags=re.MULTILINE))
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.iterdir()
        if path.name.endswith(".js")
    }

    assert found == written


def test_their_licence_and_version_are_named() -> None:
    version = re.search(r"version (\d+\.\d+\.\d+)", PAGE)

    assert version is not None
    assert f'"{version[1]}"' in (FOLDER / "htmx.min.js").read_text("utf-8") or f"'{version[1]}'" in (
        FOLDER / "htmx.min.js"
    ).read_text("utf-8")
    assert "Zero-Clause BSD" in (FOLDER / "htmx.LICENSE").read_text("utf-8")
