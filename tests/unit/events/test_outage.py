"""A failure is news when it begins, when it becomes another one, and when it is over."""

from __future__ import annotations

from agbot.events.outage import Outage


def test_a_failure_is_news_once_and_its_end_is_news_once() -> None:
    outage = Outage()

    assert [outage.begins("no route"), outage.begins("refused"), outage.ends(), outage.ends()] == [
        True,
        False,
        True,
        False,
    ]


def test_it_says_what_the_last_failure_stated_while_it_lasts() -> None:
    outage = Outage()
    outage.begins("no route")
    outage.begins("")

    assert (outage.is_on, outage.why) == (True, "")
    outage.begins("refused")
    assert outage.why == "refused"
    outage.ends()
    assert (outage.is_on, outage.why) == (False, "")


def test_another_kind_of_failure_is_news_and_the_same_kind_is_not() -> None:
    outage = Outage()

    assert [outage.begins("x", kind) for kind in ("outage", "refusal", "refusal", "outage")] == [
        True,
        True,
        False,
        True,
    ]


def test_a_failure_after_the_end_is_news_again() -> None:
    outage = Outage()
    outage.begins("no route", "outage")
    outage.ends()

    assert outage.begins("no route", "outage")
