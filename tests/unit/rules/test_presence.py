"""Whether a node is still in a group."""

from __future__ import annotations

import pytest

from agbot.rules.facts import Node, Sight
from agbot.rules.presence import why_absent
from tests.support.values import GROUP, node


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (node(), None),
        (Sight.UNREAD, None),
        (Sight.ABSENT, "the node is gone"),
        (node(group=None), "the node has left the group"),
        (node(group="o1/fans"), "the node has left the group"),
    ],
)
def test_only_what_was_read_and_says_so_is_absent(seen: Node | Sight, why: str | None) -> None:
    assert why_absent(seen, GROUP) == why
