"""`agbot release`, `hold`, `resume`: what an operator does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agbot.cli import options, times
from agbot.coordinator.contract import Done, NotDone
from agbot.rules.records import Hold
from tests.integration.cli.conftest import OPERATOR, Shell, shell_with
from tests.integration.console.scripted import BETA, MILLS, NMP, PUMPS

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_a_release_carries_reason_token_and_the_person_s_name(shell: Shell) -> None:
    shell.operations.outcome = Done(text="the lease of acme/mills is free")

    result = shell.act("release", "acme/mills", "--yes", "--reason", "node is scrap", "--token", "7")

    assert (result.exit_code, result.stdout) == (0, "the lease of acme/mills is free\n")
    (emitted,) = shell.operations.emitted
    assert isinstance(emitted, tuple)
    assert emitted[:4] == ("release", MILLS, 7, "node is scrap")
    assert "@" in emitted[4]


def test_a_release_that_came_too_late_is_refused(shell: Shell) -> None:
    shell.operations.outcome = NotDone(text="the lease was granted anew under token 8")

    result = shell.act("release", "acme/mills", "--yes", "--reason", "x", "--token", "7")

    assert result.exit_code == 7
    assert "under token 8" in result.stderr


def test_an_unknown_group_is_not_found(shell: Shell) -> None:
    shell.operations.outcome = NotDone(text="no HA group acme/none is known", not_found=True)

    assert shell.act("release", "none", "-o", "acme", "--yes", "--reason", "x").exit_code == 8


def test_no_action_without_a_reason(shell: Shell) -> None:
    for words in (("release", "acme/mills"), ("hold", "*"), ("resume", "*")):
        assert shell.act(*words).exit_code == 2
    assert shell.act("hold", "*", "--reason", " ").exit_code == 2
    assert shell.operations.emitted == []


def test_a_hold_may_end_by_itself(shell: Shell) -> None:
    assert shell.act("hold", "acme", "--reason", "trade fair", "--until", "2099-01-31T18:00Z").exit_code == 0
    assert shell.act("hold", "*", "--reason", "trade fair").exit_code == 0

    first, second = shell.operations.emitted
    assert isinstance(first, Hold)
    assert (first.scope, first.why, first.until) == ("acme", "trade fair", datetime(2099, 1, 31, 18, tzinfo=UTC))
    assert isinstance(second, Hold)
    assert (second.scope, second.until) == ("*", None)


def test_a_hold_that_has_ended_already_is_bad_input(shell: Shell) -> None:
    result = shell.act("hold", "*", "--reason", "x", "--until", "2020-01-01T00:00Z")

    assert result.exit_code == 1
    shown = " ".join(result.stderr.split())
    assert "until is in the past: 2020-01-01T00:00:00Z, and it is " in shown
    example = datetime.fromisoformat(shown.rpartition("such as ")[2])
    assert example > NOW


@pytest.mark.parametrize("text", ["soon", "2x", "-2h", "", "9999999h", "999999w", "2026-13-01"])
def test_an_end_that_is_no_time_is_wrong_usage(shell: Shell, text: str) -> None:
    result = shell.act("hold", "*", "--reason", "x", f"--until={text}") if text else shell.act("hold", "*", "--until")

    assert result.exit_code == 2
    assert shell.operations.emitted == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW + timedelta(seconds=90)),
        ("15m", NOW + timedelta(minutes=15)),
        ("+2h", NOW + timedelta(hours=2)),
        ("3d", NOW + timedelta(days=3)),
        ("1w", NOW + timedelta(weeks=1)),
        ("2026-03-04T08:00+02:00", datetime(2026, 3, 4, 6, tzinfo=UTC)),
    ],
)
def test_an_end_is_a_duration_or_a_time(text: str, expected: datetime) -> None:
    assert times.future(text, lambda: NOW, "--until") == expected


def test_a_time_without_a_zone_is_meant_on_this_machine_s_clock() -> None:
    local = datetime(2026, 3, 4, 8, 0)  # noqa: DTZ001 - without a zone, as a person types it

    assert times.future("2026-03-04T08:00", lambda: NOW, "--until") == local.astimezone(UTC)


def test_a_resume_ends_a_hold_or_lifts_a_brake(shell: Shell) -> None:
    assert shell.act("resume", "acme", "--reason", "over").exit_code == 0
    assert shell.act("resume", "acme/pumps", "--subject", NMP, "--reason", "mended").exit_code == 0
    assert shell.act("resume", "acme/pumps", "--rest", "--reason", "looked at it").exit_code == 0

    assert [emitted[:4] for emitted in shell.operations.emitted if isinstance(emitted, tuple)] == [
        ("resume", "acme", None, "over"),
        ("resume", "acme/pumps", NMP, "mended"),
        ("resume", "rest:acme/pumps", None, "looked at it"),
    ]


@pytest.mark.parametrize(
    "more", [("--rest", "--subject", NMP), ("--store", "--subject", NMP), ("--store", "--rest")], ids=" ".join
)
def test_a_resume_ends_one_thing_at_a_time(shell: Shell, more: tuple[str, ...]) -> None:
    scope = () if "--store" in more else ("acme",)

    result = shell.act("resume", *scope, *more, "--reason", "over")

    assert (result.exit_code, f"give one of {more[0]} and " in result.stderr) == (2, True), result.output
    assert shell.operations.emitted == []


@pytest.mark.parametrize(
    "words",
    [
        ("resume", "acme", "--store"),
        ("resume", "--group", "acme/pumps", "--store"),
        ("allow", BETA, "--withdraw", "--subject", NMP),
        ("allow", BETA, "--withdraw", "--until", "2h"),
    ],
    ids=" ".join,
)
def test_what_would_be_ignored_is_wrong_usage(shell: Shell, words: tuple[str, ...]) -> None:
    result = shell.act(*words, "--reason", "over")

    assert (result.exit_code, words[-1] == "--store" or "leave out" in result.stderr) == (2, True), result.output
    assert shell.operations.emitted == []


def test_json_holds_what_was_done(shell: Shell) -> None:
    result = shell.act("resume", "acme", "--reason", "over", "--json")

    assert json.loads(result.stdout) == {"text": "carried out", "lease": None}


def test_a_wrong_token_is_refused_and_not_shown(shell: Shell) -> None:
    shell.token_file.write_text("wrong-token", encoding="utf-8")

    result = shell.act("release", "acme/mills", "--yes", "--reason", "x")

    assert result.exit_code == 7
    assert "the operator token is wrong" in result.stderr
    assert f"with the token in {shell.token_file}" in result.stderr
    assert "wrong-token" not in result.output
    assert shell.operations.emitted == []


def test_the_token_s_file_may_come_from_the_environment(shell: Shell) -> None:
    result = shell.run("resume", "*", "--reason", "x", AGBOT_OPERATOR_TOKEN_FILE=str(shell.token_file))

    assert result.exit_code == 0


def test_without_a_token_file_the_command_says_how_to_name_one(shell: Shell) -> None:
    shell.token_file.unlink()

    result = shell.act("resume", "*", "--reason", "x")

    assert result.exit_code == 4
    assert "--token-file or AGBOT_OPERATOR_TOKEN_FILE" in result.stderr


def test_a_token_file_without_a_token_is_bad_input(shell: Shell) -> None:
    shell.token_file.write_text("two words\n", encoding="utf-8")

    assert shell.act("resume", "*", "--reason", "x").exit_code == 1


def test_an_approval_has_no_option_for_a_single_node(shell: Shell) -> None:
    result = shell.act("approve", "--node", "acme/beta", "--subject", NMP, "--reason", "x")

    assert (result.exit_code, "No such option" in result.stderr) == (2, True)
    assert "--node" not in shell.run("approve", "--help").stdout
    assert "--node" not in shell.act("approve", "--subject", NMP, "--reason", "x").stderr
    assert "--group GROUP or --node NODE" in shell.act("hold", "--reason", "x").stderr


def test_a_token_file_open_to_everybody_is_warned_of(shell: Shell) -> None:
    shell.token_file.chmod(0o644)

    result = shell.act("resume", "*", "--reason", "x")

    assert result.exit_code == 0
    assert "readable by every user" in result.stderr


def test_a_token_is_never_an_argument(shell: Shell) -> None:
    """`--token` of release is the lease's number, and takes nothing else."""
    assert shell.act("release", "acme/mills", "--yes", "--reason", "x", "--token", OPERATOR).exit_code == 2


