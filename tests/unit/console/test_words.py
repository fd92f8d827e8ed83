"""Moments, numbers and links as the page writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agbot.console.page import facts, marks, words
from agbot.coordinator.operators.history import HistoryView
from agbot.rules.ids import GroupId, PolicyId
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (179, "2 min"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (86_400 + 60, "1 d"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: int, written: str) -> None:
    assert words.length(timedelta(seconds=seconds)) == written
    assert words.relative(NOW - timedelta(seconds=seconds), NOW) == f"{written} ago"


def test_what_is_to_come_is_ahead() -> None:
    assert words.relative(NOW + timedelta(hours=2), NOW) == "in 2 h"


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [(0, 0, "0 %"), (0, 9, "0 %"), (1, 1000, "1 %"), (999, 1000, "99 %"), (1000, 1000, "100 %")],
)
def test_a_share_is_neither_nothing_of_something_nor_all_of_less(part: int, whole: int, written: str) -> None:
    assert words.percent(part, whole) == written


def test_names_are_encoded_in_addresses_each_as_one_part() -> None:
    assert words.group_url(GroupId("o1/a b/c?")) == "/groups/o1/a%20b%2Fc%3F"
    assert words.rollout_url(Kind.AGENT, PolicyId("o1/p"), "done") == "/rollouts/agent/o1/p?standing=done"
    assert words.order_url("hold", scope="o1/g&x", token=None) == "/act/hold?scope=o1%2Fg%26x"


@pytest.mark.parametrize(
    ("scope", "url"),
    [("*", "/groups"), ("o1", "/groups?org=o1"), ("o1/g", "/groups/o1/g"), ("node:o1/n", "/nodes/o1/n")],
)
def test_a_scope_leads_to_what_it_names(scope: str, url: str) -> None:
    assert words.scope_url(scope) == url


def test_a_sentence_begins_with_a_capital_unless_it_begins_with_a_name() -> None:
    assert words.sentence("no node holds it") == "No node holds it"
    assert words.sentence("o1/n1 is alive") == "o1/n1 is alive"


def test_commands_in_a_sentence_are_marked_and_everything_is_escaped() -> None:
    assert str(marks.prose("run `agbot <x>` & wait", NOW)) == "run <code>agbot &lt;x&gt;</code> &amp; wait"


@pytest.mark.parametrize(
    ("group", "what", "shown"),
    [
        ("o1/g1", "o1/g1 is on hold: no upgrade may begin", "{} is on hold: no upgrade may begin"),
        ("o1/g1", "o1/p is stopped in o1/g1: failed on o1/g1-a", "o1/p is stopped in {}: failed on o1/g1-a"),
        ("o1/g1", "o1/g1-a may upgrade o1/p", "{}: o1/g1-a may upgrade o1/p"),
        (None, "the whole fleet is on hold", "The whole fleet is on hold"),
        (None, "ada has let the coordinator hub-1 hand over", "ada has let the coordinator hub-1 hand over"),
    ],
)
def test_an_event_names_its_group_once_and_leads_to_it(group: str | None, what: str, shown: str) -> None:
    entry = HistoryView(id=1, at=NOW, event="", what=what, who="ada", group=GroupId(group) if group else None)

    link = f'<a href="/groups/{group}">{group}</a>'
    assert str(marks.happened(entry, NOW, with_group=True)) == shown.format(link)


def test_every_reason_has_plain_words() -> None:
    assert set(facts.CODES) == set(Code)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("acme/alpha", "alpha"),
        ("acme/two words", "two words"),
        ("a service of acme/alpha", "a service of acme/alpha"),
        ("alpha", "alpha"),
        ("acme/", "acme/"),
        ("", "an upgrade"),
        (None, "an upgrade"),
    ],
)
def test_a_name_is_written_without_its_organisation_and_words_are_left_as_they_are(
    name: str | None, written: str
) -> None:
    """A service that was down for no known reason was the upgrade `alpha` of alpha in the table of groups."""
    assert words.bare(name) == written
