"""Which message a broker does not take, where it does not say so."""

from __future__ import annotations

from agbot.delivery.mqtt_blame import Blame

MINUTE = 60.0


def closed_on(blame: Blame, *keys: str, size: int = 9) -> None:
    """Let the broker close with these on their way."""
    for key in keys:
        blame.sent(key, size)
    blame.ended(0.0, by_broker=True)


def timed_out(blame: Blame, *, unanswered: str, answered: str, now: float = 0.0) -> None:
    """Let a connection end with one message without an answer, although a later one has its own."""
    blame.sent(unanswered, 9)
    blame.sent(answered, 9)
    blame.answered(answered)
    blame.ended(now, by_broker=False)


def test_a_message_that_was_alone_at_three_closes_is_to_blame_and_so_are_longer_ones_of_its_kind() -> None:
    blame = Blame()
    for _ in range(3):
        assert blame.why_not("a", 9, MINUTE) is None
        closed_on(blame, "a")

    found = blame.why_not("a", 10, MINUTE)
    assert found is not None
    assert found.is_permanent
    assert blame.why_not("a", 8, MINUTE) is None
    assert blame.why_not("b", 9, MINUTE) is None


def test_several_under_way_are_to_blame_for_no_close_but_are_sent_one_by_one_from_then_on() -> None:
    blame = Blame()
    for _ in range(5):
        closed_on(blame, "a", "b")

    assert blame.is_careful
    assert blame.why_not("a", 9, MINUTE) is None


def test_a_close_with_nothing_under_way_takes_the_suspicion_away() -> None:
    blame = Blame()
    for _ in range(5):
        closed_on(blame, "a")
        closed_on(blame, "a")
        assert blame.is_suspected("a")
        closed_on(blame)

        assert not blame.is_suspected("a")
        assert blame.why_not("a", 9, MINUTE) is None


def test_what_is_left_without_an_answer_while_later_ones_have_theirs_is_to_blame_for_a_while() -> None:
    blame = Blame()
    for _ in range(3):
        assert blame.why_not("a", 9, MINUTE) is None
        timed_out(blame, unanswered="a", answered="b")

    found = blame.why_not("a", 9, MINUTE)
    assert found is not None
    assert not found.is_permanent
    assert blame.why_not("a", 9, 6 * MINUTE) is None
    timed_out(blame, unanswered="a", answered="b", now=6 * MINUTE)
    assert blame.why_not("a", 9, 7 * MINUTE) is not None, "one more time is enough"


def test_a_broker_that_answers_nothing_blames_no_message_and_is_sent_something_behind() -> None:
    blame = Blame()
    for _ in range(5):
        blame.sent("a", 9)
        blame.sent("b", 9)
        blame.ended(0.0, by_broker=False)

    assert blame.needs_probe
    assert blame.why_not("a", 9, MINUTE) is None
