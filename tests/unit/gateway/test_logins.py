"""Failed logins: how many lines they make."""

from __future__ import annotations

from structlog.testing import capture_logs

from agbot.gateway import answers
from agbot.gateway.logins import MOST_PER_MINUTE, PER_CALLER_SECONDS, FailedLogins


def lines(callers: list[tuple[str, float]]) -> list[tuple[str, int]]:
    """Return the callers that are logged, each with what was left out before it."""
    logins = FailedLogins()
    with capture_logs() as logged:
        for caller, at in callers:
            logins.note(answers.wrong_credentials("nodes", caller), at)
    return [(line["node"], line.get("left_out", 0)) for line in logged]


def test_a_caller_is_logged_again_after_ten_minutes_with_what_was_left_out() -> None:
    times = [0.0, 60.0, PER_CALLER_SECONDS - 1, PER_CALLER_SECONDS]

    assert lines([("o1/anna", at) for at in times]) == [("o1/anna", 0), ("o1/anna", 2)]


def test_all_callers_together_make_ten_lines_in_a_minute_and_one_left_out_has_its_line_later() -> None:
    fleet = [(f"o1/n{number}", 5.0) for number in range(200)]

    found = lines([*fleet, ("o1/n150", 65.0)])

    assert [name for name, _ in found] == [f"o1/n{number}" for number in range(MOST_PER_MINUTE)] + ["o1/n150"]
    assert found[-1][1] == 200 - MOST_PER_MINUTE


def test_a_question_without_a_token_does_not_hide_that_the_token_of_that_node_is_wrong() -> None:
    logins = FailedLogins()
    with capture_logs() as logged:
        for at in (0.0, 1.0):
            logins.note(answers.unauthenticated("Unauthorized.", "o1/anna"), at)
            logins.note(answers.wrong_credentials("nodes", "o1/anna"), at)

    assert [(line["node"], line["why"]) for line in logged] == [
        ("o1/anna", "Unauthorized."),
        ("o1/anna", "the Exchange does not know it, or does not accept its token"),
    ]


def test_an_answer_that_is_no_failed_login_is_not_logged() -> None:
    logins = FailedLogins()
    with capture_logs() as logged:
        logins.note(answers.agent_granted("o1/anna", "up1"), 0.0)

    assert logged == []
