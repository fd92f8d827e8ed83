"""Reading credentials, and what is remembered of them."""

from __future__ import annotations

import base64
import sys

import pytest

from agbot.clock import SystemClock
from agbot.exchange.credentials import Credentials
from agbot.gateway.authentication import Memory, Unproven, read
from agbot.rules.facts import Node
from agbot.rules.ids import NodeId

SECRET = "a-made-up-token"
NODE = Credentials(identity="o1/n1", secret=SECRET)


def header(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return "Basic " + base64.b64encode(raw).decode()


def test_a_node_is_read_from_its_header() -> None:
    assert read(header("o1/n1:a:b"), "nodes") == Credentials(identity="o1/n1", secret="a:b")
    assert read("bAsIc " + header("o1/nœud:é").split()[1], "nodes") == Credentials(identity="o1/nœud", secret="é")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "Unauthorized. No exchange nodes id is supplied."),
        ("", "Unauthorized. No exchange nodes id is supplied."),
        ("Basic", "Unauthorized. No exchange nodes id is supplied."),
        ("Basic !!!", "Unauthorized. No exchange nodes id is supplied."),
        ("Digest abc", "Unauthorized. No exchange nodes id is supplied."),
        (header(b"\xff\xfe:x"), "Unauthorized. No exchange nodes id is supplied."),
        (header("o1/n1"), "Unauthorized. No exchange nodes id is supplied."),
        (header(":x"), "Unauthorized. No exchange nodes id is supplied."),
        (
            header("n1:x"),
            "Failed to authenticate the nodes with the Exchange. No exchange user organization id is supplied.",
        ),
        (
            header("/n1:x"),
            "Failed to authenticate the nodes with the Exchange. No exchange user organization id is supplied.",
        ),
        (
            header("o1/n1:"),
            "Failed to authenticate the nodes with the Exchange. Wrong organization id, nodes id or password.",
        ),
        ("Bearer abc", "Unauthorized. Only Basic authentication is supported on this route."),
    ],
)
def test_a_header_that_names_no_one_gets_the_recorded_text(value: str | None, text: str) -> None:
    assert read(value, "nodes") == Unproven(text)


def test_the_token_is_not_kept_and_the_key_is_of_this_process() -> None:
    memory, other = Memory(SystemClock(), 300), Memory(SystemClock(), 300)
    memory.accept(memory.key(NODE), 0.0)
    assert SECRET.encode() not in memory.key(NODE)
    assert memory.key(NODE) != other.key(NODE)
    assert not any(SECRET in repr(value) for value in vars(memory).values())


def test_two_credentials_never_share_a_key_by_moving_the_border() -> None:
    memory = Memory(SystemClock(), 300)
    assert memory.key(Credentials(identity="o/ab", secret="c")) != memory.key(Credentials(identity="o/a", secret="bc"))


def test_a_refusal_takes_back_that_credentials_were_accepted() -> None:
    memory = Memory(SystemClock(), 300)
    key = memory.key(NODE)
    memory.accept(key, 0.0, Node(id=NodeId("o1/n1")))
    assert memory.is_accepted(key, 1.0)
    memory.refuse(key, 0.0)
    assert (memory.is_accepted(key, 1.0), memory.is_refused(key, 1.0), memory.fresh_node(key, 1.0)) == (
        False,
        True,
        None,
    )
    memory.accept(key, 0.0)
    assert (memory.is_accepted(key, 1.0), memory.is_refused(key, 1.0)) == (True, False)


def test_the_tables_are_bounded_and_refusals_push_out_no_acceptance() -> None:
    memory = Memory(SystemClock(), 300, max_remembered=2)
    for name in (b"a", b"b"):
        memory.accept(name, 0.0)
    assert memory.is_accepted(b"a", 1.0)  # used last, so b goes first
    memory.accept(b"c", 1.0)
    for number in range(10):
        memory.refuse(b"bad%d" % number, 1.0)
    assert [memory.is_accepted(name, 2.0) for name in (b"a", b"b", b"c")] == [True, False, True]
    assert [memory.is_refused(b"bad%d" % number, 2.0) for number in (7, 8, 9)] == [False, True, True]


def test_what_is_remembered_is_forgotten_in_time() -> None:
    memory = Memory(SystemClock(), 300)
    memory.accept(b"good", 0.0, Node(id=NodeId("o1/n1")))
    memory.refuse(b"bad", 0.0)
    assert memory.is_refused(b"bad", 9.9)
    assert memory.fresh_node(b"good", 9.9) is not None
    assert not memory.is_refused(b"bad", 10.0)
    assert memory.fresh_node(b"good", 10.0) is None
    assert memory.is_accepted(b"good", 299.9)
    assert not memory.is_accepted(b"good", 300.0)


def test_a_node_is_kept_for_seconds_and_its_credentials_for_longer() -> None:
    memory, node = Memory(SystemClock(), 300), Node(id=NodeId("o1/n1"))
    held = sys.getrefcount(node)
    memory.accept(b"good", 0.0, node)
    memory.accept(b"other", 10.0)
    assert memory.is_accepted(b"good", 10.0)
    assert sys.getrefcount(node) == held