def test_o_completes_names_everywhere_and_is_no_scope(shell: Shell) -> None:
    for words in (
        ("hold", "--group", "pumps", "-o", "acme"),
        ("hold", "--node", "beta", "-o", "acme"),
        ("resume", "acme", "--subject", "agent-2.32", "-o", "acme"),
        ("approve", "--group", "pumps", "--subject", "agent-2.32", "-o", "acme"),
        ("allow", "beta", "--subject", "agent-2.32", "-o", "acme"),
    ):
        result = shell.act(*words, "--reason", "x")
        assert result.exit_code == 0, result.output

    named = [
        (getattr(each, "scope", getattr(each, "node", None)), getattr(each, "subject", None))
        if not isinstance(each, tuple)
        else each[1:3]
        for each in shell.operations.emitted
    ]
    assert named == [
        ("acme/pumps", None),
        ("node:acme/beta", None),
        ("acme", NMP),
        ("acme/pumps", NMP),
        ("acme/beta", NMP),
    ]
    alone = shell.act("hold", "-o", "acme", "--reason", "x")
    assert (alone.exit_code, "-o only completes names" in alone.stderr) == (2, True)


def test_a_bare_name_without_an_organisation_is_wrong_usage(shell: Shell) -> None:
    for words in (
        ("hold", "--node", "beta"),
        ("resume", "acme", "--subject", "up1"),
        ("allow", "acme/n", "--subject", "up1"),
    ):
        result = shell.act(*words, "--reason", "x")
        assert (result.exit_code, "-o ORG (or HZN_ORG_ID)" in result.stderr) == (2, True), result.output
    assert shell.run("allow", "beta", "--subject", "up1", "--reason", "x", "--token-file", str(shell.token_file),
                     HZN_ORG_ID="acme").exit_code == 0  # fmt: skip


