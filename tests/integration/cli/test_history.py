"""`agbot history` and `agbot history replay`: what an operator reads of last night."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import click
import pytest

from agbot.cli import times
from agbot.coordinator import decision_record
from agbot.coordinator.operators.history import LEFT_OUT
from agbot.coordinator.operators.replaying import DECISIONS
from agbot.events.event import DECISION_RECORD
from agbot.rules.facts import Sight
from agbot.rules.ids import GroupId, NodeId
from agbot.store.contract import Entry, JournalQuery
from tests.integration.cli.conftest import Shell
from tests.integration.cli.test_terminal import on_a_terminal
from tests.integration.console.scripted import ENTRY
from tests.support import values

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
FORCED = replace(
    ENTRY,
    id=42,
    at=ENTRY.at + timedelta(minutes=5),
    event="lease.released",
    who="ada@hub",
    facts={"cause": "forced", "why": "it burns", "held_seconds": 300.0},
)
HOLD = Entry(at=NOW, event="hold.set", who="eva", facts={"scope": "acme", "why": "trade fair"}, id=43)
DERIVED = replace(
    ENTRY, id=44, facts={DECISION_RECORD: decision_record.write(values.case(values.ask(), values.group()))}
)
EXPIRED = {"cause": "expired", "why": "it is dead"}
OTHERWISE = replace(
    ENTRY,
    id=45,
    facts={DECISION_RECORD: decision_record.write(values.case(values.ask(), values.group(lease=values.held())))},
)


@dataclass
class Book:
    """A journal that answers queries by id and limit, as a store does."""

    entries: Sequence[Entry]
    asked: list[JournalQuery]

    async def journal(self, query: JournalQuery) -> Sequence[Entry]:
        self.asked.append(query)
        found = [each for each in self.entries if query.before is None or each.id < query.before]
        return sorted(found, key=lambda each: -each.id)[: query.limit]


def write_down(shell: Shell, *entries: Entry) -> list[JournalQuery]:
    """Give the coordinator behind the shell this journal; return the list of what it is asked."""
    book = Book(entries, [])
    shell.operations.book = book.journal
    return book.asked


def test_each_line_says_when_where_who_what_and_why(shell: Shell) -> None:
    write_down(shell, ENTRY, FORCED, HOLD)

    lines = shell.run("history").stdout.splitlines()

    assert lines[0].split() == ["TIME", "GROUP", "WHAT", "TOKEN", "WHO", "WHY"]
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "2026-03-04 05:11:07 UTC",
        "2026-03-04 05:06:07 UTC",
        "2026-03-04 05:06:07 UTC",
    ], "in order of time, whatever was written first"
    assert "acme/mills  the lease of acme/alpha for acme/agent-2.32 has ended: forced  7      ada@hub" in lines[1]
    assert "acme is on hold: no upgrade may begin" in lines[2]
    assert lines[2].endswith("eva          trade fair")
    assert lines[3].endswith("  every rule allows it")
    assert "acme/mills  acme/alpha may upgrade acme/agent-2.32  " in lines[3]
    assert "\x1b" not in "".join(lines)


def test_a_wide_terminal_gets_a_table(shell: Shell) -> None:
    write_down(shell, ENTRY)

    assert "────" in on_a_terminal(shell, "history", columns=200)
    assert "────" not in on_a_terminal(shell, "history", columns=80)


def test_the_filters_are_the_coordinator_s(shell: Shell) -> None:
    asked = write_down(shell)

    result = shell.run(
        "history", "--in", "acme", "-o", "acme", "--group", "mills", "--node", "acme/alpha", "--since", "2026-03-04T05:06:07Z",
        "--event", "hold", "--event", "lease.granted", "--limit", "7",
    )  # fmt: skip

    assert result.stdout == "no such entry in the journal\n"
    assert asked == [
        JournalQuery(
            org="acme",
            group=GroupId("acme/mills"),
            node=NodeId("acme/alpha"),
            events=("hold.set", "hold.ended", "lease.granted"),
            since=NOW,
            limit=7,
        )
    ]


def test_without_filters_the_newest_hundred_ordinary_entries_are_shown(shell: Shell) -> None:
    asked = write_down(shell)
    shell.run("history", HZN_ORG_ID="acme")

    assert asked == [JournalQuery(without=LEFT_OUT, limit=100)], "an organisation from the environment is no filter"


def test_a_bare_name_takes_its_organisation_from_the_environment(shell: Shell) -> None:
    asked = write_down(shell)
    shell.run("history", "--node", "alpha", HZN_ORG_ID="acme")

    assert asked[0].node == "acme/alpha"
    assert shell.run("history", "--node", "alpha").exit_code == 2


@pytest.mark.parametrize("words", [("history",), ("history", "replay"), ("shadow",)], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "since"), [("2h", NOW - timedelta(hours=2)), ("05:00", NOW.replace(minute=0, second=0))]
)
def test_a_span_or_a_time_of_the_day_is_meant_back_from_the_coordinator_s_present(
    shell: Shell, words: tuple[str, ...], text: str, since: datetime
) -> None:
    """The coordinator of this test lives in March 2026."""
    asked = write_down(shell)

    assert shell.run(*words, "--since", text).exit_code == 0
    assert asked[0].since == since


def test_a_span_has_a_number_and_a_unit(shell: Shell) -> None:
    assert times.past("3d", NOW, "--since") == NOW - timedelta(days=3)
    assert times.past("5min", NOW, "--since") == times.past("5m", NOW, "--since") == NOW - timedelta(minutes=5)
    assert shell.run("history", "--since", "recently").exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", "2026-03-04T00:00"),
        ("midnight", "2026-03-04T00:00"),
        ("yesterday", "2026-03-03T00:00"),
        ("yesterday 18:00", "2026-03-03T18:00"),
        ("02:30", "2026-03-04T02:30"),
        ("2026-03-01", "2026-03-01T00:00"),
        ("2026-03-01T18:00", "2026-03-01T18:00"),
    ],
)
def test_a_day_or_a_time_is_meant_as_on_the_clock_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert times.past(text, NOW, "--since").astimezone().isoformat() == f"{expected}:00+01:00"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("recently", "'recently' is not a time: give a duration such as 2h"),
        ("25:00", "'25:00' is not a time"),
        ("", "'' is not a time"),
        ("todayish", "'todayish' is not a time"),
        ("tomorrow", "'tomorrow' is in the future: 2026-03-05"),
    ],
)
def test_what_is_no_time_of_the_past_is_refused_with_what_is(text: str, stated: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        times.past(text, NOW, "--since")

    assert refused.value.message.startswith(stated)


def test_only_days_that_make_sense_are_offered() -> None:
    with pytest.raises(click.BadParameter, match="midnight, today, yesterday") as past:
        times.past("soon", NOW, "--since")
    with pytest.raises(click.BadParameter, match="midnight, tomorrow") as future:
        times.future("soon", lambda: NOW, "--until")

    assert "tomorrow" not in past.value.message
    assert "yesterday" not in future.value.message
    assert NOW < times.future("midnight", lambda: NOW, "--until") <= NOW + timedelta(days=1)


def test_a_long_history_is_read_a_page_at_a_time(shell: Shell) -> None:
    asked = write_down(shell, *(replace(ENTRY, id=number) for number in range(1, 601)))

    result = shell.run("history", "--limit", "555", "--json")

    ids = [each["id"] for each in json.loads(result.stdout)["entries"]]
    assert ids == list(range(600, 45, -1))
    assert [(query.limit, query.before) for query in asked] == [(250, None), (250, 351), (55, 101)]


def test_json_is_the_coordinator_s_own_answer(shell: Shell) -> None:
    write_down(shell, FORCED)

    (shown,) = json.loads(shell.run("history", "--json").stdout)["entries"]

    assert (shown["event"], shown["why"], shown["who"]) == ("lease.released", "it burns", "ada@hub")
    assert shown["facts"] == {"cause": "forced", "why": "it burns", "held_seconds": 300.0}


def test_an_unknown_kind_is_refused_with_what_there_is(shell: Shell) -> None:
    result = shell.run("history", "--event", "leese")

    assert result.exit_code == 1
    assert "lease" in result.stderr


def test_a_replay_without_differences_ends_with_0_and_counts(shell: Shell) -> None:
    asked = write_down(shell, DERIVED, ENTRY, FORCED)

    result = shell.run("history", "replay", "--in", "acme")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "1 decision derived again: 1 the same, 0 different",
        "1 decision has no facts: an earlier version wrote them, or no rule made them",
        "1 release came without a review: forced, reported, or taken over",
    ]
    assert asked == [JournalQuery(org="acme", events=DECISIONS, limit=250)]


def test_a_replay_shows_what_differs_and_ends_with_1(shell: Shell) -> None:
    write_down(shell, DERIVED, OTHERWISE)

    result = shell.run("history", "replay")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "entry 45  2026-03-04 05:06:07 UTC  acme/mills  acme/alpha  lease.granted",
        "  then  granted",
        "  now   waits: lease-held: o1/anna has been upgrading o1/agent-2.32 since 2026-03-04 11:59:00Z",
        "2 decisions derived again: 1 the same, 1 different",
    ]


def test_a_replay_shows_a_release_that_would_be_none(shell: Shell) -> None:
    silent = values.review_of(values.held(), values.seen(status=Sight.UNREAD))
    write_down(
        shell,
        replace(FORCED, who="coordinator", facts=EXPIRED | {DECISION_RECORD: decision_record.write_review(silent)}),
    )

    result = shell.run("history", "replay")

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "entry 42  2026-03-04 05:11:07 UTC  acme/mills  acme/alpha  lease.released",
        "  then  released: expired: it is dead",
        "  now   kept",
        "1 decision derived again: 0 the same, 1 different",
    ]


def test_a_replay_as_json_holds_the_same(shell: Shell) -> None:
    broken = replace(ENTRY, id=46, facts={DECISION_RECORD: {}})
    write_down(shell, DERIVED, OTHERWISE, broken, ENTRY, FORCED)

    result = shell.run("history", "replay", "--json")

    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    assert (shown["derived"], shown["without_facts"], [each["id"] for each in shown["unreadable"]]) == (2, [41], [46])
    assert shown["unreviewed"] == [42]
    assert shown["different"][0]["id"] == 45
    assert shown["different"][0]["now"]["reasons"][0]["code"] == "lease-held"


def test_a_replay_reads_everything_unless_a_limit_is_given(shell: Shell) -> None:
    asked = write_down(shell, *(replace(DERIVED, id=number) for number in range(1, 301)))

    assert shell.run("history", "replay").stdout.startswith("300 decisions")
    assert len(asked) == 2
    assert shell.run("history", "replay", "--limit", "10").stdout.startswith("10 decisions")


def test_what_comes_from_outside_cannot_command_the_terminal(shell: Shell) -> None:
    write_down(shell, replace(FORCED, facts={"cause": "forced", "why": "\x1b[2Jgone"}))

    assert "\x1b" not in shell.run("history").stdout


def test_the_hold_of_an_operator_can_be_replayed_as_nothing(shell: Shell) -> None:
    write_down(shell, HOLD)

    result = shell.run("history", "replay", "--event", "hold")

    assert (result.exit_code, result.stdout) == (0, "0 decisions derived again: 0 the same, 0 different\n")


@pytest.mark.parametrize("words", [("history",), ("history", "replay", "--json")])
def test_a_coordinator_that_is_not_there_is_exit_code_5(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell.run(*words, AGBOT_URL="http://127.0.0.1:9").exit_code == 5


def test_a_history_that_ends_at_its_limit_says_so(shell: Shell) -> None:
    write_down(shell, *(replace(ENTRY, id=number) for number in range(1, 4)))

    assert shell.run("history", "--limit", "3").stdout.splitlines()[-1] == (
        "the newest 3 are shown; there may be older ones: --limit 30"
    )
    assert "are shown" not in shell.run("history", "--limit", "4").stdout
