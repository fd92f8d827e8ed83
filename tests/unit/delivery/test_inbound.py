"""Messages of busy nodes: what is taken, and what is refused and changes nothing."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from agbot.delivery.inbound import Inbound, read
from agbot.delivery.topics import Topics
from agbot.rules.busy import NotNow
from agbot.rules.ids import NodeId

TOPIC = "agbot/acme/n1/busy"
N1 = NodeId("acme/n1")
TEN_MINUTES = b'{"for_seconds": 600}'


class Noted:
    """An inbound with what it has handed on."""

    def __init__(self) -> None:
        self.words: list[tuple[NodeId, NotNow | None]] = []
        self.inbound = Inbound(Topics("agbot"), lambda node, word: self.words.append((node, word)))

    def receive(self, payload: bytes, topic: str = TOPIC, *, is_repeated: bool = False) -> bool:
        return self.inbound.receive(topic, payload, is_repeated=is_repeated)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"yes", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", 'either "until" or "for_seconds"'),
        (b'{"until": "2026-12-01T06:00:00Z", "for_seconds": 1}', 'either "until" or "for_seconds"'),
        (b'{"until": "2026-12-01T06:00:00"}', "timezone"),
        (b'{"until": "tomorrow"}', "RFC3339"),
        (b'{"until": "2200-01-01T00:00:00Z"}', "before the year 2200"),
        (b'{"untill": "2026-12-01T06:00:00Z"}', "untill"),
        (b'{"for_seconds": 0}', "> 0"),
        (b'{"for_seconds": 604801}', "<= 604800"),
        (b'{"for_seconds": 1e999}', "range"),
        (b'{"for_seconds": 1, "reason": 5}', "Expected `str`"),
        (b'{"for_seconds": 1, "reason": "\xff"}', "utf-8"),
        (b'{"for_seconds": 1, "reason": "' + 1024 * b"x" + b'"}', "1024 is the most"),
    ],
    ids=lambda each: repr(each)[:30],
)
def test_an_invalid_message_changes_nothing_and_is_reported_once_until_a_valid_one(payload: bytes, why: str) -> None:
    noted = Noted()
    with capture_logs() as logged:
        assert noted.receive(payload)
        assert noted.receive(payload)
        assert noted.words == []
        noted.receive(TEN_MINUTES)
        noted.receive(payload)

    assert [(line["event"], line["topic"], line["log_level"]) for line in logged] == [
        ("busy.refused", TOPIC, "warning")
    ] * 2
    assert why in logged[0]["error"]
    assert noted.words == [(N1, NotNow(for_seconds=600))]


def test_a_text_is_one_printable_line_of_a_bounded_length() -> None:
    word = read(b'{"for_seconds": 1, "reason": "\\u001b[31mred\\n' + 300 * b"x" + b'"}')

    assert word is not None
    assert word.reason.startswith("[31mred xxx")
    assert len(word.reason) == 121


def test_an_empty_message_ends_it_and_a_topic_of_states_is_none_of_ours() -> None:
    noted = Noted()

    assert noted.receive(b"")
    assert not noted.receive(b"{}", "agbot/acme/pumps/state")
    assert noted.words == [(N1, None)]


def test_what_the_broker_had_kept_is_no_new_word_on_the_next_connection_but_is_for_the_next_leadership() -> None:
    noted = Noted()
    noted.receive(TEN_MINUTES)
    noted.receive(TEN_MINUTES, is_repeated=True)
    assert len(noted.words) == 1

    noted.receive(TEN_MINUTES)
    assert len(noted.words) == 2, "the node has sent it again"
    noted.inbound.begin()
    noted.receive(TEN_MINUTES, is_repeated=True)
    assert len(noted.words) == 3


@pytest.mark.parametrize("topic", ["agbot/acme/n%31/busy", "agbot/ac%6De/n1/busy", "agbot/acme/n%2f1/busy"])
def test_a_topic_in_another_spelling_speaks_for_no_node(topic: str) -> None:
    """By the broker's rules, who may speak for the node acme/n%31 may publish to the first of them."""
    noted = Noted()
    with capture_logs() as logged:
        assert noted.receive(TEN_MINUTES, topic)

    assert noted.words == []
    assert [(line["event"], line["topic"]) for line in logged] == [("busy.refused", topic)]
    assert "a topic has one spelling; that of acme/n" in logged[0]["error"]


def test_the_names_in_a_topic_are_decoded() -> None:
    noted = Noted()
    noted.receive(TEN_MINUTES, "agbot/acme/n%2F1%23/busy")

    assert noted.words[0][0] == "acme/n/1#"