def test_a_release_is_not_carried_out_unasked(shell: Shell) -> None:
    """Without a terminal there is no one to ask, so the answer is what would have been asked."""
    result = shell.act("release", "acme/mills", "--reason", "node is scrap")

    assert result.exit_code == 2
    assert "holds the lease of acme/mills for" in result.stderr
    assert "Not safe: acme/alpha is alive (its last heartbeat was" in result.stderr
    assert "this is no terminal; nothing was changed" in result.stderr
    assert "Usage:" not in result.stderr
    assert "Release it?" not in result.stderr
    assert shell.operations.emitted == []


@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("n\n", False), ("", False)])
def test_a_person_is_asked_before_a_release_which_then_frees_no_later_grant(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, answer: str, done: bool
) -> None:
    monkeypatch.setattr(options, "is_person", lambda: True)

    result = shell.act("release", "acme/mills", "--reason", "x", stdin=answer)

    assert (result.exit_code == 0) is done, result.output
    assert "Release it? [y/N]" in result.stderr
    assert ("Nothing was changed." in result.stderr) is not done
    assert "Aborted" not in result.stderr
    assert [each[:3] for each in shell.operations.emitted if isinstance(each, tuple)] == (
        [("release", MILLS, 7)] if done else []
    )


def test_a_lease_that_is_shown_as_free_is_not_released_without_a_question(shell: Shell) -> None:
    """It may have been granted when the request arrives."""
    result = shell.act("release", PUMPS, "--reason", "x")

    assert result.exit_code == 7
    assert "no node holds the lease of acme/pumps" in result.stderr
    assert shell.operations.emitted == []


def test_an_allowance_and_an_approval_are_taken_back(shell: Shell) -> None:
    assert shell.act("allow", "acme/beta", "--withdraw", "--reason", "no need").exit_code == 0
    assert shell.act("approve", "acme", "--subject", NMP, "--service", "--withdraw", "--reason", "no").exit_code == 0

    assert [each[:-1] for each in shell.operations.emitted if isinstance(each, tuple)] == [
        ("withdraw", "acme/beta", "no need"),
        ("withdraw", "acme", "service", NMP, "no"),
    ]


@pytest.mark.parametrize("words", [("hold", "acme"), ("allow", BETA)])
def test_a_span_counts_from_the_coordinator_s_time_whatever_this_machine_s_clock_shows(
    shell: Shell, words: tuple[str, ...]
) -> None:
    """The coordinator of this test lives in March 2026."""
    assert shell.act(*words, "--reason", "trade fair", "--until", "2h").exit_code == 0

    (emitted,) = shell.operations.emitted
    assert getattr(emitted, "until", None) == NOW + timedelta(hours=2)


@pytest.mark.parametrize("token", ["schlüssel-für-0123456789", "ключ-€-0123456789"])
def test_an_operator_token_may_have_any_letters(tmp_path: Path, token: str) -> None:
    with shell_with(tmp_path, token) as shell:
        result = shell.act("hold", "*", "--reason", "over")

    assert (result.exit_code, result.stderr) == (0, "")
