"""Errors, results and questions on a terminal of 80 columns: no word is broken, and none is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agbot.coordinator.contract import Done
from tests.integration.cli.conftest import Shell
from tests.support.terminal import run_on_terminal

COLUMNS = 80
LONG = "the lease of acme/mills is free, and the next member may begin as soon as it asks, within a minute or so"
DOUBTFUL = """
[exchange]
url = "https://hub.example.com/v1"
identity = "IBM/upgrade-coordinator"
[scope."acme/the-mills-that-are-in-the-lower-valley"]
min_available = 0
"""


@pytest.mark.parametrize(
    ("words", "types", "whole"),
    [
        (
            ("explain", "acme/alpaca"),
            b"",
            "no node acme/alpaca is known (did you mean acme/alpha?): it is in no HA group",
        ),
        (
            ("rollout", "agent-2.32"),
            b"",
            "Error: 'agent-2.32' does not name a policy: give org/name, or a name with -o ORG",
        ),
        (
            ("hold", "acme", "--until", "nevr", "--reason", "x"),
            b"",
            "2h (s, m, h, d, w), midnight, tomorrow (with a time: tomorrow 18:00), a",
        ),
        (("resume", "acme", "--reason", "x", "--token-file", "{token}"), b"", LONG),
        (("release", "acme/mills", "--reason", "x"), b"n\n", "The next member may begin at once. Release it? [y/N]:"),
        (
            ("check-config", "{config}"),
            b"",
            "min_available: 0: an agent upgrade may take down the last available member",
        ),
    ],
    ids=["a refusal", "wrong usage", "a wrong option", "a result", "a question", "a warning"],
)
def test_a_line_has_80_columns_and_the_text_is_whole(
    shell: Shell, tmp_path: Path, words: tuple[str, ...], types: bytes, whole: str
) -> None:
    shell.operations.outcome = Done(text=LONG)
    config = tmp_path / "agbot.toml"
    config.write_text(DOUBTFUL, encoding="utf-8")
    named = {"{token}": str(shell.token_file), "{config}": str(config)}
    environ = {"PATH": os.environ["PATH"], "AGBOT_URL": shell.url, "COLUMNS": str(COLUMNS), "LC_ALL": "C.UTF-8"}

    _, seen = run_on_terminal([named.get(word, word) for word in words], environ, types)

    assert whole in " ".join(seen.split())
    # a path is not broken
    assert [line for line in seen.splitlines() if len(line) > COLUMNS and str(tmp_path) not in line] == []


@pytest.mark.parametrize("group", ["store", "guard", "hagroup", "hagroup member", "node", "nmp", "sim"])
def test_what_a_command_does_is_stated_whole_in_the_list_of_its_group(shell: Shell, group: str) -> None:
    listed = shell.run(*group.split(), "--help", COLUMNS=str(COLUMNS)).stdout.partition("Commands:")[2]

    assert listed
    assert "..." not in listed
