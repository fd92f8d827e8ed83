"""A word that cannot be used is wrong usage of every command, and nothing is done.

It is empty, or not UTF-8.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from agbot.cli.main import main
from tests.integration.cli.conftest import Shell

EMPTY = [
    ("hold", "o1/shop", "--reason", "r", "--until", ""),
    ("hold", "o1/shop", "--reason", "r", "--until="),
    ("hold", "o1/shop", "--reason", "r", "--node", ""),
    ("history", "--since", ""),
    ("status", ""),
    ("status", " "),
    ("store", "restore", "copy.db", "--reason", ""),
    ("store", "restored", "--reason", ""),
    ("store", "backup", ""),
    ("store", "move", "", "b.db"),
    ("store", "move", "a.db", ""),
    ("check-config", ""),
    ("install-units", "--prefix", ""),
]


@pytest.mark.parametrize("words", EMPTY, ids=" ".join)
def test_an_empty_value_is_wrong_usage_and_changes_nothing(
    words: tuple[str, ...], shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = list(tmp_path.iterdir())

    result = CliRunner().invoke(main, words, env={"AGBOT_URL": shell.url})

    assert (result.exit_code, "is empty" in result.stderr) == (2, True), result.output
    assert list(tmp_path.iterdir()) == before
    assert shell.operations.emitted == []


def test_the_message_names_the_option() -> None:
    result = CliRunner().invoke(main, ["history", "--since", ""])

    assert "The word after --since is empty." in result.stderr


def test_the_commands_of_hzn_refuse_it_with_their_own_exit_code() -> None:
    result = CliRunner().invoke(main, ["hagroup", "remove", ""])

    assert (result.exit_code, "is empty" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["resume", "o1/shop", "--reason", "gr\udcf6\udcdfer"], 2),
        (["explain", "o1/\udcf6"], 2),
        (["hagroup", "list", "\udcf6"], 1),
    ],
)
def test_bytes_of_another_encoding_are_wrong_usage_and_not_an_internal_error(
    words: list[str], code: int, shell: Shell
) -> None:
    result = shell.act(*words) if words[0] == "resume" else shell.run(*words)

    assert (result.exit_code, "is not UTF-8" in result.stderr) == (code, True), result.output
    assert shell.operations.emitted == []


def test_what_is_not_typed_yet_is_completed() -> None:
    environ = {"_AGBOT_COMPLETE": "bash_complete", "COMP_WORDS": "agbot hold '' --un", "COMP_CWORD": "3"}

    result = CliRunner().invoke(main, [], env=environ, prog_name="agbot")

    assert "--until" in result.output


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf"])
def test_an_interval_that_is_no_number_of_seconds_is_wrong_usage(shell: Shell, seconds: str) -> None:
    result = shell.run("status", "--watch", "--interval", seconds)

    assert (result.exit_code, "--interval" in result.stderr) == (2, True), result.output
