"""The log line of a wait: short, whatever the names and however many reasons."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from agbot.console.metrics import Metrics
from agbot.daemon import logging as daemon_logging
from agbot.daemon.measuring import Reporter
from agbot.events.shortening import shortened
from agbot.events.waits import ReasonGiven, WaitChanged
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.rules.reasons import Code
from agbot.settings.running import LogSettings
from agbot.store.contract import Entry

pytestmark = pytest.mark.usefixtures("logging_put_back")

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
MOST_BYTES = 600
UNDER_JOURNALD = "<6>"
NAMES = {
    "short": "n1",
    "long": "a-node-with-a-very-long-name-" * 8,
    "hostile": '\x1b]0;\u202e\U000e0001"\\' * 60,
    "foreign": "Überwachungsgerät-" * 12,
}


def waiting(name: str) -> WaitChanged:
    """Let a node with such a name wait for eighteen reasons, each of which names it."""
    codes = list(Code)[:18]
    reasons = tuple(ReasonGiven(code=code, text=f"o1/{name} upgrades o1/{name} since 12:00:00Z") for code in codes)
    rules: tuple[Mapping[str, Any], ...] = tuple(
        {"rule": code.value, "passes": False, "text": f"o1/{name}", "facts": {}} for code in codes
    )
    return WaitChanged(
        group=GroupId(f"o1/{name}"),
        node=NodeId(f"o1/{name}"),
        subject=PolicyId(f"o1/{name}"),
        reasons=reasons,
        since=NOW,
        rules=rules,
    )


def lines_of(event: WaitChanged, level: Literal["debug", "info"] = "info") -> list[str]:
    """Log an event as the daemon does."""
    out = io.StringIO()
    daemon_logging.set_up(LogSettings(level=level), {}, out)
    Reporter(Metrics()).report(Entry.of(event, NOW))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_wait_with_eighteen_reasons_takes_one_line_of_under_600_bytes(name: str) -> None:
    (line,) = lines_of(waiting(name))

    assert len(f"{UNDER_JOURNALD}{line}\n".encode()) < MOST_BYTES
    shown = json.loads(line)
    assert (shown["event"], shown["level"], shown["code"], shown["others"]) == (
        "wait.changed",
        "info",
        next(iter(Code)),
        17,
    )
    assert {"group", "node", "subject", "reason"} <= set(shown)


def test_names_and_the_first_reason_stand_there_whole_where_there_is_room() -> None:
    (line,) = lines_of(waiting("n1"))

    shown = json.loads(line)
    assert (shown["group"], shown["node"], shown["subject"]) == ("o1/n1", "o1/n1", "o1/n1")
    assert shown["reason"] == "o1/n1 upgrades o1/n1 since 12:00:00Z"


def test_the_rules_whole_list_follows_where_the_log_shows_debug() -> None:
    event = waiting("n1")

    short, long = map(json.loads, lines_of(event, "debug"))

    assert "rules" not in short
    assert (long["event"], long["level"], long["node"]) == ("wait.explained", "debug", "o1/n1")
    assert long["rules"] == [dict(each) for each in event.rules]
    assert [each["code"] for each in long["reasons"]] == [each.code for each in event.reasons]


def test_the_journal_keeps_every_reason_and_rule() -> None:
    event = waiting(NAMES["long"])

    assert Entry.of(event, NOW).read() == event


@pytest.mark.parametrize("text", ["", "abc", "é" * 9, "\x1b\x1b", '"\\"', "x" * 100])
@pytest.mark.parametrize("most", [12, 20, 99, 100])
def test_a_shortened_text_fits_as_json_and_is_a_beginning(text: str, most: int) -> None:
    found = shortened(text, most)

    assert len(json.dumps(found, ensure_ascii=False).encode()) - 2 <= most
    assert text.startswith(found.removesuffix("…"))
    assert found == text or found.endswith("…")
