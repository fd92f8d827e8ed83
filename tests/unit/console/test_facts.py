"""What a rule has used, and what is known of an idle member, as an operator reads it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agbot.console.availability import health
from agbot.console.page import facts, marks
from agbot.coordinator.contract import MemberView
from agbot.rules.decide import judge
from agbot.rules.facts import Ask
from agbot.rules.group import Group
from agbot.rules.ids import NodeId
from tests.support.values import NOW as RULES_NOW
from tests.support.values import case
from tests.unit.rules.test_decide import NO_REASON, ONE_REASON

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SITUATIONS = [each[:2] for each in ONE_REASON.values()] + list(NO_REASON.values())


@pytest.mark.parametrize(("question", "group"), SITUATIONS, ids=[*ONE_REASON, *NO_REASON])
def test_every_fact_of_every_rule_has_words_and_no_moment_is_raw(question: Ask, group: Group) -> None:
    properties = {group.limits.order_property}
    for found in judge(case(question, group)).findings():
        lines = facts.in_words(found.facts)

        assert set(found.facts) - facts.WRITTEN - properties == set(), found.rule.name
        shown = [marks.prose(line, RULES_NOW.wall) for line in lines]
        assert [each for each in shown if "UTC (" not in each and "00:00" in each] == []
        assert all("_" not in line for line in lines if not properties & set(found.facts)), lines


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"token": 3, "state": "free"}, ["lease free, token 3"]),
        ({"available": 1, "others": 2, "required": 1}, ["other members available: 1 of 2, 1 needed"]),
        ({"others": 0, "required": 0}, ["0 other members, 0 needed"]),
        ({"last_end": "succeeded"}, ["the last upgrade ended: succeeded"]),
        (
            {"last_end": "succeeded", "holder": "o/a", "ended_at": NOW, "heartbeat_at": NOW},
            ["a ended 2026-03-04 05:06:07Z: succeeded", "last heartbeat of a 2026-03-04 05:06:07Z"],
        ),
        ({"revision": "2026-03-04T05:06:07.123Z[UTC]"}, ["policy as published 2026-03-04T05:06:07.123Z[UTC]"]),
        ({"scopes": ["*", "node:o/n"]}, ["on hold: the whole fleet, node o/n"]),
        ({"zone": "a", "waiting": 2}, ["2 other members waiting", "zone: a"]),
        ({"says": "", "revision": None, "listed": []}, []),
    ],
)
def test_facts_that_belong_together_are_one_line_and_unknown_ones_are_named(
    given: dict[str, object], written: list[str]
) -> None:
    assert facts.in_words(given) == written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("since 2026-03-04 05:04:07Z, and on", "since 05:04 UTC (2 min ago), and on"),
        ("opens at 2026-03-05T22:00:00Z", "opens at 05 Mar 22:00 UTC (in 1 d 16 h)"),
        ("until 2026-03-04 08:06:07Z (in 3 h): fair", "until 08:06 UTC (in 3 h): fair"),
        ("as of 2026-03-04T05:04:07.123Z[UTC]", "as of 05:04 UTC (2 min ago)"),
        ("it is 2026-99-04 05:04:07Z", "it is 2026-99-04 05:04:07Z"),
        ("agent 2.32.0 of 2026-03-04", "agent 2.32.0 of 2026-03-04"),
    ],
)
def test_a_moment_in_a_sentence_has_its_time_of_day_and_its_distance(text: str, shown: str) -> None:
    assert marks.prose(text, NOW).striptags() == shown


def test_a_moment_keeps_its_exact_form_for_machines_and_on_hover() -> None:
    assert marks.prose("at <b> 2026-03-04 05:04:07Z", NOW) == (
        "at &lt;b&gt; "
        '<time datetime="2026-03-04T05:04:07+00:00" title="2026-03-04 05:04:07Z">05:04 UTC (2 min ago)</time>'
    )


def test_a_raw_fact_is_what_a_program_gets() -> None:
    assert facts.raw(NOW) == "2026-03-04T05:06:07+00:00"
    assert facts.raw([NodeId("o/a"), NodeId("o/b")]) == "o/a, o/b"
    assert facts.raw([]) == "none"


IDLE = MemberView(
    node=NodeId("o/a"), node_type="device", available=None, read_at=NOW - timedelta(minutes=12), was_alive=True
)


@pytest.mark.parametrize(
    ("member", "word", "why"),
    [
        (IDLE, "not read", "since 04:54 UTC; it was available then"),
        (
            replace(IDLE, why_unavailable="last heartbeat 3 h ago"),
            "not read",
            "since 04:54 UTC; then: last heartbeat 3 h ago",
        ),
        (replace(IDLE, read_at=None, was_alive=False), "not read yet", ""),
        (replace(IDLE, available=True), "available", ""),
        (replace(IDLE, available=False, why_unavailable="its agent is silent"), "not available", "its agent is silent"),
    ],
)
def test_an_idle_member_is_shown_as_it_was_when_it_was_last_read(member: MemberView, word: str, why: str) -> None:
    found = health(member, NOW)

    assert (found.word, found.why) == (word, why)
    assert found.look != "failed" or member.available is False
